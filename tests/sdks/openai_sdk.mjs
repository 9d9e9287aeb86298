// OpenAI's own SDK for JavaScript against the gateway, with the scripted upstream behind it:
//
//     node openai_sdk.mjs --base-url http://HOST:PORT/v1 --upstream http://HOST:PORT/v1
//
// The gateway must be set up as for openai_sdk.py, which has the same checks.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import OpenAI, * as errors from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { KEY, ask, check, eventually, fetchAndNote, left, options, rejects, run, sent, unheard } from "./checks.mjs";

const { "base-url": baseURL, upstream } = options("base-url", "upstream");
const client = (changes) => new OpenAI({ baseURL, apiKey: KEY, maxRetries: 0, fetch: fetchAndNote, ...changes });
const gateway = client();
const direct = new OpenAI({ baseURL: upstream, apiKey: "none", maxRetries: 0 });
const root = baseURL.replace(/\/v1$/, "");

const runId = randomUUID().slice(0, 8);
let uses = 0;
/** A model string that nothing else uses. */
const only = (model) => `${model}#${runId}-${uses++}`;
const user = (content) => [{ role: "user", content }];
const askFor = (model, more) => ({ model, messages: user("x"), ...more });
const create = (model, more) => gateway.chat.completions.create(askFor(model, more));
const textOf = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("");

async function collected(stream) {
  const chunks = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return chunks;
}

check("models are listed and each is found", async () => {
  const listed = await collected(gateway.models.list());
  const ids = listed.map((model) => model.id);
  assert.ok(["plain", "all-MiniLM-L6-v2"].every((id) => ids.includes(id)), `${ids}`);
  for (const model of listed) assert.deepEqual(await gateway.models.retrieve(model.id), model);
  for (const id of ["stream:5@10", "scripted/plain", "org/model", "a model?&#"]) {
    const found = await gateway.models.retrieve(id);
    assert.deepEqual([found.id, found.object], [id, "model"]);
  }
});

check("a whole answer is the provider's", async () => {
  for (const model of ["plain", "plain:40", "echo", "reasoning:6", "unknown:6", "no-usage", "multibyte", "split", "glued"]) {
    const request = { model, messages: user("Is the ferry late? Ünï 🦀"), temperature: 0.5, seed: 7 };
    assert.deepEqual(await gateway.chat.completions.create(request), await direct.chat.completions.create(request));
  }
  const answer = await create("reasoning:6");
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.equal(answer.usage.prompt_tokens_details.cached_tokens, 64);
});

check("a stream with usage is the provider's", async () => {
  const framings = ["plain", "crlf", "bom", "multi", "nospace", "split", "glued", "no-done", "multibyte", "unknown"];
  for (const model of [...framings, "echo", "reasoning:6", "no-usage", "stream:300"]) {
    const messages = user("Where to? Ünï 🦀");
    const request = { model, messages, stream: true, stream_options: { include_usage: true } };
    const chunks = await collected(gateway.chat.completions.create(request));
    assert.deepEqual(chunks, await collected(direct.chat.completions.create(request)), model);
    assert.equal(chunks.findLast((chunk) => chunk.choices.length).choices[0].finish_reason, "stop");
    assert.equal(chunks.at(-1).usage?.completion_tokens > 0, model !== "no-usage", model);
  }
});

check("a stream without usage has none", async () => {
  for (const model of ["plain:20", "unknown", "multi", "split", "glued", "reasoning:4", "crlf"]) {
    const request = askFor(model, { stream: true });
    const [found, expected] = await Promise.all(
      [gateway, direct].map(async (sdk) => {
        const chunks = await collected(sdk.chat.completions.create(request));
        // The id is the hash of the request, and the gateway asks for usage.
        return chunks.map(({ id, usage, ...rest }) => ({ ...rest, usage: usage ?? undefined }));
      }),
    );
    assert.deepEqual(found, expected, model);
    assert.ok(found.every((chunk) => chunk.usage === undefined));
  }
});

check("a stream comes piece by piece", async () => {
  const begin = performance.now();
  const times = [];
  for await (const _ of await create("stream:11@20", { stream: true })) times.push(performance.now() - begin);
  assert.ok(times[1] < times.at(-1) / 2 && times.at(-1) > 450, `${times}`);
});

