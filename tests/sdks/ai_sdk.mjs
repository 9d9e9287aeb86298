// Vercel's AI SDK with its provider for servers that speak as OpenAI's, against the gateway:
//
//     node ai_sdk.mjs --base-url http://HOST:PORT/v1 --upstream http://HOST:PORT/v1
//
// The gateway must be set up as for openai_sdk.py.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, Output, embedMany, generateText, isStepCount, streamText, tool } from "ai";
import { z } from "zod";
import { KEY, ask, check, eventually, fetchAndNote, left, options, run } from "./checks.mjs";

const { "base-url": baseURL, upstream } = options("base-url", "upstream");
const root = baseURL.replace(/\/v1$/, "");
const runId = randomUUID().slice(0, 8);
const usual = { baseURL, apiKey: KEY, fetch: fetchAndNote, includeUsage: true, supportsStructuredOutputs: true };
const compatible = (name, changes) => createOpenAICompatible({ name, ...usual, ...changes });
const meshlog = compatible("meshlog");
const direct = compatible("direct", { baseURL: upstream, fetch });
const prompt = "Where is the ferry? Ünï 🦀";
const settings = { prompt, maxRetries: 0 };
const tools = {
  weather_of: tool({ inputSchema: z.object({ city: z.string() }), execute: ({ city }) => `fine in ${city}` }),
  time_in: tool({ inputSchema: z.object({ zone: z.string() }), execute: ({ zone }) => `noon in ${zone}` }),
};

/** The error that a promise must end with. */
const failure = (promise) => Promise.resolve(promise).then(() => assert.fail("no error"), (error) => error);

check("an answer is the provider's", async () => {
  for (const model of ["plain:30", "echo", "reasoning:6", "unknown", "multibyte"]) {
    const told = async (provider) => {
      const { text, reasoningText, finishReason, usage } = await generateText({ model: provider(model), ...settings });
      return { text, reasoningText, finishReason, usage };
    };
    const found = await told(meshlog);
    assert.deepEqual(found, await told(direct), model);
    assert.ok(found.text && found.usage.outputTokens > 0, model);
  }
});

check("a stream is the provider's", async () => {
  const framings = ["unknown", "crlf", "bom", "multi", "split", "glued", "no-done", "multibyte"];
  for (const model of ["plain:30", "reasoning:6", ...framings]) {
    const result = streamText({ model: meshlog(model), ...settings });
    const pieces = [];
    for await (const piece of result.textStream) pieces.push(piece);
    const expected = await generateText({ model: direct(model), ...settings });
    assert.deepEqual([pieces.join(""), await result.finishReason], [expected.text, "stop"], model);
    assert.equal((await result.usage).outputTokens, expected.usage.outputTokens, model);
  }
});

check("it runs tools and answers them", async () => {
  const steps = { tools, stopWhen: isStepCount(3), ...settings };
  const whole = await generateText({ model: meshlog("tools"), ...steps });
  const streamed = streamText({ model: meshlog("tools"), ...steps });
  for (const [text, [first]] of [[whole.text, whole.steps], [await streamed.text, await streamed.steps]]) {
    const results = first.toolResults.map((result) => [result.toolName, result.output]);
    assert.deepEqual(results, [["weather_of", "fine in Berlin"], ["time_in", "noon in Europe/Berlin"]]);
    assert.equal(text.split(" ").length, 8);
  }
});

check("structured output is read", async () => {
  const ferry = { name: "Ünsinkable", seats: 80 };
  const output = Output.object({ schema: z.object({ name: z.string(), seats: z.number() }) });
  const request = { model: meshlog("echo"), maxRetries: 0, prompt: JSON.stringify(ferry), output };
  assert.deepEqual((await generateText(request)).output, ferry);
  const streamed = streamText(request);
  await streamed.consumeStream();
  assert.deepEqual(await streamed.output, ferry);
});

