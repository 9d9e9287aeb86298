"""OpenAI's own SDK for Python against the gateway, with the scripted upstream behind it:

    python openai_sdk.py --base-url http://HOST:PORT/v1 --upstream http://HOST:PORT/v1

The gateway must have the upstream as the providers `scripted` and `failing` (which is never asked again), the models
`renamed` (scripted/params) and `*` (scripted/*), and the caller's key `sk-tests`. With --base-url the same as --upstream the
checks of the upstream itself hold and those of the gateway's own fail.
"""

import asyncio
import itertools
import json
import math
import re
import time
import urllib.error
import uuid

import openai
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from checks import KEY, arguments, ask, check, equal, eventually, heard, holds, left, raises, run, unheard

options = arguments("base-url", "upstream")
sent = []


def client(**changes):
    """The SDK on the gateway, which is told what it sent and what came back."""
    hooks = {"request": [lambda request: sent.append(request.read())], "response": [heard]}
    settings = {"base_url": options.base_url, "api_key": KEY, "max_retries": 0}
    return OpenAI(http_client=openai.DefaultHttpxClient(event_hooks=hooks), **(settings | changes))


def async_client():
    async def told(response):
        heard(response)

    http_client = openai.DefaultAsyncHttpxClient(event_hooks={"response": [told]})
    return AsyncOpenAI(base_url=options.base_url, api_key=KEY, max_retries=0, http_client=http_client)


gateway = client()
direct = OpenAI(base_url=options.upstream, api_key="none", max_retries=0)
run_id = uuid.uuid4().hex[:8]
numbers = itertools.count()


def user(text):
    return [{"role": "user", "content": text}]


def only(model):
    """A model string that nothing else uses."""
    return f"{model}#{run_id}-{next(numbers)}"


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def said(model_object):
    """Everything that was sent, and nothing that was not."""
    return model_object.model_dump(exclude_unset=True)


def root():
    return options.base_url.removesuffix("/v1")


@check
def models_are_listed_and_each_is_found():
    listed = list(gateway.models.list())
    holds({"plain", "all-MiniLM-L6-v2"} <= {model.id for model in listed}, f"{listed}")
    for model in listed:
        equal(gateway.models.retrieve(model.id), model, model.id)
    for name in ["stream:5@10", "scripted/plain", "org/model", "a model?&#"]:
        found = gateway.models.retrieve(name)
        equal((found.id, found.object), (name, "model"))


@check
def a_whole_answer_is_the_providers():
    for model in ["plain", "plain:40", "echo", "reasoning:6", "unknown:6", "no-usage", "multibyte", "split", "glued"]:
        request = {"model": model, "messages": user("Is the ferry late? Ünï 🦀"), "temperature": 0.5, "seed": 7}
        equal(said(gateway.chat.completions.create(**request)), said(direct.chat.completions.create(**request)), model)
    answer = gateway.chat.completions.create(model="reasoning:6", messages=user("?"))
    details = answer.usage.prompt_tokens_details
    equal((answer.choices[0].finish_reason, details.cached_tokens), ("stop", 64))
    equal((answer.choices[0].message.reasoning_content, answer.usage.completion_tokens), ("The user asks; I answer.", 11))


@check
def a_stream_with_usage_is_the_providers():
    framings = ["plain", "crlf", "bom", "multi", "nospace", "split", "glued", "no-done", "multibyte", "unknown"]
    for model in [*framings, "echo", "reasoning:6", "no-usage", "stream:300"]:
        request = {"model": model, "messages": user("Where to? Ünï 🦀"), "stream": True}
        request["stream_options"] = {"include_usage": True}
        chunks = list(gateway.chat.completions.create(**request))
        expected = list(direct.chat.completions.create(**request))
        equal([said(chunk) for chunk in chunks], [said(chunk) for chunk in expected], model)
        equal([chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1], "stop", model)
        equal([chunk for chunk in chunks if not chunk.choices] == [], model == "no-usage", model)
        if model != "no-usage":
            holds(chunks[-1].usage.completion_tokens > 0, model)