const TOOLS = Object.entries({ weather_of: "city", time_in: "zone" }).map(([name, field]) => ({
  type: "function",
  function: { name, parameters: { type: "object", properties: { [field]: { type: "string" } } } },
}));
const CALLS = [["weather_of", { city: "Berlin" }], ["time_in", { zone: "Europe/Berlin" }]];
const read = (calls) => calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);

check("parallel tool calls are whole and are answered", async () => {
  const messages = user("How is Berlin?");
  const first = (await create("tools", { messages, tools: TOOLS })).choices[0];
  assert.deepEqual(read(first.message.tool_calls), CALLS);
  assert.deepEqual([first.finish_reason, first.message.content], ["tool_calls", null]);
  const results = first.message.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "fine" }));
  const second = await create("tools", { messages: [...messages, first.message, ...results], tools: TOOLS });
  assert.deepEqual([second.choices[0].finish_reason, second.choices[0].message.content.split(" ").length], ["stop", 8]);
});

check("fragments of tool calls come in turn", async () => {
  const chunks = await collected(create("tools", { tools: TOOLS, stream: true }));
  const parts = chunks.flatMap((chunk) => chunk.choices[0].delta.tool_calls ?? []);
  const calls = [0, 1].map((index) => {
    const own = parts.filter((part) => part.index === index);
    const text = own.map((part) => part.function.arguments).join("");
    return [own[0].function.name, JSON.parse(text)];
  });
  assert.deepEqual(calls, CALLS);
  assert.deepEqual([parts.length, chunks.at(-1).choices[0].finish_reason], [8, "tool_calls"]);
});

check("the SDK's own streaming helper works", async () => {
  const stream = gateway.chat.completions.stream(askFor("tools", { tools: TOOLS, stream_options: { include_usage: true } }));
  assert.deepEqual(read((await stream.finalMessage()).tool_calls), CALLS);
  assert.equal((await stream.totalUsage()).completion_tokens, 24);
  const plain = gateway.chat.completions.stream(askFor("plain:30"));
  const deltas = [];
  plain.on("content", (delta) => deltas.push(delta));
  const content = await plain.finalContent();
  assert.equal(deltas.join(""), content);
  assert.equal(content, (await direct.chat.completions.create(askFor("plain:30"))).choices[0].message.content);
});

check("the SDK runs tools by itself", async () => {
  const asked = [];
  const tools = TOOLS.map(({ function: { name, parameters } }) => ({
    type: "function",
    function: { name, parameters, parse: JSON.parse, function: (given) => asked.push([name, given]) && "fine" },
  }));
  for (const stream of [false, true]) {
    const runner = gateway.chat.completions.runTools(askFor("tools", { tools, stream }));
    assert.equal((await runner.finalContent()).split(" ").length, 8);
  }
  assert.deepEqual(asked, [...CALLS, ...CALLS]);
});

check("structured output is passed on and read", async () => {
  const ferry = { name: "Ünsinkable", seats: 80 };
  const response_format = zodResponseFormat(z.object({ name: z.string(), seats: z.number() }), "ferry");
  const request = { model: "echo", messages: user(JSON.stringify(ferry)), response_format };
  const answer = await gateway.chat.completions.parse(request);
  assert.deepEqual(answer.choices[0].message.parsed, ferry);
  const final = await gateway.chat.completions.stream(request).finalChatCompletion();
  assert.deepEqual(final.choices[0].message.parsed, ferry);
});

check("a request arrives byte for byte", async () => {
  const rest = {
    messages: [{ role: "developer", content: "brief" }, ...user('a "quoted" \\ \u2028 Ünï 🦀 \t text')],
    response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema: { type: "object" } } },
    tools: TOOLS, tool_choice: "auto", temperature: 0.30000000000000004, logit_bias: { 50256: -100 },
    reasoning_effort: "low", metadata: { a: "b" }, stop: ["\n", "END"], parallel_tool_calls: true,
    x_unknown: [1, 1.5, 1e300, { deep: null }],
  };
  const arrived = async (model, more) => {
    const answer = await create(model, { ...rest, ...more });
    const text = more?.stream ? textOf(await collected(answer)) : answer.choices[0].message.content;
    return [text, sent.at(-1)];
  };
  let [found, expected] = await arrived("params");
  assert.equal(found, expected);
  [found, expected] = await arrived("renamed");
  assert.equal(found, expected.replace('"model":"renamed"', '"model":"params"'));
  [found, expected] = await arrived("params", { stream: true, stream_options: { include_usage: true } });
  assert.equal(found, expected);
  [found, expected] = await arrived("params", { stream: true });
  assert.equal(found, `${expected.slice(0, -1)},"stream_options":{"include_usage":true}}`);
});

