// openid-client: OpenID Connect and OAuth by discovery, without a word of Microsoft.
import { ask, end, fetch, row, world } from "./host.mjs";
import { readFile } from "node:fs/promises";
import { createPrivateKey } from "node:crypto";
import * as client from "openid-client";

const { contoso, fabrikam, daemon, tool, site, callback } = world;
const scope = "https://management.azure.com/.default";
const right = "openid profile offline_access https://management.azure.com/user_impersonation";

const discover = (id, proof, tenant = contoso, metadata) =>
  client.discovery(new URL(`https://login.microsoftonline.com/${tenant}/v2.0`), id, metadata, proof, { [client.customFetch]: fetch });

const grant = async (proof, id = daemon.id) => (await client.clientCredentialsGrant(await discover(id, proof), { scope })).access_token;

await row("client credentials, secret in the form", () => grant(client.ClientSecretPost(daemon.secret)));
await row("client credentials, secret in the header", () => grant(client.ClientSecretBasic(daemon.secret)));
const pkcs8 = createPrivateKey(await readFile(world.pem)).export({ type: "pkcs8", format: "der" });
for (const [alg, name] of [["RS256", "RSASSA-PKCS1-v1_5"], ["PS256", "RSA-PSS"]]) {
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, { name, hash: "SHA-256" }, false, ["sign"]);
  await row(`private_key_jwt, ${alg}`, () => grant(client.PrivateKeyJwt({ key, kid: world.thumbprint })));
}

// signIn is the code flow with PKCE, a nonce and a state.
async function signIn(config, redirect_uri, change = {}) {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const expectedState = client.randomState();
  const expectedNonce = client.randomNonce();
  const address = client.buildAuthorizationUrl(config, { redirect_uri, scope: right, state: expectedState, nonce: expectedNonce,
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: "S256" });
  const back = await ask({ do: "open", address: address.href });
  return client.authorizationCodeGrant(config, new URL(back.address), { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true, ...change });
}

const web = await discover(site.id, client.ClientSecretPost(site.secret));
await row("code with PKCE, then refresh", async () => {
  client.enableNonRepudiationChecks(web); // the signature of the ID token, by the key set
  const first = await signIn(web, callback);
  const renewed = await client.refreshTokenGrant(web, first.refresh_token);
  return { token: first.access_token, renewed: renewed.access_token, rotated: renewed.refresh_token !== first.refresh_token, id: first.claims() };
});
await row("code with private_key_jwt", async () => {
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, { name: "RSA-PSS", hash: "SHA-256" }, false, ["sign"]);
  return (await signIn(await discover(site.id, client.PrivateKeyJwt({ key, kid: world.thumbprint })), callback)).access_token;
});
const native = await discover(tool.id, client.None());
// With its slash: the library reads the redirect URI from the address that it came back to, where an empty path is "/".
await row("code of a native application", async () => (await signIn(native, "http://localhost:8401/")).access_token);
await row("device authorization", async () => {
  const device = await client.initiateDeviceAuthorization(native, { scope: right });
  await ask({ do: "approve", address: device.verification_uri, code: device.user_code });
  return (await client.pollDeviceAuthorizationGrant(native, { ...device, interval: 1 })).access_token;
});

await row("wrong secret", () => grant(client.ClientSecretPost("wrong")));
await row("wrong nonce", () => signIn(web, callback, { expectedNonce: "another" }));
await row("wrong verifier", () => signIn(web, callback, { pkceCodeVerifier: client.randomPKCECodeVerifier() }));
await row("single-tenant abroad", async () =>
  (await client.clientCredentialsGrant(await discover(site.id, client.ClientSecretPost(site.secret), fabrikam), { scope })).access_token);
end();
