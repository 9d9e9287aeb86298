"""The command `llm` against the gateway, set up as its manual says for servers that speak as OpenAI's:

    python llm_command.py --base-url http://HOST:PORT/v1 --upstream http://HOST:PORT/v1

The gateway must be set up as for openai_sdk.py.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.error
import uuid

from openai import OpenAI

from checks import KEY, arguments, ask, check, equal, eventually, holds, run, unheard

options = arguments("base-url", "upstream")
root = options.base_url.removesuffix("/v1")
direct = OpenAI(base_url=options.upstream, api_key="none")
home = tempfile.TemporaryDirectory()
space = f"llm-{uuid.uuid4().hex[:8]}"
IMAGE = bytes.fromhex("89504e470d0a1a0a0000000d49484452")
FUNCTION = """
def weather_of(city: str) -> str:
    "The weather of a city"
    return f"fine in {city}"

def time_in(zone: str) -> str:
    "The time in a zone"
    return f"noon in {zone}"
"""


def set_up():
    models = [
        {"model_id": name, "model_name": name, "api_base": options.base_url, "api_key_name": "meshlog", **more}
        for name, more in {
            "plain:30": {"headers": {"meshlog-space": space, "meshlog-thread": "terminal", "meshlog-author": "Ines"}},
            "echo": {"supports_schema": True},
            "tools": {"supports_tools": True},
            "image": {"vision": True},
            "failing/context": {},
            "failing/error-stream": {},
        }.items()
    ]
    # JSON is YAML.
    pathlib.Path(home.name, "extra-openai-models.yaml").write_text(json.dumps(models))
    pathlib.Path(home.name, "keys.json").write_text(json.dumps({"meshlog": KEY}))
    pathlib.Path(home.name, "picture.png").write_bytes(IMAGE)


def llm(*words, calls=1, fails=False, said=""):
    """Runs the command, which must make so many calls; answers what it prints."""
    for _ in range(calls):
        unheard()
    environment = os.environ | {"LLM_USER_PATH": home.name}
    command = [sys.executable, "-m", "llm", *words]
    done = subprocess.run(command, env=environment, cwd=home.name, input=said, capture_output=True, text=True, timeout=60)
    holds((done.returncode != 0) == fails, f"{words}: {done.returncode} {done.stdout} {done.stderr}")
    return done.stderr if fails else done.stdout.removesuffix("\n")


def answer(model, text):
    """What the scripted upstream itself says."""
    return direct.chat.completions.create(model=model, messages=[{"role": "user", "content": text}]).choices[0].message.content


@check
def an_answer_is_the_providers_streamed_or_whole():
    expected = answer("plain:30", "Where is the ferry?")
    equal(llm("-m", "plain:30", "Where is the ferry?"), expected)
    equal(llm("-m", "plain:30", "--no-stream", "Where is the ferry?"), expected)


@check
def its_log_has_the_usage():
    llm("-m", "plain:30", "--usage", "Where is the ferry?")
    logged = json.loads(llm("logs", "-n", "1", "--json", calls=0))[0]
    equal((logged["output_tokens"], logged["response"]), (30, answer("plain:30", "Where is the ferry?")))


@check
def a_conversation_goes_on():
    equal(llm("-m", "echo", "Ünï 🦀"), "Ünï 🦀")
    equal(llm("-c", "and on"), "and on")
    printed = llm("chat", "-m", "echo", calls=2, said="first line\nsecond line\nexit\n")
    holds("first line" in printed and "second line" in printed, printed)


@check
def it_runs_tools_and_answers_them():
    printed = llm("-m", "tools", "--functions", FUNCTION, "--td", "How is Berlin?", calls=2)
    equal(printed.strip().splitlines()[-1], answer("plain", "How is Berlin?"))


@check
def a_schema_is_passed_on():
    ferry = {"name": "Ünsinkable", "seats": 80}
    equal(json.loads(llm("-m", "echo", "--schema", "name, seats int", json.dumps(ferry))), ferry)


@check
def an_image_is_passed_on():
    images = json.loads(llm("-m", "image", "What is this?", "-a", "picture.png"))["images"]
    equal(images, [{"bytes": len(IMAGE), "type": "image/png"}])


@check
def an_error_is_told_in_the_providers_words():
    holds("maximum context length" in llm("-m", "failing/context", "x", fails=True), "the words")
    holds("overloaded" in llm("-m", "failing/error-stream", "x", fails=True), "the words inside a stream")


@check
def its_turns_are_remembered():
    def shown():
        try:
            return ask(f"{root}/v1/threads/terminal/messages?space={space}")["items"]
        except urllib.error.HTTPError:
            return []

    question = "Where is the ferry?"
    turn = [("Ines", question), ("plain:30", answer("plain:30", question))]
    eventually("all turns are shown", lambda: [(item["author"], item["text"]) for item in shown()] == turn * 3, 20.0)
    recalled = lambda: ask(f"{root}/v1/recall", {"query": "ferry", "spaces": [space]})["results"]
    eventually("they are recalled", lambda: any(re.match("Where is", result["text"]) for result in recalled()), 20.0)


set_up()
run()