check("images are passed on", async () => {
  const content = [
    { type: "text", text: "What is this?" },
    { type: "image_url", image_url: { url: `data:image/png;base64,${"A".repeat(4000)}` } },
    { type: "image_url", image_url: { url: "https://example.org/cat.jpg", detail: "low" } },
  ];
  const answer = await create("image", { messages: user(content) });
  const images = [{ bytes: 3000, type: "image/png" }, { url: "https://example.org/cat.jpg" }];
  assert.deepEqual(JSON.parse(answer.choices[0].message.content), { count: 2, images });
});

const length = (vector) => Math.hypot(...vector);
const distance = (one, other) => length(one.map((value, index) => value - other[index]));

/** Checks three vectors in both encodings; the first and the last are of equal texts. */
function checkVectors(packed, floats, dimensions) {
  assert.deepEqual([packed.length, floats.length], [3, 3]);
  packed.forEach(({ embedding, index }, place) => {
    assert.deepEqual([embedding.length, index], [dimensions, place]);
    assert.ok(distance(embedding, floats[place].embedding) < 1e-6, "both encodings");
    assert.ok(Math.abs(length(embedding) - 1) < 1e-4, "unit length");
  });
  assert.deepEqual(packed[0].embedding, packed[2].embedding);
  assert.notDeepEqual(packed[0].embedding, packed[1].embedding);
}

check("embeddings are the provider's in both encodings", async () => {
  const request = { model: "embed", input: ["a ferry", "soup", "a ferry"], dimensions: 16 };
  const packed = await gateway.embeddings.create(request);
  // It is what the SDK asks for by itself.
  assert.ok(sent.at(-1).includes('"encoding_format":"base64"'), sent.at(-1));
  assert.deepEqual(packed, await direct.embeddings.create(request));
  const floats = await gateway.embeddings.create({ ...request, encoding_format: "float" });
  checkVectors(packed.data, floats.data, 16);
});

check("the local model embeds", async () => {
  const input = ["The ferry leaves at nine.", "soup", "The ferry leaves at nine."];
  const packed = await gateway.embeddings.create({ model: "all-MiniLM-L6-v2", input });
  const floats = await gateway.embeddings.create({ model: "local/all-MiniLM-L6-v2", input, encoding_format: "float" });
  checkVectors(packed.data, floats.data, 384);
  assert.ok(packed.usage.prompt_tokens > 10 && packed.usage.prompt_tokens === packed.usage.total_tokens);
});

check("leaving a stream stops the provider", async () => {
  for (const leave of [(stream) => stream.controller.abort(), null]) {
    const model = only("stream:2000@40");
    const stream = await create(model, { stream: true });
    let read = 0;
    for await (const _ of stream) {
      if (++read < 3) continue;
      // A loop that is left leaves the stream, too.
      if (!leave) break;
      leave(stream);
    }
    const took = await eventually("the upstream notices", () => left(upstream, model), 1000);
    console.log(`   noticed after ${took.toFixed(0)} ms`);
  }
  const model = only("stream:2000@40");
  const helper = gateway.chat.completions.stream(askFor(model));
  helper.on("content", () => helper.abort());
  await rejects(errors.APIUserAbortError, helper.done(), "the helper");
  await eventually("the upstream notices", () => left(upstream, model), 1000);
});

