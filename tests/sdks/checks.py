"""Named checks of what a client sees: all are run, each is told by its name, and the exit code says whether all held.

The last line that is printed is JSON: the ids of the calls that the gateway's answers named, and how many requests must have
become calls whose answer nobody waited for.
"""

import argparse
import json
import sys
import threading
import time
import traceback
import urllib.request

KEY = "sk-tests"

_checks = []
_calls = []
_unheard = [0]
_lock = threading.Lock()


def check(function):
    """Makes a function a check; its name says what holds."""
    _checks.append(function)
    return function


def arguments(*names):
    """The command line: each name is an option with a value; all but base-url may be left out."""
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(f"--{name}", required=name == "base-url")
    return parser.parse_args()


def heard(response):
    """Takes note of the call that an answer names; for the hooks of HTTP clients."""
    call = response.headers.get("meshlog-call")
    if call:
        with _lock:
            _calls.append(call)


def unheard():
    """Takes note of a request whose answer is not waited for."""
    _unheard[0] += 1


def note(text):
    print(f"note: {text}", flush=True)


def equal(found, expected, what=""):
    if found != expected:
        raise AssertionError(f"{what}: found {found!r}, expected {expected!r}")


def holds(condition, what):
    if not condition:
        raise AssertionError(what)


def raises(error_class, function):
    """The error that a function must raise, of exactly this class."""
    try:
        function()
    except Exception as error:
        if type(error) is not error_class:
            raise AssertionError(f"{type(error).__name__} instead of {error_class.__name__}: {error}") from error
        return error
    raise AssertionError(f"no {error_class.__name__}")


def eventually(what, condition, seconds=60.0):
    """Waits for a condition; answers how long that took."""
    begin = time.monotonic()
    while not condition():
        holds(time.monotonic() - begin < seconds, f"{what}: not after {seconds} s")
        time.sleep(0.005)
    return time.monotonic() - begin


def ask(url, body=None, key=KEY):
    """What an address answers, as JSON, without any SDK."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as response:
        return json.load(response)


def left(upstream, model):
    """Whether the scripted upstream has noticed that whoever asked it for a model is gone."""
    return any(name == model for name, _ in ask(f"{upstream}/_counts")["cancellations"])


def run():
    """Runs all checks, and ends."""
    failed = 0
    for function in _checks:
        name = function.__name__.replace("_", " ")
        begin = time.monotonic()
        try:
            function()
        except Exception as error:
            failed += 1
            # Only where it was here: the frames of an SDK are many.
            here = __file__.rpartition("/")[0]
            frames = [frame for frame in traceback.extract_tb(error.__traceback__) if here in frame.filename]
            print(f"FAILED {name}\n{''.join(traceback.format_list(frames))}{type(error).__name__}: {error}\n", flush=True)
        else:
            print(f"ok {name} ({time.monotonic() - begin:.2f} s)", flush=True)
    print(json.dumps({"checks": len(_checks), "failed": failed, "calls": _calls, "unheard": _unheard[0]}))
    sys.exit(1 if failed or not _checks else 0)