@check
def a_stream_without_usage_has_none():
    for model in ["plain:20", "unknown", "multi", "split", "glued", "reasoning:4", "crlf"]:
        request = {"model": model, "messages": user("Where to?"), "stream": True}
        chunks = [said(chunk) for chunk in gateway.chat.completions.create(**request)]
        expected = [said(chunk) for chunk in direct.chat.completions.create(**request)]
        # It is the hash of the request, and the gateway asks for usage.
        for chunk in chunks + expected:
            del chunk["id"]
            equal(chunk.pop("usage", None), None, model)
        equal(chunks, expected, model)


@check
def a_stream_comes_piece_by_piece():
    begin = time.monotonic()
    stream = gateway.chat.completions.create(model="stream:11@20", messages=user("x"), stream=True)
    times = [time.monotonic() - begin for _ in stream]
    holds(times[1] < times[-1] / 2 and times[-1] > 0.45, f"{times}")




def tool(name, field):
    parameters = {"type": "object", "properties": {field: {"type": "string"}}}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [tool("weather_of", "city"), tool("time_in", "zone")]
CALLS = [("weather_of", {"city": "Berlin"}), ("time_in", {"zone": "Europe/Berlin"})]


@check
def parallel_tool_calls_are_whole_and_are_answered():
    messages = user("How is Berlin?")
    answer = gateway.chat.completions.create(model="tools", messages=messages, tools=TOOLS)
    calls = answer.choices[0].message.tool_calls
    equal([(call.function.name, json.loads(call.function.arguments)) for call in calls], CALLS)
    equal((answer.choices[0].finish_reason, answer.choices[0].message.content), ("tool_calls", None))
    messages.append(answer.choices[0].message)
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in calls]
    answer = gateway.chat.completions.create(model="tools", messages=messages, tools=TOOLS)
    equal((answer.choices[0].finish_reason, len(answer.choices[0].message.content.split())), ("stop", 8))


@check
def fragments_of_tool_calls_come_in_turn():
    chunks = gateway.chat.completions.create(model="tools", messages=user("How is Berlin?"), tools=TOOLS, stream=True)
    calls, fragments, reason = {}, 0, None
    for chunk in chunks:
        for part in chunk.choices[0].delta.tool_calls or []:
            call = calls.setdefault(part.index, {"id": part.id, "name": part.function.name, "arguments": ""})
            call["arguments"] += part.function.arguments
            fragments += 1
        reason = chunk.choices[0].finish_reason or reason
    equal([(call["name"], json.loads(call["arguments"])) for call in calls.values()], CALLS)
    holds(fragments == 8 and len({call["id"] for call in calls.values()}) == 2, f"{fragments} {calls}")
    equal(reason, "tool_calls")


@check
def the_sdks_own_streaming_helper_works():
    def helped(sdk):
        request = {"messages": user("How is Berlin?"), "tools": TOOLS, "stream_options": {"include_usage": True}}
        with sdk.chat.completions.stream(model="tools", **request) as stream:
            return [said(event) for event in stream], stream.get_final_completion()

    events, answer = helped(gateway)
    equal(events, helped(direct)[0])
    equal([(call.function.name, json.loads(call.function.arguments)) for call in answer.choices[0].message.tool_calls], CALLS)
    holds(answer.usage.completion_tokens == 24, f"{answer.usage}")
    with gateway.chat.completions.stream(model="plain:30", messages=user("Go")) as stream:
        deltas = [event.delta for event in stream if event.type == "content.delta"]
        content = stream.get_final_completion().choices[0].message.content
    equal("".join(deltas), content)
    equal(content, direct.chat.completions.create(model="plain:30", messages=user("Go")).choices[0].message.content)


class Ferry(BaseModel):
    name: str
    seats: int


