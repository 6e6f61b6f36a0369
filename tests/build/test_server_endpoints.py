"""What the supervisor's pages say, and to whom."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.endpoints import Endpoints, Status
from tritonsmith_build.server.events import Event, Events
from tritonsmith_build.server.health import check
from tritonsmith_build.server.ports import Ports

KEPT: list[Event] = []


@pytest.fixture
def events() -> Events:
    KEPT.clear()
    return Events(KEPT.append)


@pytest.fixture
def status(events: Events) -> Status:
    return Status(events)


@pytest.fixture(params=["127.0.0.1", "::1", "localhost"])
def ports(request: pytest.FixtureRequest) -> Ports:
    try:
        return Ports.free(request.param)
    except SmithError:
        pytest.skip(f"this machine has no {request.param}")


@pytest.fixture
def url(ports: Ports, status: Status, events: Events) -> Iterator[str]:
    with Endpoints(ports.host, ports.health, status, events):
        yield f"http://{f'[{ports.host}]' if ':' in ports.host else ports.host}:{ports.health}"


def page(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_it_is_ready_when_every_pipeline_answers(url: str, status: Status) -> None:
    assert page(f"{url}/readyz") == (503, '{"ready": false, "pipelines": {}}\n')
    status.set("moods")
    status.set("vectors", "its engine has died")
    code, text = page(f"{url}/readyz")
    assert (code, json.loads(text)["pipelines"]) == (503, {"moods": "answers", "vectors": "its engine has died"})
    status.set("vectors")
    assert page(f"{url}/readyz")[0] == 200


def test_health_believes_a_supervisor(url: str, status: Status) -> None:
    with pytest.raises(SmithError, match="no pipeline is served"):
        check(url)
    status.set("moods")
    status.set("vectors", "its engine has died")
    assert check(url) == {"moods": "", "vectors": f"{url}: vectors does not answer: its engine has died"}


def test_metrics_are_what_prometheus_reads(url: str, status: Status, events: Events) -> None:
    events("fault", "it died", kind="dead")
    status.set("moods", "it died")
    status.set("vectors", seconds=0.25)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(page(f"{url}/metrics")[1])
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
    assert found == {
        ("tritonsmith_events_total", "fault"): 1.0,
        # What has not happened is counted too, or Prometheus would not see its first time.
        **{("tritonsmith_events_total", kind): 0.0 for kind in ("healed", "not-healed", "refresh", "gave-up")},
        ("tritonsmith_pipeline_answers", "moods"): 0.0,
        ("tritonsmith_pipeline_answers", "vectors"): 1.0,
        ("tritonsmith_canary_seconds", "vectors"): 0.25,
    }
    assert [(event["event"], event["kind"], event["text"]) for event in KEPT] == [("fault", "dead", "it died")]


def test_a_supervisor_that_is_silent_is_not_alive(url: str, status: Status, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page(f"{url}/healthz")[0] == 200
    monkeypatch.setattr(status, "_beaten", status._beaten - 1000)
    assert page(f"{url}/healthz")[0] == 503
    status.beat()
    assert page(f"{url}/healthz")[0] == 200


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("my-host", False)],
)
def test_which_addresses_are_this_machines_alone(host: str, loopback: bool) -> None:
    assert Ports(host, 1, 2, 3, 4).loopback is loopback