check("a request that times out or is aborted stops the provider", async () => {
  const late = only("never");
  unheard();
  const request = gateway.chat.completions.create(askFor(late), { timeout: 1000 });
  await rejects(errors.APIConnectionTimeoutError, request, late);
  await eventually("the upstream notices", () => left(upstream, late), 1000);
  const aborted = only("slow:30000");
  const controller = new AbortController();
  unheard();
  const pending = gateway.chat.completions.create(askFor(aborted), { signal: controller.signal });
  pending.catch(() => {});
  await eventually("it is asked", async () => (await ask(`${upstream}/_counts`)).json.models[aborted], 5000);
  controller.abort();
  await rejects(errors.APIUserAbortError, pending, aborted);
  await eventually("the upstream notices", () => left(upstream, aborted), 1000);
});

// What the scripted upstream answers, what the SDK raises then, with which status and code.
const REFUSALS = [
  ["400", errors.BadRequestError, 400, "invalid_type"],
  ["context", errors.BadRequestError, 400, "context_length_exceeded"],
  ["content", errors.BadRequestError, 400, "content_policy_violation"],
  ["404", errors.NotFoundError, 404, "model_not_found"],
  ["no-such-model", errors.NotFoundError, 404, "model_not_found"],
  ["429-quota", errors.RateLimitError, 429, "insufficient_quota"],
  ["429-none", errors.RateLimitError, 429, "rate_limited"],
  // The gateway's key, not the caller's.
  ["401", errors.InternalServerError, 502, "upstream_credentials_refused"],
  ["403", errors.InternalServerError, 502, "upstream_credentials_refused"],
  ["408", errors.InternalServerError, 502, "upstream_failed"],
  ["500", errors.InternalServerError, 502, "upstream_failed"],
  ["502-html", errors.InternalServerError, 502, "upstream_failed"],
  ["503", errors.InternalServerError, 503, "upstream_overloaded"],
  ["529", errors.InternalServerError, 503, "upstream_overloaded"],
  ["cut-first", errors.InternalServerError, 502, "connection_cut"],
  ["empty", errors.InternalServerError, 502],
  ["wrong-type", errors.InternalServerError, 502, "malformed_answer"],
];

check("each error is of the SDK's own class", async () => {
  for (const [name, errorClass, status, code] of REFUSALS) {
    for (const stream of [false, true]) {
      const error = await rejects(errorClass, create(only(`failing/${name}`), { stream }), name);
      assert.deepEqual([error.status, error.code], [status, code ?? error.code], name);
      assert.equal(error.error.meshlog.call, error.headers.get("meshlog-call"), name);
      assert.ok(error.message && error.type, name);
      // What was well behaves well behind it, and the circuit stays closed.
      assert.equal((await create("failing/plain")).choices[0].finish_reason, "stop");
    }
  }
});

check("a limit tells when to come back", async () => {
  const limits = [["429-seconds", 1000, 1000], ["429-ms", 150, 150], ["429-date", 1, 2000], ["429-long", 3_600_000, 3_600_000]];
  for (const [name, least, most] of limits) {
    const { headers } = await rejects(errors.RateLimitError, create(only(`failing/${name}`)), name);
    const wait = Number(headers.get("retry-after-ms"));
    assert.ok(least <= wait && wait <= most, `${name}: ${wait}`);
    assert.equal(Number(headers.get("retry-after")), Math.ceil(wait / 1000), name);
  }
});

check("the SDK asks again by itself where the gateway does not", async () => {
  const begin = performance.now();
  const model = only("failing/429-ms:2");
  const answer = await gateway.chat.completions.create(askFor(model), { maxRetries: 2 });
  const took = performance.now() - begin;
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.ok(took >= 300, `${took}`);
});

check("an error inside a stream is raised behind what was said", async () => {
  for (const [name, least] of [["error-stream", 3], ["cut", 4], ["half-line", 4], ["malformed", 4]]) {
    const chunks = [];
    const read = async () => {
      for await (const chunk of await create(only(`failing/${name}`), { stream: true })) chunks.push(chunk);
    };
    const error = await rejects(errors.APIError, read(), name);
    assert.ok(chunks.length >= least && textOf(chunks), `${name}: ${chunks.length} chunks`);
    assert.ok(error.message && error.code && error.error.meshlog.provider === "failing", `${name}: ${error.message}`);
    await create("failing/plain");
  }
});