@check
def structured_output_is_passed_on_and_read():
    ferry = {"name": "Ünsinkable", "seats": 80}
    answer = gateway.chat.completions.parse(model="echo", messages=user(json.dumps(ferry)), response_format=Ferry)
    equal(answer.choices[0].message.parsed, Ferry(**ferry))
    with gateway.chat.completions.stream(model="echo", messages=user(json.dumps(ferry)), response_format=Ferry) as stream:
        for _ in stream:
            pass
        equal(stream.get_final_completion().choices[0].message.parsed, Ferry(**ferry))


@check
def a_request_arrives_byte_for_byte():
    rest = {
        "messages": [{"role": "developer", "content": "brief"}, *user('a "quoted" \\ \u2028 Ünï 🦀 \t text')],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": {"type": "object"}}},
        "tools": TOOLS, "tool_choice": "auto", "temperature": 0.30000000000000004, "logit_bias": {"50256": -100},
        "reasoning_effort": "low", "metadata": {"a": "b"}, "stop": ["\n", "END"], "parallel_tool_calls": True,
        "extra_body": {"x_unknown": [1, 1.0, 1e300, {"deep": None}], "top_k": 40},
    }

    def arrived(model, **more):
        answer = gateway.chat.completions.create(model=model, **rest, **more)
        text = text_of(answer) if more.get("stream") else answer.choices[0].message.content
        return text.encode(), sent[-1]

    found, expected = arrived("params")
    equal(found, expected)
    found, expected = arrived("renamed")
    equal(found, expected.replace(b'"model":"renamed"', b'"model":"params"'))
    found, expected = arrived("params", stream=True, stream_options={"include_usage": True})
    equal(found, expected)
    found, expected = arrived("params", stream=True)
    equal(found, expected[:-1] + b',"stream_options":{"include_usage":true}}')
    found, expected = arrived("params", stream=True, stream_options={"include_obfuscation": False})
    options_sent = b'"stream_options":{"include_obfuscation":false'
    equal(found, expected.replace(options_sent, options_sent + b',"include_usage":true'))


@check
def images_are_passed_on():
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'A' * 4000}"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.jpg", "detail": "low"}},
    ]
    answer = gateway.chat.completions.create(model="image", messages=[{"role": "user", "content": parts}])
    images = [{"bytes": 3000, "type": "image/png"}, {"url": "https://example.org/cat.jpg"}]
    equal(json.loads(answer.choices[0].message.content), {"count": 2, "images": images})


@check
def embeddings_are_the_providers_in_both_encodings():
    request = {"model": "embed", "input": ["a ferry", "soup", "a ferry"], "dimensions": 16}
    # Base64 is what the SDK asks for by itself.
    packed = gateway.embeddings.create(**request)
    holds(b'"encoding_format":"base64"' in sent[-1], f"{sent[-1]}")
    equal(said(packed), said(direct.embeddings.create(**request)))
    floats = gateway.embeddings.create(**request, encoding_format="float")
    for one, other in zip(packed.data, floats.data, strict=True):
        holds(math.dist(one.embedding, other.embedding) < 1e-6 and len(one.embedding) == 16, f"{one} {other}")
        holds(abs(math.hypot(*one.embedding) - 1) < 1e-5, "unit length")
    holds(packed.data[0].embedding == packed.data[2].embedding != packed.data[1].embedding, "equal texts, equal vectors")
    equal(len(gateway.embeddings.create(model="embed", input=[[1, 2], [3]]).data), 2)


@check
def the_local_model_embeds():
    texts = ["The ferry leaves at nine.", "soup", "The ferry leaves at nine."]
    packed = gateway.embeddings.create(model="all-MiniLM-L6-v2", input=texts)
    floats = gateway.embeddings.create(model="local/all-MiniLM-L6-v2", input=texts, encoding_format="float")
    equal([data.index for data in packed.data], [0, 1, 2])
    for one, other in zip(packed.data, floats.data, strict=True):
        holds(len(one.embedding) == 384 and math.dist(one.embedding, other.embedding) < 1e-6, "both encodings")
        holds(abs(math.hypot(*one.embedding) - 1) < 1e-4, "unit length")
    holds(packed.data[0].embedding == packed.data[2].embedding != packed.data[1].embedding, "equal texts, equal vectors")
    holds(packed.usage.prompt_tokens == packed.usage.total_tokens > 10, f"{packed.usage}")
    error = raises(openai.BadRequestError, lambda: gateway.embeddings.create(model="all-MiniLM-L6-v2", input="x", dimensions=7))
    holds("384" in error.message, error.message)


