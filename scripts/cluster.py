#!/usr/bin/env python3
"""Kafka brokers and Meshlog's roles as plain processes on this machine.

    scripts/cluster.py up                              three brokers, a gateway, two workers and a query node, until Ctrl-C
    scripts/cluster.py run [--brokers 3] -- COMMAND    a command beside brokers of its own, named in its environment:
        MESHLOG_TEST_KAFKA          the addresses in plain text
        MESHLOG_TEST_KAFKA_PID      the process ids
        MESHLOG_KAFKA_LIBS          the folder of Kafka's jars
        MESHLOG_TEST_KAFKA_SASL     the address of the first with SASL (SCRAM-SHA-256, PLAIN) over TLS
        MESHLOG_TEST_KAFKA_TLS      the address of the first with TLS, for clients with a certificate
        MESHLOG_TEST_KAFKA_SECRETS  a folder: scram.properties, plain.properties, tls.properties for --kafka-properties, the
                                    certificates that they name, and other-ca.pem, an authority that signed nothing

`up` takes them through Meshlog's command line, as docker-compose.yml does. Everything listens on loopback and keeps its data,
and what it says, in a folder below .cache that is removed at the end. It ends with the script, also where that fails or is told
to stop; where it fails, what each process said is kept. Brokers come from Maven Central, verified by the sums in
scripts/peers/kafka/libs.sha256, into .cache/peers.

As a library (scripts/fault-run.py): `Cluster` is what there is to start, `Process` what can be done to each of it.
"""

import argparse
import os
import pathlib
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
JARS = f"{CACHE}/peers/kafka/*"
# Any will do; each cluster has empty folders.
CLUSTER = "bWVzaGxvZy10ZXN0LWJyaw"
# Whom the brokers know, on their listeners with SASL.
USER, PASSWORD = "meshlog", "correct-horse"
# Ports below those that the system gives to clients: one of these could take the port of a broker that is down for a moment,
# and even connect to itself there.
PORTS = range(15000, 32000)
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# How long a process may take to be ready, and to end when it is asked to, in seconds.
LONGEST_START = 90
LONGEST_STOP = 30


class ClusterError(Exception):
    """A process did not do what it should."""


class Process:
    """A program by a name. It can be ended in every way, and started again with the same port and data."""

    def __init__(self, name: str, command: list, folder: pathlib.Path, is_ready: Callable[["Process"], bool]) -> None:
        self.name, self.command, self.is_ready = name, list(map(str, command)), is_ready
        self.log = folder / f"{name}.log"
        self.child: subprocess.Popen | None = None
        self.said_before = 0
        # What its environment has besides the script's.
        self.environment: dict[str, str] = {}

    @property
    def pid(self) -> int:
        return self.child.pid

    @property
    def is_running(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def start(self) -> "Process":
        """Starts it; `wait` waits until it is ready."""
        with self.log.open("a") as log:
            self.said_before = log.tell()
            # A group of its own: what stops the script from a terminal must not end them all at once, before it does.
            self.child = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
                                          env=os.environ | self.environment)  # fmt: skip
        return self

    def wait(self, seconds: float = LONGEST_START) -> "Process":
        deadline = time.monotonic() + seconds
        while not self.is_ready(self):
            if not self.is_running and not self.is_ready(self):
                raise ClusterError(f"{self.name} ended with {self.child.returncode}; it said last:\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name} was not ready after {seconds:.0f} s; it said last:\n{self.last_words()}")
            time.sleep(0.1)
        return self

    def said(self) -> str:
        """What it said since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self.said_before)
            return log.read().decode(errors="replace")

    def last_words(self) -> str:
        return "\n".join(self.said().splitlines()[-25:])

    def stop(self) -> None:
        """Asks it to end, and waits; kills it where it does not."""
        if self.is_running:
            self.child.terminate()
            try:
                self.child.wait(LONGEST_STOP)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL."""
        if self.is_running:
            self.child.kill()
            self.child.wait()

    def pause(self) -> None:
        """SIGSTOP: it stands still, with its connections open."""
        self.child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.child.send_signal(signal.SIGCONT)

    def restart(self) -> "Process":
        self.stop()
        return self.start()


