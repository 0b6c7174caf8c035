// The API on this host: one way to ask it, with the key where it wants one.

import { keyInUse, newKey } from "./key.js";

const API = "/api/churn";

/** The API cannot be asked now; the message says why, in words for the page. */
export class Away extends Error {}
export class NoKey extends Away {}

async function send(path, options = {}) {
  const key = keyInUse();
  const headers = { ...options.headers, ...(key && { "X-API-Key": key }) };
  try {
    return [key, await fetch(API + path, { cache: "no-store", signal: AbortSignal.timeout(10_000), ...options, headers })];
  } catch {
    throw new Away("The API does not answer. It may be starting, or the connection is lost.");
  }
}

/** The answer, whatever its status; where a key is wanted, that of the question asked again with one. */
async function answerTo(path, options) {
  let [key, answer] = await send(path, options);
  while (answer.status === 401) {
    if (!(await newKey(key))) throw new NoKey("The API asks for a key. Enter one to see this.");
    [key, answer] = await send(path, options);
  }
  return answer;
}

export async function ask(path, options) {
  const answer = await answerTo(path, options);
  const body = await answer.json().catch(() => ({}));
  const said = (name) => answer.headers.get(name);
  return { status: answer.status, ok: answer.ok, body, version: said("X-Model-Version"), model: said("X-Model") };
}

export const urlOf = (path) => API + path;

/** A file and the name that the API gives it. */
export async function file(path) {
  const answer = await answerTo(path);
  if (!answer.ok) throw new Away(`The API answered with an error (${answer.status}).`);
  const name = /filename="([^"]+)"/.exec(answer.headers.get("Content-Disposition") ?? "")?.[1];
  return { blob: await answer.blob(), name };
}