check("an image is passed on", async () => {
  const content = [{ type: "text", text: "What?" }, { type: "file", data: new Uint8Array(300), mediaType: "image/png" }];
  const { text } = await generateText({ model: meshlog("image"), maxRetries: 0, messages: [{ role: "user", content }] });
  assert.deepEqual(JSON.parse(text).images, [{ bytes: 300, type: "image/png" }]);
});

check("many texts are embedded", async () => {
  const values = ["a ferry", "soup", "a ferry"];
  for (const [name, dimensions] of [["embed", 8], ["all-MiniLM-L6-v2", 384]]) {
    const { embeddings, usage } = await embedMany({ model: meshlog.embeddingModel(name), values, maxRetries: 0 });
    assert.deepEqual(embeddings.map((vector) => vector.length), [dimensions, dimensions, dimensions]);
    assert.deepEqual(embeddings[0], embeddings[2]);
    assert.notDeepEqual(embeddings[0], embeddings[1]);
    assert.ok(embeddings.every((vector) => Math.abs(Math.hypot(...vector) - 1) < 1e-4) && usage.tokens > 0);
  }
});

check("leaving a stream stops the provider", async () => {
  const model = `stream:2000@40#${runId}`;
  const controller = new AbortController();
  const result = streamText({ model: meshlog(model), ...settings, abortSignal: controller.signal, onError() {} });
  let read = 0;
  for await (const part of result.stream) if (part.type === "text-delta" && ++read === 3) controller.abort();
  await eventually("the upstream notices", () => left(upstream, model), 1000);
});

check("errors are told as its own, and asked again where that helps", async () => {
  for (const [name, status, retryable, words] of [
    ["context", 400, false, "maximum context length"],
    ["404", 404, false, "does not exist"],
    ["429-none", 429, true, "Rate limit reached"],
    ["529", 503, true, "Overloaded"],
  ]) {
    const error = await failure(generateText({ model: meshlog(`failing/${name}#${runId}`), ...settings }));
    assert.ok(APICallError.isInstance(error), `${name}: ${error}`);
    assert.deepEqual([error.statusCode, error.isRetryable], [status, retryable], name);
    assert.ok(error.message.includes(words), error.message);
  }
  const again = await generateText({ model: meshlog(`failing/429-ms:1#${runId}`), prompt, maxRetries: 1 });
  assert.equal(again.finishReason, "stop");
  const refused = compatible("refused", { apiKey: "sk-other", fetch });
  assert.equal((await failure(generateText({ model: refused("plain"), ...settings }))).statusCode, 401);
});

check("an error inside a stream is told behind what was said", async () => {
  const parts = [];
  const result = streamText({ model: meshlog(`failing/error-stream#${runId}`), ...settings, onError() {} });
  for await (const part of result.stream) parts.push(part);
  const error = parts.find((part) => part.type === "error");
  assert.ok(JSON.stringify(error?.error?.message ?? error?.error).includes("overloaded"), JSON.stringify(parts));
  assert.ok(parts.some((part) => part.type === "text-delta" && part.text));
});

check("a turn is remembered and recalled", async () => {
  const space = `ai-${runId}`;
  const headers = { "meshlog-space": space, "meshlog-thread": "page", "meshlog-author": "Ines" };
  const { text, response } = await generateText({ model: meshlog("plain:12"), ...settings, headers });
  assert.match(response.headers["meshlog-call"], /^[0-9a-f-]{36}$/);
  const shown = async () => (await ask(`${root}/v1/threads/page/messages?space=${space}`)).json.items ?? [];
  await eventually("the turn is shown", async () => (await shown()).length === 2, 20_000);
  assert.deepEqual((await shown()).map((item) => [item.author, item.text]), [["Ines", prompt], ["plain:12", text]]);
  const recalled = async () => (await ask(`${root}/v1/recall`, { query: "ferry", spaces: [space] })).json.results.length === 2;
  await eventually("the turn is recalled", recalled, 20_000);
});

await run();
