// OpenAI's own SDK for JavaScript against real models behind the gateway:
//
//     node local_models.mjs --base-url http://HOST:PORT/v1 [--embedding-model NAME] [--chat-model NAME [--direct URL]]
//
// The gateway must be set up as for local_models.py, which has these checks and more.

import assert from "node:assert/strict";
import OpenAI, * as errors from "openai";
import { KEY, ask, check, eventually, fetchAndNote, note, options, rejects, run } from "./checks.mjs";

const given = options("base-url", "embedding-model", "chat-model", "direct");
const root = given["base-url"].replace(/\/v1$/, "");
const gateway = new OpenAI({ baseURL: given["base-url"], apiKey: KEY, maxRetries: 0, fetch: fetchAndNote });
const direct = given.direct && new OpenAI({ baseURL: given.direct, apiKey: KEY, maxRetries: 0 });

const messages = [{ role: "user", content: "Tell me in a few sentences about the sea." }];
const request = { model: given["chat-model"], messages, temperature: 0, max_tokens: 24, seed: 1 };
const streamed = { ...request, stream: true, stream_options: { include_usage: true } };

const whole = async (sdk, changes) => {
  const { choices, usage } = await sdk.chat.completions.create({ ...request, ...changes });
  return [choices[0].message.content, choices[0].finish_reason, usage.prompt_tokens, usage.completion_tokens];
};

const stream = async (sdk) => {
  let [text, reason, usage] = ["", null, null];
  for await (const chunk of await sdk.chat.completions.create(streamed)) {
    text += chunk.choices[0]?.delta.content ?? "";
    reason = chunk.choices[0]?.finish_reason ?? reason;
    usage = chunk.usage ?? usage;
  }
  return [text, reason, usage.prompt_tokens, usage.completion_tokens];
};

check("a model that is not there is not found", async () => {
  for (const ask of [
    () => gateway.models.retrieve("no-such-model"),
    () => gateway.chat.completions.create({ ...request, model: "no-such-model" }),
    () => gateway.embeddings.create({ model: "no-such-model", input: "x" }),
  ]) {
    const error = await rejects(errors.NotFoundError, ask(), "no-such-model");
    assert.deepEqual([error.code, error.headers.get("meshlog-call")], ["model_not_found", null]);
  }
});

if (given["embedding-model"]) {
  check("vectors are of unit length, and equal for equal texts", async () => {
    const input = ["When does the ferry leave?", "soup", "When does the ferry leave?"];
    const { data } = await gateway.embeddings.create({ model: given["embedding-model"], input });
    for (const { embedding } of data) {
      assert.equal(embedding.length, 384);
      assert.ok(Math.abs(Math.hypot(...embedding) - 1) < 1e-4);
    }
    assert.deepEqual(data[0].embedding, data[2].embedding);
  });
}

if (given["chat-model"]) {
  check("a stream says the same as a whole answer", async () => {
    const [text, reason, prompt, output] = await whole(gateway);
    assert.ok(text.trim() && prompt > 8 && output > 0 && ["stop", "length"].includes(reason));
    assert.deepEqual(await stream(gateway), [text, reason, prompt, output]);
  });

  check("the SDK's own streaming helper works", async () => {
    const helper = gateway.chat.completions.stream(streamed);
    const deltas = [];
    helper.on("content", (delta) => deltas.push(delta));
    assert.equal(await helper.finalContent(), deltas.join(""));
    assert.equal(deltas.join(""), (await whole(gateway))[0]);
  });

  check("leaving a stream ends the generation", async () => {
    const long = [{ role: "user", content: "Write a very long story." }];
    const pending = gateway.chat.completions.create({ ...request, messages: long, max_tokens: 2000, stream: true });
    const { data, response } = await pending.withResponse();
    let read = 0;
    for await (const _ of data) if (++read === 3) break;
    const idle = async () => (await ask(`${root}/v1/providers`)).json.under_way === 0;
    console.log(`   ended after ${(await eventually("no call is under way", idle, 2000)).toFixed(0)} ms`);
    const call = `${root}/v1/calls/${response.headers.get("meshlog-call")}`;
    await eventually("the call is cancelled", async () => (await ask(call)).json.state === "cancelled", 20_000);
  });
} else {
  note("left out: no chat model; see `make model-chat`");
}

if (direct) {
  check("every answer is that of the server behind it", async () => {
    for (const changes of [{}, { stop: ["."] }, { max_tokens: 3 }]) {
      assert.deepEqual(await whole(gateway, changes), await whole(direct, changes));
    }
    assert.deepEqual(await stream(gateway), await stream(direct));
  });
}

await run();