class Role(Process):
    """A role of Meshlog, with the address it serves on."""

    def __init__(self, name: str, command: list, port: int, folder: pathlib.Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(name, command, folder, lambda role: answers(f"{role.url}/readyz"))


class Cluster:
    """Brokers and roles, all in one folder. To be used in a `with`, which ends them.

    `partitions` are those of the topics that have several."""

    def __init__(self, name: str = "cluster", meshlog: str = "target/release/meshlog", model: str = "",
                 partitions: int = 4) -> None:  # fmt: skip
        CACHE.mkdir(exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{name}.", dir=CACHE))
        self.meshlog = meshlog
        self.model = model or os.environ.get("MESHLOG_MODEL", str(ROOT / "models/all-MiniLM-L6-v2"))
        self.partitions = partitions
        self.brokers: list[Process] = []
        self.roles: dict[str, Role] = {}
        self.addresses: list[str] = []
        self.secured: dict[str, str] = {}
        self.secrets = self.folder / "secrets"
        self.taken: set[int] = set()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        for role in reversed(self.roles.values()):
            role.kill()
        # Without the others a broker could not leave in order, and what it holds goes away with it.
        for broker in self.brokers:
            broker.kill()
        if kind is None or issubclass(kind, SystemExit):
            shutil.rmtree(self.folder)
            return
        for other in self.folder.iterdir():
            if other.is_dir():
                shutil.rmtree(other)
        print(f"cluster: what each process said is kept in {self.folder}", file=sys.stderr)

    def start_brokers(self, count: int) -> None:
        """Starts brokers that are their own controllers, and waits for them. They take clients in plain text (`addresses`) and
        in the ways that scripts/peers/kafka/secured.properties sets up (`secured`, of the first broker)."""
        subprocess.run([ROOT / "scripts/peers/fetch.sh", CACHE / "peers", "kafka"], check=True)
        self.make_certificates()
        ports = [(self.port(), self.port()) for _ in range(count)]
        self.addresses = [f"127.0.0.1:{port}" for port, _ in ports]
        settings = [self.broker_settings(node, ports) for node in range(1, count + 1)]
        format = ["java", "-XX:TieredStopAtLevel=1", "-cp", JARS, "kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]
        scram = ["--add-scram", f"SCRAM-SHA-256=[name={USER},password={PASSWORD}]"]
        formatting = [
            Process(f"format-{path.stem}", [*format, path, *scram], self.folder, has_ended).start() for path in settings
        ]
        for process in formatting:
            process.wait()
        self.brokers = [
            Process(path.stem, ["java", "-Xmx512m", "-cp", JARS, "kafka.Kafka", path], self.folder, has_started)
            for path in settings
        ]
        for broker in self.brokers:
            broker.start()
        for broker in self.brokers:
            broker.wait()

    def broker_settings(self, node: int, ports: list[tuple[int, int]]) -> pathlib.Path:
        """The file with a broker's settings. Of a setting that comes twice the last one counts."""
        replicas = min(3, len(ports))
        text = (ROOT / "scripts/peers/kafka/server.properties").read_text()
        text += (ROOT / "scripts/peers/kafka/secured.properties").read_text()
        (broker, controller), folder = ports[node - 1], self.folder / f"broker-{node}"
        sasl, tls = self.port(), self.port()
        if node == 1:
            self.secured = {"sasl": f"127.0.0.1:{sasl}", "tls": f"127.0.0.1:{tls}"}
        values = {
            "BROKER_PORT": broker, "CONTROLLER_PORT": controller, "FOLDER": folder, "SASL_PORT": sasl, "TLS_PORT": tls,
            "SECRETS": self.secrets, "USER": USER, "PASSWORD": PASSWORD,
        }  # fmt: skip
        for name, value in values.items():
            text = text.replace(name, str(value))
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, (_, port) in enumerate(ports, 1))
        text += f"node.id={node}\ncontroller.quorum.voters={voters}\n"
        if replicas > 1:
            for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
                text += f"{topic}.replication.factor={replicas}\n"
            for topic in ("transaction.state.log.min.isr", "share.coordinator.state.topic.min.isr", "min.insync.replicas"):
                text += f"{topic}={replicas - 1}\n"
            text += f"default.replication.factor={replicas}\n"
        folder.mkdir(exist_ok=True)
        path = self.folder / f"broker-{node}.properties"
        path.write_text(text)
        return path

    def make_certificates(self) -> None:
        """An authority that signs the brokers' certificate and a client's, another one that signs nothing, and the settings
        with which clients find them, in the folder `secrets`."""
        self.secrets.mkdir()
        for name in ("ca", "other-ca"):
            self.certificate(name, ["-x509", "-subj", f"/CN=meshlog test {name}"])
        for name, extension in (("broker", "subjectAltName=IP:127.0.0.1"), ("client", "extendedKeyUsage=clientAuth")):
            signed = ["-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-subj", f"/CN={name}",
                      "-addext", extension, "-addext", "basicConstraints=critical,CA:FALSE"]  # fmt: skip
            self.certificate(name, signed)
        # A broker takes both from one file.
        both = [(self.secrets / name).read_text() for name in ("broker.key", "broker.pem")]
        (self.secrets / "broker.both").write_text("".join(both))
        sasl = {"security.protocol": "sasl_ssl", "sasl.username": USER, "sasl.password": PASSWORD}
        tls = {"ssl.certificate.location": self.secrets / "client.pem", "ssl.key.location": self.secrets / "client.key"}
        for name, settings in {
            "scram": sasl | {"sasl.mechanism": "SCRAM-SHA-256"},
            "plain": sasl | {"sasl.mechanism": "PLAIN"},
            "tls": {"security.protocol": "ssl"} | tls,
        }.items():
            settings |= {"ssl.ca.location": self.secrets / "ca.pem"}
            lines = [f"{name}={value}\n" for name, value in settings.items()]
            (self.secrets / f"{name}.properties").write_text("".join(lines))

    def certificate(self, name: str, arguments: list[str]) -> None:
        command = ["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc",
                   "-days", "2", "-keyout", f"{name}.key", "-out", f"{name}.pem"]  # fmt: skip
        ran = subprocess.run([*command, *arguments], cwd=self.secrets, capture_output=True, text=True)
        if ran.returncode != 0:
            raise ClusterError(f"openssl made no certificate for {name}: {ran.stderr.strip()}")

    def leaders(self) -> dict[tuple[str, int], int]:
        """The broker that leads each partition of each topic, by its number; -1 where none does."""
        return {place: leader for place, (leader, _, _) in self.partitions_of_all().items()}

    def is_whole(self) -> bool:
        """Whether every broker runs and has every record that it should have, so that one may be lost."""
        if not all(broker.is_running for broker in self.brokers):
            return False
        try:
            found = self.partitions_of_all().values()
        except OSError:
            return False
        return all(leader >= 0 and replicas == in_sync for leader, replicas, in_sync in found)

    def partitions_of_all(self) -> dict[tuple[str, int], tuple[int, set[int], set[int]]]:
        """Leader, replicas and replicas in sync of each partition, as the first broker that answers knows them.

        Raises OSError where none answers."""
        failure: OSError = ConnectionError("there is no broker")
        for address in self.addresses:
            try:
                return metadata(address)
            except OSError as error:
                failure = error
        raise failure

    def gateway(self, name: str = "gateway", query: list[Role] = []) -> Role:
        nodes = ["--query", ",".join(node.url for node in query)] if query else []
        return self.role(name, "gateway", nodes)

    def worker(self, name: str, stages: str = "route,embed,extract,resolve") -> Role:
        return self.role(name, "worker", ["--stages", stages, "--model", self.model])

    def query(self, name: str = "query") -> Role:
        return self.role(name, "query", ["--model", self.model])

    def role(self, name: str, command: str, arguments: list) -> Role:
        """Makes a role known by a name; it is not started yet."""
        port, replicas = self.port(), min(3, len(self.addresses))
        self.roles[name] = Role(name, [
            self.meshlog, command, "--log", f"kafka://{','.join(self.addresses)}", "--listen", f"127.0.0.1:{port}",
            "--data", self.folder / f"{name}.data", "--partitions", self.partitions,
            "--replication", replicas, "--min-insync", max(1, replicas - 1), *arguments,
        ], port, self.folder)  # fmt: skip
        return self.roles[name]

    def forget(self, name: str) -> None:
        """Ends a role in order, for good, and removes its data."""
        self.roles.pop(name).stop()
        shutil.rmtree(self.folder / f"{name}.data", ignore_errors=True)

    def port(self) -> int:
        """A port that nobody listens on."""
        while True:
            port = random.choice(PORTS)
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    listener.bind(("127.0.0.1", port))
                except OSError:
                    continue
            if port not in self.taken:
                self.taken.add(port)
                return port


def metadata(address: str) -> dict[tuple[str, int], tuple[int, set[int], set[int]]]:
    """Asks a broker for what it knows of all topics (Kafka's request Metadata, version 1)."""
    host, port = address.split(":")
    client = b"cluster"
    request = struct.pack(">hhih", 3, 1, 0, len(client)) + client + struct.pack(">i", -1)
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(struct.pack(">i", len(request)) + request)
        with connection.makefile("rb") as answer:

            def take(form: str) -> int:
                said = answer.read(struct.calcsize(form))
                if len(said) < struct.calcsize(form):
                    raise ConnectionError(f"{address} broke off")
                return struct.unpack(form, said)[0]

            def text() -> str:
                return answer.read(max(0, take(">h"))).decode()

            def numbers() -> set[int]:
                return {take(">i") for _ in range(take(">i"))}

            take(">q")
            for _ in range(take(">i")):
                take(">i"), text(), take(">i"), text()
            take(">i")
            found = {}
            for _ in range(take(">i")):
                take(">h")
                topic = text()
                take(">?")
                for _ in range(take(">i")):
                    take(">h")
                    number = take(">i")
                    found[topic, number] = (take(">i"), numbers(), numbers())
            return found


def has_started(broker: Process) -> bool:
    return "Kafka Server started" in broker.said()


def has_ended(process: Process) -> bool:
    return process.child.poll() == 0


def answers(url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def end_in_order() -> None:
    """Has signals that stop the script run every clean-up on the way out, once."""

    def stop(number: int, _frame: object) -> None:
        for other in STOPS:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(128 + number)

    for number in STOPS:
        signal.signal(number, stop)


def up(options: argparse.Namespace) -> None:
    with Cluster("cluster", options.meshlog, options.model) as cluster:
        cluster.start_brokers(options.brokers)
        print(f"brokers  {','.join(cluster.addresses)}", flush=True)
        query = cluster.query()
        roles = [query, cluster.gateway(query=[query]), *(cluster.worker(f"worker-{number}") for number in (1, 2))]
        for role in roles:
            role.start()
        for role in roles:
            role.wait()
            print(f"{role.name:<8} {role.url}   process {role.pid}, says {role.log}", flush=True)
        print("all are ready; Ctrl-C ends them", flush=True)
        while all(process.is_running for process in [*roles, *cluster.brokers]):
            time.sleep(1)
        ended = [process for process in [*roles, *cluster.brokers] if not process.is_running]
        raise ClusterError("\n".join(f"{process.name} ended by itself:\n{process.last_words()}" for process in ended))


def run(options: argparse.Namespace) -> None:
    with Cluster("kafka") as cluster:
        cluster.start_brokers(options.brokers)
        environment = {
            "MESHLOG_TEST_KAFKA": ",".join(cluster.addresses),
            "MESHLOG_TEST_KAFKA_PID": ",".join(str(broker.pid) for broker in cluster.brokers),
            "MESHLOG_KAFKA_LIBS": str(CACHE / "peers/kafka"),
            "MESHLOG_TEST_KAFKA_SASL": cluster.secured["sasl"],
            "MESHLOG_TEST_KAFKA_TLS": cluster.secured["tls"],
            "MESHLOG_TEST_KAFKA_SECRETS": str(cluster.secrets.resolve()),
        }
        command = subprocess.Popen(options.command, env=os.environ | environment)
        try:
            sys.exit(command.wait())
        finally:
            if command.poll() is None:
                command.terminate()
                command.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("up", help="the whole topology, until Ctrl-C")
    one.add_argument("--brokers", type=int, choices=(1, 3), default=3)
    one.add_argument("--meshlog", default="target/release/meshlog")
    one.add_argument("--model", default="")
    one.set_defaults(run=up)
    other = commands.add_parser("run", help="a command beside brokers")
    other.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    other.add_argument("command", nargs="+")
    other.set_defaults(run=run)
    options = parser.parse_args()
    end_in_order()
    try:
        options.run(options)
    except ClusterError as error:
        sys.exit(f"cluster: {error}")


if __name__ == "__main__":
    main()
