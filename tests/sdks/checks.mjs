// Named checks of what a client sees: all are run, each is told by its name, and the exit code says whether all held.
//
// The last line that is printed is JSON: the ids of the calls that the gateway's answers named, and how many requests must have
// become calls whose answer nobody waited for.

import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

export const KEY = "sk-tests";

const checks = [];
const calls = [];
let unheardCount = 0;

/** Adds a check; its name says what holds. */
export function check(name, run) {
  checks.push({ name, run });
}

/** The command line: each name is an option with a value; all but base-url may be left out. */
export function options(...names) {
  const { values } = parseArgs({ options: Object.fromEntries(names.map((name) => [name, { type: "string" }])) });
  assert.ok(values["base-url"], "--base-url is missing");
  return values;
}

/** The bodies that were sent, the last one at the end. */
export const sent = [];

/** What every client here sends its requests with: notes what is sent, and the call that an answer names. */
export async function fetchAndNote(url, init) {
  if (init?.body) sent.push(init.body);
  const response = await fetch(url, init);
  const call = response.headers.get("meshlog-call");
  if (call) calls.push(call);
  return response;
}

/** Takes note of a request whose answer is not waited for. */
export function unheard() {
  unheardCount += 1;
}

export function note(text) {
  console.log(`note: ${text}`);
}

/** The error that a promise must end with, of exactly this class. */
export async function rejects(errorClass, promise, what) {
  const error = await Promise.resolve(promise).then(
    () => assert.fail(`${what}: no ${errorClass.name}`),
    (error) => error,
  );
  assert.equal(error.constructor, errorClass, `${what}: ${error.stack}`);
  return error;
}

/** Waits for a condition; answers how many milliseconds that took. */
export async function eventually(what, condition, milliseconds) {
  const begin = performance.now();
  while (!(await condition())) {
    assert.ok(performance.now() - begin < milliseconds, `${what}: not after ${milliseconds} ms`);
    await sleep(5);
  }
  return performance.now() - begin;
}

/** What an address answers, without any SDK: the status and the body as JSON. */
export async function ask(url, body) {
  const headers = { "content-type": "application/json", authorization: `Bearer ${KEY}` };
  const response = await fetch(url, body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers });
  return { status: response.status, json: await response.json() };
}

/** Whether the scripted upstream has noticed that whoever asked it for a model is gone. */
export async function left(upstream, model) {
  const { json } = await ask(`${upstream}/_counts`);
  return json.cancellations.some(([name]) => name === model);
}

/** Runs all checks, and ends. */
export async function run() {
  let failed = 0;
  for (const { name, run } of checks) {
    const begin = performance.now();
    try {
      await run();
      console.log(`ok ${name} (${((performance.now() - begin) / 1000).toFixed(2)} s)`);
    } catch (error) {
      failed += 1;
      console.log(`FAILED ${name}\n${error.stack}`);
    }
  }
  console.log(JSON.stringify({ checks: checks.length, failed, calls, unheard: unheardCount }));
  process.exit(failed || !checks.length ? 1 : 0);
}
