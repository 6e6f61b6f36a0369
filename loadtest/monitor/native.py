"""Prometheus as a process of one's own, with the configuration that is deployed, pointed at servers of this machine."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from tritonsmith_build.errors import SmithError

DEPLOYED = Path(__file__).parents[2] / "deploy" / "prometheus"
BINARY = "prometheus"
_START_SECONDS = 60
_NOT_READY = 503
_POLL_SECONDS = 0.1
Samples = list[tuple[dict[str, str], float]]


class Prometheus:
    """One that runs."""

    def __init__(self, url: str) -> None:
        self._url = f"{url}/api/v1"

    def asked(self, what: str, **arguments: str) -> Any:
        """The data that its API answers with. Raises SmithError where it refuses, OSError where it does not answer."""
        try:
            with urllib.request.urlopen(f"{self._url}/{what}?{urllib.parse.urlencode(arguments)}", timeout=10) as reply:
                return json.load(reply)["data"]
        except urllib.error.HTTPError as error:
            if error.code == _NOT_READY:
                raise
            raise SmithError(f"Prometheus refuses: {error.read().decode(errors='replace')}", where=str(arguments)) from error

    def values(self, query: str) -> Samples:
        """What an expression is at the moment, by labels."""
        found = self.asked("query", query=query)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def rules(self) -> dict[str, dict[str, Any]]:
        """All rules by name, as they were last evaluated."""
        return {rule["name"]: rule for group in self.asked("rules")["groups"] for rule in group["rules"]}

    def raised(self) -> set[str]:
        """Alerts whose condition holds."""
        return {alert["labels"]["alertname"] for alert in self.asked("alerts")["alerts"]}


def targets(said: Mapping[str, Any]) -> dict[str, str]:
    """By job: the addresses of a server of this machine, from what it printed when it was ready."""
    return {job: f"127.0.0.1:{said[port]}" for job, port in (("tritonsmith", "metrics"), ("supervisor", "health"))}


@contextlib.contextmanager
def prometheus(asked: Mapping[str, str], folder: Path, *, every: str = "1s", rates: str = "5m") -> Iterator[Prometheus]:
    """Run one while the context lasts; its files are in ``folder``.

    ``asked`` has an address for each job that there is a server for. ``rates`` stands for the five minutes over which rules
    count: a short run wants less. Raises SmithError where it does not come up.
    """
    if not shutil.which(BINARY):
        raise SmithError("Prometheus is not installed", fix="run: apt-get install prometheus")
    (folder / "rules.yml").write_text(_rules(rates), encoding="utf-8")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(_configuration(asked, every)), encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    flags = ["--config.file=prometheus.yml", f"--web.listen-address={address}", "--storage.tsdb.path=data"]
    log = folder / "prometheus.log"
    with log.open("w") as output:
        process = subprocess.Popen([BINARY, *flags], cwd=folder, stdout=output, stderr=output)
    try:
        made = Prometheus(f"http://{address}")
        _await(made, process, len(asked), log)
        yield made
    finally:
        process.terminate()
        process.wait()


def _rules(rates: str) -> str:
    return (DEPLOYED / "rules.yml").read_text(encoding="utf-8").replace("[5m]", f"[{rates}]")


def _configuration(asked: Mapping[str, str], every: str) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text(encoding="utf-8"))
    made["global"] = {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every}
    jobs = [job for job in made["scrape_configs"] if job["job_name"] in asked]
    made["scrape_configs"] = [{**job, "static_configs": [{"targets": [asked[job["job_name"]]]}]} for job in jobs]
    return made


def free_port() -> int:
    """One of loopback that nobody listens on at the moment."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
    return port


def _await(made: Prometheus, process: subprocess.Popen[bytes], servers: int, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            if len(made.values("up == 1")) == servers:
                return
        time.sleep(_POLL_SECONDS)
    raise SmithError("Prometheus gets no pages from all servers", where=log, fix="its log says why")
