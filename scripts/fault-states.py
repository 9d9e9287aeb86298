#!/usr/bin/env python3
"""What do the roles on Kafka say and do while something below them stands still or is full?

One broker, a gateway, two workers and a query node (scripts/cluster.py), and one trouble after the other:

- the broker is paused for a minute (SIGSTOP): the gateway says so in /readyz and /v1/topics and refuses writes, and goes on by
  itself when the broker does;
- a worker is paused for a minute: the other one takes its partitions over, and what the first still does when it wakes up
  harms nothing;
- the clocks of the processes are up to two hours apart (scripts/shifted-clock.c), a gateway's goes back, and then the broker's:
  nothing takes notice;
- the broker's disk is full, and it ends: as above, and once there is space and it is started again everything goes on. Only
  where a small disk can be mounted: `unshare --user --map-root-user --mount scripts/fault-states.py`.

After each, every acknowledged message is in its thread once, and every projection is what the log says. Prints a line for each
thing that was seen, and ends with an error at the first that was not.

    cargo build --release && scripts/fault-states.py
"""

import argparse
import json
import pathlib
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from cluster import Cluster, Process, Role

PAUSE = 60
# How soon trouble must be said, and how soon it must be over once its cause is.
SOON = 20
SMALL_DISK_MB = 48


def ask(url: str, body: dict | None = None, patience: float = 30) -> tuple[int, dict]:
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"content-type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(request, timeout=patience) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")
    except OSError as error:
        return 0, {"error": str(error)}


def until(what: str, is_so, seconds: float = SOON) -> float:
    begun = time.monotonic()
    while not is_so():
        if time.monotonic() - begun > seconds:
            raise SystemExit(f"FAILED: {what}: not within {seconds:.0f} s")
        time.sleep(0.1)
    took = time.monotonic() - begun
    print(f"ok  {what} ({took:.1f} s)", flush=True)
    return took


class Roles:
    def __init__(self, cluster: Cluster) -> None:
        self.query = cluster.query()
        self.gateway = cluster.gateway(query=[self.query])
        self.workers = [cluster.worker(f"worker-{number}") for number in (1, 2)]
        self.all: list[Role] = [self.query, self.gateway, *self.workers]
        for role in self.all:
            role.start()
        for role in self.all:
            role.wait()
        self.acknowledged = 0

    def say(self, wait: str = "") -> int:
        """Sends the next message, again and again until it is acknowledged by whoever asks; answers the status."""
        number = self.acknowledged
        message = {"id": f"m{number}", "thread": f"t{number % 16}", "author": "a", "text": f"This was said {number} times."}
        status, _ = ask(f"{self.gateway.url}/v1/messages{wait}", message)
        self.acknowledged += status == 202
        return status

    def is_ready(self, role: Role) -> bool:
        return ask(f"{role.url}/readyz")[0] == 200

    def check(self) -> None:
        """Every acknowledged message is there once, and the views are what the log says."""
        until("a new message is indexed", lambda: self.say("?wait=indexed&timeout_ms=20000") == 202, 60)
        until("nobody lags", lambda: all(one["lag_events"] == 0 for one in ask(f"{self.query.url}/v1/processors")[1]["processors"]), 60)
        found = []
        for thread in range(16):
            page = ask(f"{self.query.url}/v1/threads/t{thread}/messages?limit=500")[1]
            found += [item["source_id"] for item in page.get("items", [])]
        # One more may be there: sent, and not acknowledged in time.
        wanted = {f"m{number}" for number in range(self.acknowledged)}
        assert wanted <= set(found) and len(found) == len(set(found)) <= len(wanted) + 1, (len(found), len(wanted))
        results = ask(f"{self.query.url}/v1/verifications", {}, 300)[1]["results"]
        assert results and all(result["equal"] for result in results), results
        print(f"ok  {len(wanted)} messages are there once, and {len(results)} projections are what the log says", flush=True)


def broker_pauses(cluster: Cluster, roles: Roles) -> None:
    print(f"the broker is paused for {PAUSE} s", flush=True)
    broker, begun = cluster.brokers[0], time.monotonic()
    broker.pause()
    until("the gateway refuses a write", lambda: roles.say() == 503)
    until("every role says that it is not ready", lambda: not any(roles.is_ready(role) for role in roles.all))
    status, topics = ask(f"{roles.gateway.url}/v1/topics")
    assert status == 200 and topics["log"]["state"] == "waiting", topics.get("log")
    print(f"ok  /v1/topics says: {topics['log']['state']}: {topics['log']['reason']}", flush=True)
    time.sleep(max(0.0, PAUSE - (time.monotonic() - begun)))
    broker.resume()
    until("every role is ready again", lambda: all(roles.is_ready(role) for role in roles.all))
    roles.check()


