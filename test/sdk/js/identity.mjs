// @azure/identity: each credential asks for a token of Resource Manager.
import { ask, end, row, world } from "./host.mjs";
import * as identity from "@azure/identity";

const arm = "https://management.azure.com/.default";
const graph = "https://graph.microsoft.com/.default";
const { contoso, fabrikam, daemon, home, tool, site, alice, pem, callback } = world;

const token = async (credential, options = {}, scope = arm) => (await credential.getToken(scope, options)).token;

// use asks twice, and for something else: the second token has to be the cached one.
const use = (credential) => async () => {
  const first = await token(credential);
  const again = await token(credential);
  return { token: first, cached: first === again, graph: await token(credential, {}, graph) };
};

const userPromptCallback = (m) => ask({ do: "approve", address: m.verificationUri, code: m.userCode });

await row("ClientSecretCredential", use(new identity.ClientSecretCredential(contoso, daemon.id, daemon.secret)));
await row("ClientCertificateCredential", use(new identity.ClientCertificateCredential(contoso, daemon.id, pem)));
await row("ClientCertificateCredential with its chain", use(new identity.ClientCertificateCredential(contoso, daemon.id, { certificatePath: pem, sendCertificateChain: true })));
await row("ClientAssertionCredential", use(new identity.ClientAssertionCredential(contoso, daemon.id, async () => world.federated)));
await row("WorkloadIdentityCredential", use(new identity.WorkloadIdentityCredential({ tenantId: contoso, clientId: daemon.id, tokenFilePath: world.federatedFile })));
await row("EnvironmentCredential", use(new identity.EnvironmentCredential()));
await row("DefaultAzureCredential", use(new identity.DefaultAzureCredential()));
await row("DeviceCodeCredential", use(new identity.DeviceCodeCredential({ userPromptCallback })));
await row("DeviceCodeCredential, own application", use(new identity.DeviceCodeCredential({ tenantId: contoso, clientId: tool.id, userPromptCallback })));
await row("UsernamePasswordCredential", use(new identity.UsernamePasswordCredential(contoso, tool.id, alice.name, alice.password)));
await row("InteractiveBrowserCredential", use(new identity.InteractiveBrowserCredential({ tenantId: contoso, clientId: tool.id })));

await row("AuthorizationCodeCredential", async () => {
  const address = `https://login.microsoftonline.com/${contoso}/oauth2/v2.0/authorize?` +
    new URLSearchParams({ client_id: site.id, response_type: "code", redirect_uri: callback, scope: "openid offline_access https://management.azure.com/user_impersonation" });
  const back = new URL((await ask({ do: "open", address })).address);
  return token(new identity.AuthorizationCodeCredential(contoso, site.id, site.secret, back.searchParams.get("code"), callback));
});

const both = new identity.ClientSecretCredential(contoso, daemon.id, daemon.secret, { additionallyAllowedTenants: [fabrikam] });
await row("other tenant", () => token(both, { tenantId: fabrikam }));
await row("other tenant, not allowed by the program", () => token(new identity.ClientSecretCredential(contoso, daemon.id, daemon.secret), { tenantId: fabrikam }));
await row("claims challenge", async () => {
  const claims = JSON.stringify({ access_token: { nbf: { essential: true, value: "1" } } });
  const first = await token(both);
  return { token: await token(both, { claims, enableCae: true }), cached: first === (await token(both)) };
});

await row("wrong secret", () => token(new identity.ClientSecretCredential(contoso, daemon.id, "wrong")));
await row("another's certificate", () => token(new identity.ClientCertificateCredential(contoso, home.id, pem)));
await row("single-tenant abroad", () => token(new identity.ClientSecretCredential(fabrikam, home.id, home.secret)));
await row("unknown tenant", () => token(new identity.ClientSecretCredential(daemon.id, daemon.id, daemon.secret)));
await row("wrong password", () => token(new identity.UsernamePasswordCredential(contoso, tool.id, alice.name, "wrong")));
await row("on behalf of", () => token(new identity.OnBehalfOfCredential({ tenantId: contoso, clientId: daemon.id, clientSecret: daemon.secret, userAssertionToken: world.federated })));
end();