check("a wrong key is an authentication error", async () => {
  const wrong = client({ apiKey: "sk-other" });
  const requests = [
    () => wrong.chat.completions.create(askFor("plain")),
    () => wrong.models.list(),
    () => wrong.chat.completions.create(askFor("plain", { messages: user("x".repeat(200_000)), stream: true })),
    () => wrong.embeddings.create({ model: "embed", input: "x" }),
    () => wrong.models.retrieve("plain"),
  ];
  for (const request of [...requests, ...requests, ...requests]) {
    const error = await rejects(errors.AuthenticationError, request(), "a wrong key");
    assert.deepEqual([error.status, error.code], [401, "invalid_api_key"]);
    assert.equal(error.headers.get("meshlog-call"), null);
  }
});

check("a request without sense is no call", async () => {
  const bad = [
    [errors.BadRequestError, { model: "", messages: [] }, 400, "model"],
    [errors.BadRequestError, { model: "plain", messages: [], meshlog: { thraed: 1 } }, 400, "meshlog"],
    [errors.APIError, { model: "plain", messages: user("x".repeat(7 << 20)) }, 413, null],
  ];
  for (const [errorClass, request, status, param] of bad) {
    const error = await rejects(errorClass, gateway.chat.completions.create(request), param);
    assert.deepEqual([error.status, error.param ?? null], [status, param], error.message);
    assert.equal(error.headers.get("meshlog-call"), null);
  }
});

check("the answer's headers can be read", async () => {
  const { data, response, request_id } = await gateway.chat.completions.create(askFor("plain")).withResponse();
  const { headers } = response;
  assert.match(headers.get("meshlog-call"), /^[0-9a-f-]{36}$/);
  assert.deepEqual([headers.get("meshlog-provider"), headers.get("meshlog-attempts"), data.model], ["scripted", "1", "plain"]);
  assert.deepEqual([data._request_id, request_id], [headers.get("x-request-id"), headers.get("x-request-id")]);
  const streamed = await gateway.chat.completions.create(askFor("plain", { stream: true })).asResponse();
  assert.match(streamed.headers.get("meshlog-call"), /^[0-9a-f-]{36}$/);
  assert.match(streamed.headers.get("content-type"), /^text\/event-stream/);
  assert.ok((await streamed.text()).endsWith("data: [DONE]\n\n"));
});

check("sixty four streams at once", async () => {
  const begin = performance.now();
  const numbers = Array.from({ length: 64 }, (_, number) => number);
  const one = async () => textOf(await collected(create(only("stream:40@100"), { stream: true })));
  const texts = await Promise.all(numbers.map(one));
  const expected = Array.from({ length: 40 }, (_, number) => `w${number} `).join("");
  assert.deepEqual(new Set(texts), new Set([expected]));
  // One after the other they take 25 s.
  assert.ok(performance.now() - begin < 10_000, `${performance.now() - begin} ms`);
});

check("a turn is remembered and recalled", async () => {
  const space = `javascript-${runId}`;
  const headers = { "meshlog-space": space, "meshlog-thread": "headers", "meshlog-author": "Ines" };
  const own = { meshlog: { space, thread: "body", author: "Ines" } };
  for (const [thread, fields, options] of [["headers", { stream: true }, { headers }], ["body", own, {}]]) {
    const question = `When does the ${thread} ferry to the lighthouse island leave?`;
    const messages = [{ role: "system", content: "be brief" }, ...user(question)];
    const answer = await gateway.chat.completions.create({ model: "plain:12", messages, ...fields }, options);
    const text = fields.stream ? textOf(await collected(answer)) : answer.choices[0].message.content;
    const shown = async () => (await ask(`${root}/v1/threads/${thread}/messages?space=${space}`)).json.items ?? [];
    await eventually("the turn is shown", async () => (await shown()).length === 2, 20_000);
    const found = await shown();
    const turn = [["user", "Ines", question], ["assistant", "plain:12", text]];
    assert.deepEqual(found.map((message) => [message.role, message.author, message.text]), turn);
    const recalled = async () => {
      const asked = { query: "lighthouse ferry", spaces: [space], limit: 50 };
      const { results } = (await ask(`${root}/v1/recall`, asked)).json;
      return found.every((message) => results.some((result) => result.message_id === message.message_id));
    };
    await eventually("the turn is recalled", recalled, 20_000);
  }
});

await run();
