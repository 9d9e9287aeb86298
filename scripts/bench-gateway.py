#!/usr/bin/env python3
"""What does a model call cost that goes through the log?

One scripted provider answers at once. It is asked directly, through Meshlog with a durable log (fsync before anything of the answer
is given, and again before its end), and through Portkey's gateway, which keeps none: the same request, in turn, in one run. What is added is
the difference as the client sees it.

- latency: closed loop with 1, 16 and 128 callers, whole answers and streams (until the first piece of output, and until the end);
- paced: 16 callers at 50 and at 500 requests a second, counted from the moment at which each was to be sent: 50 is what Portkey
  carries without a queue; its streams it answers with an error under Node 20, so they are not compared;
- streams: 1,000 at once, 50 pieces a second each, and what they take in memory;
- soak (--minutes): 500 calls a second with faults in 5 % of them and kill -9 in the middle; then the calls and tokens on the log are
  compared with the provider's own count.

Prints tables and, as its last line, one JSON object. MESHLOG_BIN and MESHLOG_EXAMPLES name the programs to run.
"""

import argparse
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = os.environ.get("MESHLOG_BIN", str(ROOT / "target/release/meshlog"))
EXAMPLES = Path(os.environ.get("MESHLOG_EXAMPLES", ROOT / "target/debug/examples"))
PORTKEY = ROOT / ".cache/peers/portkey"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url: str) -> dict:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.load(answer)