@check
def leaving_a_stream_stops_the_provider():
    for read in [0, 3]:
        model = only("stream:2000@40")
        stream = gateway.chat.completions.create(model=model, messages=user("x"), stream=True)
        for _ in range(read):
            next(stream)
        stream.close()
        took = eventually("the upstream notices", lambda: left(options.upstream, model), 1.0)
        print(f"   noticed after {took * 1000:.0f} ms")


@check
def a_request_that_times_out_stops_the_provider():
    model = only("never")
    impatient = gateway.with_options(timeout=1.0)
    unheard()
    raises(openai.APITimeoutError, lambda: impatient.chat.completions.create(model=model, messages=user("x")))
    eventually("the upstream notices", lambda: left(options.upstream, model), 1.0)


# What the scripted upstream answers, what the SDK raises then, with which status and code.
REFUSALS = [
    ("400", openai.BadRequestError, 400, "invalid_type"),
    ("context", openai.BadRequestError, 400, "context_length_exceeded"),
    ("content", openai.BadRequestError, 400, "content_policy_violation"),
    ("404", openai.NotFoundError, 404, "model_not_found"),
    ("no-such-model", openai.NotFoundError, 404, "model_not_found"),
    ("429-quota", openai.RateLimitError, 429, "insufficient_quota"),
    ("429-none", openai.RateLimitError, 429, "rate_limited"),
    # The gateway's key, not the caller's.
    ("401", openai.InternalServerError, 502, "upstream_credentials_refused"),
    ("403", openai.InternalServerError, 502, "upstream_credentials_refused"),
    ("408", openai.InternalServerError, 502, "upstream_failed"),
    ("409", openai.InternalServerError, 502, "upstream_failed"),
    ("500", openai.InternalServerError, 502, "upstream_failed"),
    ("502-html", openai.InternalServerError, 502, "upstream_failed"),
    ("503", openai.InternalServerError, 503, "upstream_overloaded"),
    ("529", openai.InternalServerError, 503, "upstream_overloaded"),
    ("error-200", openai.InternalServerError, None, None),
    ("cut-first", openai.InternalServerError, 502, "connection_cut"),
    ("cut", openai.InternalServerError, 502, None),
    ("malformed", openai.InternalServerError, 502, None),
    ("empty", openai.InternalServerError, 502, None),
    ("wrong-type", openai.InternalServerError, 502, "malformed_answer"),
]


@check
def each_error_is_of_the_sdks_own_class():
    for name, error_class, status, code in REFUSALS:
        for stream in [False, True]:
            if stream and name in ["cut", "malformed"]:
                continue
            request = {"model": only(f"failing/{name}"), "messages": user("x"), "stream": stream}
            error = raises(error_class, lambda: gateway.chat.completions.create(**request))
            holds(error.status_code == (status or error.status_code), f"{name}: {error.status_code}")
            holds(error.code == (code or error.code) and error.code, f"{name}: {error.code}")
            holds(error.body["meshlog"]["call"] == error.response.headers["meshlog-call"], f"{name}: {error.body}")
            holds(error.message and error.type, f"{name}: {error}")
            # What was well behaves well behind it, and the circuit stays closed.
            answer = gateway.chat.completions.create(model="failing/plain", messages=user("x"))
            equal(answer.choices[0].finish_reason, "stop", name)


@check
def the_providers_words_are_repeated():
    for name in ["400", "context", "content", "404", "429-quota", "429-none", "500"]:
        # A model that does not exist is named in the words.
        through = raises_of(gateway, f"failing/{name}")
        itself = raises_of(direct, name)
        equal(through.body["message"], itself.body["message"], name)
        if name != "500" and name != "429-none":
            equal([through.type, through.param, through.code], [itself.type, itself.param, itself.code], name)


