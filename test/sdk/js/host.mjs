// The Go test that runs these scripts is on the other end of the standard streams, one JSON document per line: the first line in is the
// world, what comes out is either a question (open a page, approve a device) or what came of one way in.
import { createInterface } from "node:readline";
import { webcrypto } from "node:crypto";
import { fetch as proxiedFetch, ProxyAgent, setGlobalDispatcher } from "undici";

globalThis.crypto ??= webcrypto; // Node 18 keeps them in its module
globalThis.CryptoKey ??= webcrypto.CryptoKey;

setGlobalDispatcher(new ProxyAgent(process.env.HTTPS_PROXY)); // Node's own fetch does not read HTTPS_PROXY
export const fetch = proxiedFetch;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const next = async () => JSON.parse((await lines.next()).value);
const say = (doc) => process.stdout.write(JSON.stringify(doc) + "\n");

export const world = await next();

// ask has the Go test do what a person would.
export async function ask(question) {
  say(question);
  return next();
}

// row tries one way in. A result is a token, or {token, …} with more to look at.
export async function row(name, way) {
  try {
    const got = await way();
    say({ do: "result", name, ...(typeof got === "string" ? { token: got } : got) });
  } catch (e) {
    const said = [e.name, e.message, e.code, e.error, e.error_description, e.cause?.message, e.cause && JSON.stringify(e.cause), e.errorResponse && JSON.stringify(e.errorResponse)];
    say({ do: "result", name, error: said.filter(Boolean).join(" | ") });
  }
}

export const end = () => process.stdin.destroy();
