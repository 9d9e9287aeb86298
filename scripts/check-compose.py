#!/usr/bin/env python3
"""Is docker-compose.yml right, as far as that can be told without Docker?

By the schema of the Compose specification (the Python package check-jsonschema has it, from PyPI into .cache/tools), and by what
a schema cannot know: that every service, port, volume and file that is named is there, and that every service tells its health.
prometheus.yml is held to the services too, and to promtool where there is one. That the commands are understood is a test
(tests/the_compose_file_is_understood.rs).
"""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".cache/tools/check-compose"
PACKAGE = "check-jsonschema==0.39.0"
# Ports that a service listens on without saying so in its settings.
PROMETHEUS = 9090


def main() -> None:
    sys.path.insert(0, str(tools()))
    from ruamel.yaml import YAML

    compose, dockerfile = ROOT / "docker-compose.yml", (ROOT / "Dockerfile").read_text()
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", compose]
    checked = subprocess.run(check, env={"PYTHONPATH": str(TOOLS)}, capture_output=True, text=True)
    wrong = [] if checked.returncode == 0 else [f"docker-compose.yml: {checked.stdout}{checked.stderr}"]
    text = compose.read_text()
    top = YAML(typ="safe").load(text)
    services, volumes = top["services"], top["volumes"]
    [exposed] = map(int, re.findall(r"^EXPOSE (\d+)$", dockerfile, re.MULTILINE))
    listens = {name: ports_of(service, exposed) for name, service in services.items()}

    # HOST:PORT in addresses, and in the lists of brokers behind kafka:// and NODE@.
    for host, port in re.findall(r"(?:[/,@])([a-z][a-z0-9-]*):(\d{4,5})\b", text):
        if int(port) not in listens.get(host, set()):
            wrong.append(f"docker-compose.yml: {host}:{port} is no service that listens there")
    for name, service in services.items():
        for other in service.get("depends_on", {}):
            if other not in services:
                wrong.append(f"docker-compose.yml: {name} depends on {other}, which is no service")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            is_there = (ROOT / source).exists() if source.startswith(".") else source in volumes
            if not is_there:
                wrong.append(f"docker-compose.yml: {name} mounts {source}, which is not there")
        for mapping in service.get("ports", []):
            if int(mapping.split(":")[-1]) not in listens[name]:
                wrong.append(f"docker-compose.yml: {name} does not listen on the port of {mapping}")
        if "healthcheck" not in service and not ("build" in service and "\nHEALTHCHECK " in dockerfile):
            wrong.append(f"docker-compose.yml: {name} does not tell its health")

    prometheus = YAML(typ="safe").load((ROOT / "prometheus.yml").read_text())
    watched = set()
    for found in (found for job in prometheus["scrape_configs"] for found in job.get("dns_sd_configs", [])):
        watched |= {(name, found["port"]) for name in found["names"]}
    ours = {(name, exposed) for name, service in services.items() if "build" in service}
    if watched != ours:
        wrong.append(f"prometheus.yml: it watches {sorted(watched)}; the roles are {sorted(ours)}")
    if shutil.which("promtool"):
        tool = subprocess.run(["promtool", "check", "config", ROOT / "prometheus.yml"], capture_output=True, text=True)
        wrong += [] if tool.returncode == 0 else [f"prometheus.yml: {tool.stdout}{tool.stderr}"]
    if wrong:
        sys.exit("\n".join(wrong))


def ports_of(service: dict, exposed: int) -> set[int]:
    """The ports that a service listens on."""
    if "build" in service:
        return {exposed}
    listeners = service.get("environment", {}).get("KAFKA_LISTENERS")
    return {int(port) for port in re.findall(r":(\d+)", listeners)} if listeners else {PROMETHEUS}


def tools() -> pathlib.Path:
    """The folder with the packages; fetched once."""
    marker = TOOLS / PACKAGE
    if not marker.exists():
        shutil.rmtree(TOOLS, ignore_errors=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        subprocess.run([*pip, "--target", TOOLS, PACKAGE], check=True)
        marker.touch()
    return TOOLS


if __name__ == "__main__":
    main()