def raises_of(sdk, model):
    try:
        sdk.chat.completions.create(model=only(model), messages=user("x"))
    except openai.APIStatusError as error:
        return error
    raise AssertionError(f"{model} is not refused")


@check
def a_limit_tells_when_to_come_back():
    hour = 3_600_000
    for name, least, most in [("429-seconds", 1000, 1000), ("429-ms", 150, 150), ("429-date", 1, 2000), ("429-long", hour, hour)]:
        request = {"model": only(f"failing/{name}"), "messages": user("x")}
        headers = raises(openai.RateLimitError, lambda: gateway.chat.completions.create(**request)).response.headers
        holds(least <= int(headers["retry-after-ms"]) <= most, f"{name}: {headers}")
        equal(int(headers["retry-after"]), math.ceil(int(headers["retry-after-ms"]) / 1000), name)


@check
def the_sdk_asks_again_by_itself_where_the_gateway_does_not():
    begin = time.monotonic()
    model = only("failing/429-ms:2")
    answer = gateway.with_options(max_retries=2).chat.completions.create(model=model, messages=user("x"))
    equal(answer.choices[0].finish_reason, "stop")
    holds(0.3 <= time.monotonic() - begin, f"{time.monotonic() - begin}")


@check
def the_gateway_asks_again_by_itself():
    for name in ["500:1", "529:1", "429-ms:1"]:
        raw = gateway.chat.completions.with_raw_response.create(model=only(name), messages=user("x"))
        equal((raw.headers["meshlog-attempts"], raw.parse().choices[0].finish_reason), ("2", "stop"), name)


@check
def an_error_inside_a_stream_is_raised_behind_what_was_said():
    for name, least in [("error-stream", 3), ("cut", 4), ("half-line", 4), ("malformed", 4)]:
        heard_of = []

        def read():
            for chunk in gateway.chat.completions.create(model=only(f"failing/{name}"), messages=user("x"), stream=True):
                heard_of.append(chunk)

        error = raises(openai.APIError, read)
        holds(len(heard_of) >= least and text_of(heard_of), f"{name}: {len(heard_of)} chunks")
        holds(error.message and error.code and error.body["meshlog"]["provider"] == "failing", f"{name}: {error.body}")
        gateway.chat.completions.create(model="failing/plain", messages=user("x"))
    request = {"model": only("failing/error-first"), "messages": user("x"), "stream": True}
    error = raises(openai.InternalServerError, lambda: gateway.chat.completions.create(**request))
    holds("overloaded" in error.message, error.message)


@check
def a_wrong_key_is_an_authentication_error():
    wrong = client(api_key="sk-other")
    requests = [
        lambda: wrong.chat.completions.create(model="plain", messages=user("x")),
        lambda: wrong.models.list(),
        lambda: wrong.chat.completions.create(model="plain", messages=user("x" * 200_000), stream=True),
        lambda: wrong.embeddings.create(model="embed", input="x"),
        lambda: wrong.models.retrieve("plain"),
    ]
    # Each on the connection of the one before.
    for request in requests * 5:
        error = raises(openai.AuthenticationError, request)
        equal((error.status_code, error.code), (401, "invalid_api_key"))
        holds("meshlog-call" not in error.response.headers, "no call")


@check
def a_request_without_sense_is_no_call():
    huge = user("x" * (7 << 20))
    for error_class, request, status, param in [
        (openai.BadRequestError, {"model": "", "messages": []}, 400, "model"),
        (openai.BadRequestError, {"model": 7, "messages": []}, 400, "model"),
        (openai.BadRequestError, {"model": "plain", "messages": [], "extra_body": {"stream": "yes"}}, 400, "stream"),
        (openai.BadRequestError, {"model": "plain", "messages": [], "extra_body": {"meshlog": {"thraed": 1}}}, 400, "meshlog"),
        (openai.APIStatusError, {"model": "plain", "messages": huge}, 413, None),
    ]:
        error = raises(error_class, lambda: gateway.chat.completions.create(**request))
        equal((error.status_code, error.param), (status, param), error.message)
        holds("meshlog-call" not in error.response.headers, "no call")


