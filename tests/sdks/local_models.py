"""OpenAI's own SDK for Python against real models behind the gateway:

    python local_models.py --base-url http://HOST:PORT/v1 [--embedding-model NAME] [--chat-model NAME [--direct URL]]

With --direct, the base URL of the server behind the gateway that has the chat model, too, answers at temperature 0 must be the
same there. The gateway must not have a model for every name.
"""

import functools
import math
import time
import uuid

import openai
from openai import OpenAI

from checks import KEY, arguments, ask, check, equal, eventually, heard, holds, note, raises, run

options = arguments("base-url", "embedding-model", "chat-model", "direct")
root = options.base_url.removesuffix("/v1")


def client(base_url, hook):
    http_client = openai.DefaultHttpxClient(event_hooks={"response": [hook]})
    return OpenAI(base_url=base_url, api_key=KEY, max_retries=0, http_client=http_client, timeout=300)


gateway = client(options.base_url, heard)
direct = client(options.direct, lambda response: None) if options.direct else None
TURNS = [
    {"role": "user", "content": "Name a colour. Answer in one word."},
    {"role": "assistant", "content": "Blue."},
    {"role": "user", "content": "Tell me in a few sentences about the sea."},
]


def create(sdk=gateway, **changes):
    request = {"model": options.chat_model, "messages": TURNS, "temperature": 0, "max_tokens": 24, "seed": 1}
    return sdk.chat.completions.create(**(request | changes))


def told(answer):
    """What an answer at temperature 0 must say again."""
    choice, usage = answer.choices[0], answer.usage
    return choice.message.content, choice.finish_reason, usage.prompt_tokens, usage.completion_tokens


@functools.cache
def whole():
    """What is answered to the usual request."""
    return told(create())


def in_its_midst():
    """Three letters of that answer."""
    text = whole()[0]
    return text[len(text) // 2:][:3]


def told_by_stream(chunks):
    chunks = list(chunks)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    reason = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1]
    return text, reason, chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens


@check
def models_are_listed_and_found():
    listed = {model.id for model in gateway.models.list()}
    for name in filter(None, [options.embedding_model, options.chat_model]):
        holds(name in listed, f"{name} is not in {listed}")
        equal(gateway.models.retrieve(name).id, name)


@check
def a_model_that_is_not_there_is_not_found():
    for request in [
        lambda: gateway.models.retrieve("no-such-model"),
        lambda: gateway.chat.completions.create(model="no-such-model", messages=TURNS),
        lambda: gateway.embeddings.create(model="no-such-model", input="x"),
    ]:
        error = raises(openai.NotFoundError, request)
        equal(error.code, "model_not_found")
        holds("no-such-model" in error.message and "meshlog-call" not in error.response.headers, error.message)


if options.embedding_model:

    @check
    def vectors_are_of_unit_length_and_near_for_what_is_alike():
        question = "When does the ferry leave?"
        texts = [question, "The boat departs at nine.", "A recipe for onion soup", question]
        vectors = [data.embedding for data in gateway.embeddings.create(model=options.embedding_model, input=texts).data]
        holds({len(vector) for vector in vectors} == {384} and vectors[0] == vectors[3], "384 dimensions, equal texts alike")
        holds(all(abs(math.hypot(*vector) - 1) < 1e-4 for vector in vectors), "unit length")
        holds(math.dist(vectors[0], vectors[1]) < math.dist(vectors[0], vectors[2]), "nearer in meaning")
        alone = gateway.embeddings.create(model=options.embedding_model, input=question, encoding_format="float").data[0]
        holds(math.dist(alone.embedding, vectors[0]) < 1e-3, "alone as among others")