class Processes:
    """What runs beside the load; ended with the script."""

    def __init__(self, directory: Path):
        self.directory, self.all = directory, []

    def start(self, arguments: list[str], **more) -> subprocess.Popen:
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, text=True, **more)
        self.all.append(process)
        return process

    def upstream(self, *arguments: str) -> str:
        process = self.start([str(EXAMPLES / "scripted_upstream"), *arguments], stdout=subprocess.PIPE)
        return process.stdout.readline().split()[-1]

    def meshlog(self, upstream: str, name: str) -> tuple[subprocess.Popen, str]:
        config = self.directory / f"{name}.toml"
        config.write_text(
            f'[[providers]]\nname = "scripted"\nkind = "openai"\nbase_url = "{upstream}/v1"\nconcurrency = 2000\n'
            'retries = { times = 3, first_ms = 50, longest_ms = 2000 }\n'
            '[[models]]\nname = "*"\ntargets = ["scripted/*"]\n'
        )
        port = free_port()
        return self.again(config, port), f"http://127.0.0.1:{port}"

    def again(self, config: Path, port: int) -> subprocess.Popen:
        arguments = [BINARY, "up", "--data", str(config.with_suffix(".data")), "--listen", f"127.0.0.1:{port}"]
        arguments += ["--model", str(ROOT / "models/all-MiniLM-L6-v2"), "--config", str(config)]
        process = self.start(arguments, stdout=subprocess.PIPE)
        assert "listening" in process.stdout.readline(), "meshlog does not start"
        return process

    def portkey(self) -> str | None:
        source = ROOT / "scripts/peers/portkey"
        if not (PORTKEY / "node_modules/@portkey-ai/gateway").is_dir():
            PORTKEY.mkdir(parents=True, exist_ok=True)
            for file in source.glob("package*.json"):
                shutil.copy(file, PORTKEY)
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=PORTKEY, check=True, stdout=subprocess.DEVNULL)
        port = free_port()
        server = PORTKEY / "node_modules/@portkey-ai/gateway/build/start-server.js"
        self.start(["node", str(server), f"--port={port}", "--headless"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=1).connect()
                return f"http://127.0.0.1:{port}/v1"
            except OSError:
                time.sleep(0.1)
        sys.exit("Portkey's gateway does not start")

    def stop(self) -> None:
        """Ends all, so that what one measurement left to be done does not fall into the next."""
        while self.all:
            process = self.all.pop()
            process.kill()
            process.wait()


def load(*arguments: str) -> dict:
    """Runs the load client, shows its table, and returns its figures."""
    print(f"\n$ gateway_load {' '.join(arguments)}", flush=True)
    done = subprocess.run([str(EXAMPLES / "gateway_load"), *arguments], text=True, stdout=subprocess.PIPE, check=True)
    *table, last = done.stdout.strip().splitlines()
    print("\n".join(table), flush=True)
    return json.loads(last)


def resident(process: subprocess.Popen) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def used(url: str, space: str) -> dict:
    """The calls of a space one by one: how many, and their tokens, by where the numbers are from."""
    sums, cursor = {}, ""
    while cursor is not None:
        page = get(f"{url}/v1/calls?space={space}&limit=500{cursor and '&cursor=' + cursor}")
        for call in page["items"]:
            source = sums.setdefault(call["usage_source"] or "open", {"calls": 0, "input": 0, "output": 0})
            tokens = call["tokens"] or {"input": 0, "output": 0}
            source["calls"] += 1
            source["input"] += tokens["input"]
            source["output"] += tokens["output"]
        cursor = page["next"]
    return sums


def soak(processes: Processes, minutes: float) -> dict:
    upstream = processes.upstream("--fault-percent", "5", "--seed", "7")
    server, url = processes.meshlog(upstream, "soak")
    config, port = processes.directory / "soak.toml", int(url.rsplit(":", 1)[1])
    seconds = minutes * 60
    arguments = ["soak", "--target", f"{url}/v1", "--rate", "500", "--seconds", str(int(seconds)), "--share-streams", "50", "--spaces", "4"]
    print(f"\n$ gateway_load {' '.join(arguments)}   (kill -9 in the middle)", flush=True)
    client = subprocess.Popen([str(EXAMPLES / "gateway_load"), *arguments], text=True, stdout=subprocess.PIPE)
    time.sleep(seconds / 2)
    server.send_signal(signal.SIGKILL)
    server.wait()
    server = processes.again(config, port)
    told = json.loads(client.communicate()[0].strip().splitlines()[-1])
    memory = resident(server)
    deadline = time.time() + 300
    while any(view["lag_events"] for view in get(f"{url}/v1/processors")["processors"]) and time.time() < deadline:
        time.sleep(0.5)
    spaces = [f"soak-{number}" for number in range(4)]
    usage = get(f"{url}/v1/usage?by=space")["total"]
    still_open = sum(len(get(f"{url}/v1/calls?space={space}&state=open&limit=500")["items"]) for space in spaces)
    counts = get(f"{upstream}/_counts")
    by_source = {}
    for sums in (used(url, space) for space in spaces):
        for source, sum_of in sums.items():
            all_of = by_source.setdefault(source, dict.fromkeys(sum_of, 0))
            by_source[source] = {name: all_of[name] + number for name, number in sum_of.items()}
    reported = by_source.get("reported", {})
    told = told["figures"]
    sides = {
        "calls: sent less those without an answer at the kill, and on the log": [
            told["calls.sent"] - told["answers.none"], usage["calls"] - usage["interrupted"]
        ],
        "attempts: requests at the provider, and on the log": [counts["requests"], usage["attempts"]],
        "completed: at the provider, and on the log": [counts["completed"], usage["completed"]],
        "input tokens: of the provider, and reported on the log": [counts["prompt_tokens"], reported.get("input", 0)],
        "output tokens: of the provider, and reported on the log": [counts["completion_tokens"], reported.get("output", 0)],
        "input tokens: of the calls one by one, and of the usage": [
            sum(source["input"] for source in by_source.values()), usage["tokens"]["input"]
        ],
    }
    for name, (one, other) in sides.items():
        print(f"{'equal' if one == other else 'NOT EQUAL':<10} {one:>12.0f} {other:>12.0f}   {name}")
    return {
        "client": told, "usage": usage, "by_source": by_source, "open": still_open, "upstream": counts,
        "resident_bytes": memory, "equal": all(one == other for one, other in sides.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each target in each round")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=0, help="of the soak; without it there is none")
    parser.add_argument("--only", choices=["latency", "streams", "soak"])
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory(dir=ROOT / ".cache", prefix="bench-gateway-") as directory:
        processes = Processes(Path(directory))
        try:
            if options.only in (None, "latency"):
                upstream = processes.upstream()
                _, url = processes.meshlog(upstream, "latency")
                portkey = processes.portkey()
                ours = f"direct={upstream}/v1,meshlog={url}/v1"
                theirs = f"{ours},portkey={portkey}+x-portkey-provider=openai+x-portkey-custom-host={upstream}/v1"
                common = ["--rounds", str(options.rounds), "--seconds", str(options.seconds), "--prompt-bytes", "1024"]
                closed = ["latency", "--targets", theirs, "--model", "plain", "--concurrency", "1,16,128", *common]
                streamed = ["latency", "--targets", ours, "--model", "plain", "--concurrency", "1,16,128", *common, "--stream"]
                paced = ["latency", "--targets", theirs, "--model", "plain", "--concurrency", "16", *common]
                measured = [("closed", closed), ("stream", streamed)]
                measured += [(f"paced{rate}", [*paced, "--rate", rate]) for rate in ("50", "500")]
                measured += [("paced500.stream", [*streamed[:5], "--concurrency", "16", *common, "--rate", "500", "--stream"])]
                for name, arguments in measured:
                    figures.update({f"{name}.{key}": value for key, value in load(*arguments)["figures"].items()})
                processes.stop()
            if options.only in (None, "streams"):
                upstream = processes.upstream()
                server, url = processes.meshlog(upstream, "streams")
                before, most = resident(server), 0
                arguments = ["streams", "--streams", str(options.streams), "--chunks-per-second", "50", "--seconds", "20"]
                figures.update({f"direct.{key}": value for key, value in load(*arguments, "--target", f"{upstream}/v1")["figures"].items()})
                print(f"\n$ gateway_load {' '.join(arguments)} --target meshlog", flush=True)
                client = subprocess.Popen(
                    [str(EXAMPLES / "gateway_load"), *arguments, "--target", f"{url}/v1"], text=True, stdout=subprocess.PIPE
                )
                while client.poll() is None:
                    most = max(most, resident(server))
                    time.sleep(0.2)
                *table, last = client.stdout.read().strip().splitlines()
                print("\n".join(table))
                figures.update({f"meshlog.{key}": value for key, value in json.loads(last)["figures"].items()})
                figures["meshlog.bytes_per_stream"] = (most - before) // options.streams
                processes.stop()
            if options.minutes and options.only in (None, "soak"):
                figures["soak"] = soak(processes, options.minutes)
        finally:
            processes.stop()
    print(json.dumps({"figures": figures}))


if __name__ == "__main__":
    main()