@check
def the_answers_headers_can_be_read():
    raw = gateway.chat.completions.with_raw_response.create(model="plain", messages=user("x"))
    headers = raw.headers
    holds(re.fullmatch("[0-9a-f-]{36}", headers["meshlog-call"]), f"{headers}")
    equal((headers["meshlog-provider"], headers["meshlog-attempts"], raw.parse().model), ("scripted", "1", "plain"))
    holds(headers["x-request-id"].startswith("req_") and headers["openai-processing-ms"] == "1", f"{headers}")
    equal(raw.parse()._request_id, headers["x-request-id"])
    with gateway.chat.completions.with_streaming_response.create(model="plain", messages=user("x"), stream=True) as response:
        holds(re.fullmatch("[0-9a-f-]{36}", response.headers["meshlog-call"]), f"{response.headers}")
        holds(response.headers["content-type"].startswith("text/event-stream"), f"{response.headers}")
        equal([line for line in response.iter_lines() if line][-1], "data: [DONE]")


@check
def sixty_four_streams_at_once():
    async def one(sdk, number):
        stream = await sdk.chat.completions.create(model=only("stream:40@100"), messages=user(f"{number}"), stream=True)
        return text_of([chunk async for chunk in stream])

    async def all_of_them():
        async with async_client() as sdk:
            return await asyncio.gather(*(one(sdk, number) for number in range(64)))

    begin = time.monotonic()
    texts = asyncio.run(all_of_them())
    equal(set(texts), {"".join(f"w{number} " for number in range(40))})
    # One after the other they take 25 s.
    holds(time.monotonic() - begin < 10, f"{time.monotonic() - begin} s")


@check
def a_task_that_is_cancelled_stops_the_provider():
    model = only("slow:30000")

    async def cancelled():
        async with async_client() as sdk:
            task = asyncio.create_task(sdk.chat.completions.create(model=model, messages=user("x")))
            while ask(f"{options.upstream}/_counts")["models"].get(model) is None:
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    unheard()
    asyncio.run(cancelled())
    eventually("the upstream notices", lambda: left(options.upstream, model), 1.0)


def shown(space, thread):
    """A thread's messages; none while there is no thread."""
    try:
        return ask(f"{root()}/v1/threads/{thread}/messages?space={space}")["items"]
    except urllib.error.HTTPError as error:
        equal(error.code, 404)
        return []


@check
def a_turn_is_remembered_and_recalled():
    space = f"python-{run_id}"
    in_headers = {"extra_headers": {"meshlog-space": space, "meshlog-thread": "headers", "meshlog-author": "Ines"}}
    in_body = {"extra_body": {"meshlog": {"space": space, "thread": "body", "author": "Ines"}}}
    for thread, where, stream in [("headers", in_headers, False), ("body", in_body, True)]:
        question = f"When does the {thread} ferry to the lighthouse island leave?"
        messages = [{"role": "system", "content": "be brief"}, *user(question)]
        answer = gateway.chat.completions.create(model="plain:12", messages=messages, stream=stream, **where)
        text = text_of(answer) if stream else answer.choices[0].message.content
        eventually("the turn is shown", lambda: len(shown(space, thread)) == 2, 20.0)
        found = shown(space, thread)
        turn = [("user", "Ines", question), ("assistant", "plain:12", text)]
        equal([(message["role"], message["author"], message["text"]) for message in found], turn)

        def recalled():
            question = {"query": "lighthouse ferry", "spaces": [space], "limit": 50}
            results = ask(f"{root()}/v1/recall", question)["results"]
            return {message["message_id"] for message in found} <= {message["message_id"] for message in results}

        eventually("the turn is recalled", recalled, 20.0)


run()