if options.chat_model:

    @check
    def a_whole_answer_has_text_and_usage():
        text, reason, prompt, output = whole()
        holds(text.strip() and prompt > 20 and 0 < output <= 24, f"{text!r} {prompt} {output}")
        holds(reason == ("length" if output == 24 else "stop"), f"{reason} after {output}")
        equal(told(create(max_tokens=3))[1::2], ("length", 3))

    @check
    def a_stream_says_the_same_as_a_whole_answer():
        stream = create(stream=True, stream_options={"include_usage": True})
        equal(told_by_stream(stream), whole())
        silent = list(create(stream=True))
        holds(all(chunk.usage is None for chunk in silent), "no usage that nobody asked for")

    @check
    def a_stream_comes_piece_by_piece():
        begin = time.monotonic()
        times = [time.monotonic() - begin for _ in create(stream=True, max_tokens=24)]
        holds(len(times) > 5 and times[1] < times[-1] * 0.7, f"{times}")

    @check
    def a_stop_text_ends_an_answer_and_is_not_said():
        text, stop = whole()[0], in_its_midst()
        equal(told(create(stop=[stop]))[:2], (text[: text.index(stop)], "stop"))

    @check
    def the_sdks_own_streaming_helper_works():
        # It takes an answer that ended for its length for an error.
        request = {"model": options.chat_model, "messages": TURNS, "temperature": 0, "stop": [in_its_midst()], "seed": 1}
        with gateway.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
            deltas = [event.delta for event in stream if event.type == "content.delta"]
            answer = stream.get_final_completion()
        equal("".join(deltas), answer.choices[0].message.content)
        equal(told(answer), told(create(**request)))

    @check
    def leaving_a_stream_ends_the_generation():
        stream = create(stream=True, max_tokens=2000, messages=[{"role": "user", "content": "Write a very long story."}])
        call = stream.response.headers["meshlog-call"]
        for _ in range(3):
            next(stream)
        stream.close()
        took = eventually("no call is under way", lambda: ask(f"{root}/v1/providers")["under_way"] == 0, 2.0)
        print(f"   ended after {took * 1000:.0f} ms")
        state = lambda: ask(f"{root}/v1/calls/{call}")["state"]
        eventually("the call is cancelled", lambda: state() == "cancelled", 20.0)

    @check
    def a_turn_with_the_model_is_remembered():
        space = f"local-{uuid.uuid4().hex[:8]}"
        text = told(create(extra_headers={"meshlog-space": space, "meshlog-thread": "sea"}))[0]

        def recalled():
            found = ask(f"{root}/v1/recall", {"query": "the sea", "spaces": [space]})["results"]
            return {message["text"] for message in found} == {TURNS[-1]["content"], text}

        eventually("the turn is recalled", recalled, 20.0)

else:
    note("left out: no chat model; see `make model-chat`")


if options.chat_model and not direct:

    @check
    def what_cannot_be_continued_is_a_bad_request():
        for changes in [{"messages": "oops"}, {"temperature": "hot"}]:
            error = raises(openai.BadRequestError, lambda: create(**changes))
            holds(error.message and error.code, f"{error}")


if direct:
    TOOLS = [{
        "type": "function",
        "function": {
            "name": "weather_of", "description": "The weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }]
    FERRY = {
        "type": "object", "properties": {"name": {"type": "string", "maxLength": 12}, "seats": {"type": "integer"}},
        "required": ["name", "seats"], "additionalProperties": False,
    }
    # Each must be answered the same by either way.
    REQUESTS = {
        "turns": {},
        "a system prompt": {"messages": [{"role": "system", "content": "You are a sailor."}, TURNS[-1]]},
        "parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "Say hello."}]}]},
        "stop": {"stop": [",", "."]},
        "tools": {"tools": TOOLS, "messages": [{"role": "user", "content": "What is the weather in Berlin?"}]},
        "a schema": {
            "max_tokens": 60,
            "response_format": {"type": "json_schema", "json_schema": {"name": "ferry", "strict": True, "schema": FERRY}},
        },
        "probabilities": {"logprobs": True, "top_logprobs": 2, "max_tokens": 4},
        "fields of its own": {"max_tokens": 8, "extra_body": {"top_k": 5, "min_p": 0.1, "cache_prompt": False}},
    }
    CHANGING = {"id", "created", "timings", "system_fingerprint"}

    def lasting(document):
        """Without what differs from answer to answer: names, times, and what the server finds in its cache."""
        kept = {name: value for name, value in document.items() if name not in CHANGING}
        if kept.get("usage"):
            kept["usage"] = {name: kept["usage"][name] for name in ["prompt_tokens", "completion_tokens", "total_tokens"]}
        for choice in kept["choices"]:
            for call in (choice.get("message") or choice["delta"]).get("tool_calls") or []:
                call.pop("id", None)
        return kept

    @check
    def every_answer_is_that_of_the_server_behind_it():
        for name, changes in REQUESTS.items():
            found, expected = (lasting(create(sdk, **changes).model_dump(exclude_unset=True)) for sdk in [gateway, direct])
            equal(found, expected, name)

    @check
    def every_stream_is_that_of_the_server_behind_it():
        for name, changes in REQUESTS.items():
            changes = changes | {"stream": True, "stream_options": {"include_usage": True}}
            found, expected = (
                [lasting(chunk.model_dump(exclude_unset=True)) for chunk in create(sdk, **changes)] for sdk in [gateway, direct]
            )
            equal(found, expected, name)

    @check
    def errors_are_those_of_the_server_behind_it():
        too_long = [{"role": "user", "content": "word " * 200_000}]
        for changes in [{"messages": []}, {"messages": too_long}, {"temperature": "hot"}]:
            errors = []
            for sdk in [gateway, direct]:
                try:
                    create(sdk, **changes)
                except openai.APIStatusError as error:
                    errors.append((type(error), error.body["message"]))
            equal(errors[:1], errors[1:], f"{list(changes)}")


run()