def worker_pauses(cluster: Cluster, roles: Roles) -> None:
    print(f"a worker is paused for {PAUSE} s", flush=True)
    worker, other = roles.workers
    begun = time.monotonic()
    worker.pause()

    def has_all() -> bool:
        processors = ask(f"{other.url}/v1/processors")[1]["processors"]
        return sum(one["name"].startswith("route/") for one in processors) == cluster.partitions

    until("the other has every partition", has_all, 40)
    for _ in range(50):
        assert roles.say() == 202
    until("and gets on", lambda: roles.say("?wait=indexed&timeout_ms=10000") == 202)
    time.sleep(max(0.0, PAUSE - (time.monotonic() - begun)))
    worker.resume()
    until("it gives its partitions up and is ready", lambda: roles.is_ready(worker))
    for _ in range(50):
        assert roles.say() == 202
    roles.check()


def clocks_differ(cluster: Cluster, roles: Roles) -> None:
    print("clocks are up to two hours apart", flush=True)
    library = cluster.folder / "shifted-clock.so"
    source = pathlib.Path(__file__).parent / "shifted-clock.c"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)

    def set_clock(process: Process, hours: float) -> None:
        shifted = {"LD_PRELOAD": str(library), "SHIFT_SECONDS": str(int(hours * 3600))}
        process.environment = shifted if hours else {}
        process.restart()

    [broker] = cluster.brokers
    clocks = {roles.gateway: 1, roles.workers[0]: -1, roles.workers[1]: 0.5, roles.query: -0.25}
    for clock_of_gateway, clock_of_broker in ((1, 0), (-1, 0), (-1, -0.5)):
        clocks[roles.gateway] = clock_of_gateway
        set_clock(broker, clock_of_broker)
        broker.wait()
        for role, hours in clocks.items():
            set_clock(role, hours)
        for role in roles.all:
            role.wait()
        for _ in range(100):
            assert roles.say() == 202
        written = ask(f"{roles.gateway.url}/v1/topics")[1]
        assert written["log"]["state"] == "writing", written["log"]
        roles.check()
        [behind] = {one["lag_seconds"] for one in ask(f"{roles.query.url}/v1/processors")[1]["processors"]}
        assert behind == 0, behind
        print(f"ok  with the gateway's clock {clock_of_gateway:+} h and the broker's {clock_of_broker:+} h", flush=True)
    for process in (broker, *roles.all):
        set_clock(process, 0)
    for process in (broker, *roles.all):
        process.wait()


def disk_is_full(cluster: Cluster, roles: Roles, disk: str) -> None:
    print("the broker's disk is full", flush=True)
    broker, filler = cluster.brokers[0], f"{disk}/filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], stderr=subprocess.DEVNULL, check=False)
    until("a write is refused", lambda: roles.say() == 503, 60)
    until("the gateway is not ready", lambda: not roles.is_ready(roles.gateway))
    time.sleep(5)
    subprocess.run(["rm", filler], check=True)
    broker.kill()
    broker.start().wait()
    print("ok  the broker was started again with space", flush=True)
    until("every role is ready again", lambda: all(roles.is_ready(role) for role in roles.all), 60)
    roles.check()


def run(states: list[str], cluster: Cluster, disk: str | None) -> None:
    cluster.start_brokers(1)
    roles = Roles(cluster)
    for _ in range(200):
        assert roles.say() == 202
    roles.check()
    if "broker" in states:
        broker_pauses(cluster, roles)
    if "worker" in states:
        worker_pauses(cluster, roles)
    if "clocks" in states:
        clocks_differ(cluster, roles)
    if "disk" in states and disk:
        disk_is_full(cluster, roles, disk)
    elif "disk" in states:
        print("left out: no small disk can be mounted here for the broker", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--meshlog", default="target/release/meshlog")
    states = ["broker", "worker", "clocks", "disk"]
    parser.add_argument("--states", nargs="+", choices=states, default=states, help="which of them, by what is in trouble")
    options = parser.parse_args()
    with Cluster("states", meshlog=options.meshlog) as cluster:
        disk = f"{cluster.folder}/broker-1"
        subprocess.run(["mkdir", disk], check=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_MB}m", "tmpfs", disk]
        is_small = subprocess.run(mount, stderr=subprocess.DEVNULL, check=False).returncode == 0
        try:
            run(options.states, cluster, disk if is_small else None)
        finally:
            if is_small:
                for broker in cluster.brokers:
                    broker.kill()
                subprocess.run(["umount", disk], check=True)
    print("everything was as it should be")


if __name__ == "__main__":
    main()
