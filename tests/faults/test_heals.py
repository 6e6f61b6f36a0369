"""Real faults, done to the real server under load: what its callers and its probes see, and what is left of it.

How long each takes is measured by ``make faults``, and stands in docs/reliability.md.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from faults.drills import Drill, drills, held, stub_of, triton_of
from load.serving import Serving
from prometheus_client.parser import text_string_to_metric_families
from served import UNASKED, Served, alive, children, command, serving
from tritonsmith import Client
from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.canary import canary_file
from tritonsmith_build.server.endpoints import Status
from tritonsmith_build.server.events import Events
from tritonsmith_build.server.health import check
from tritonsmith_build.server.install import TritonInstall
from tritonsmith_build.server.keys import headers
from tritonsmith_build.server.ladder import Limits
from tritonsmith_build.server.ports import Ports
from tritonsmith_build.server.probing import Probe
from tritonsmith_build.server.serve import Wanted, started
from tritonsmith_build.server.stubs import stubs_of
from tritonsmith_build.server.supervisor import Rules, Supervisor
from waiting import until

STEPS = ("tokenize", "engine", "classify")
DRILLS = drills("sentiment", STEPS)
SECONDS = 60.0
TEXT = "A delight from start to finish."


@pytest.fixture(scope="module")
def watched(fp32_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    log = tmp_path_factory.mktemp("watched") / "triton.log"
    with serving(fp32_repository, log, "--no-cache", "--restarts=1000", faults=True) as served:
        yield served


@pytest.fixture
def own(fp32_repository: Path, tmp_path: Path) -> Path:
    """A repository that a test may damage."""
    return Path(shutil.copytree(fp32_repository, tmp_path / "models"))


def page(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def readiness(served: Served) -> tuple[int, dict[str, str]]:
    status, text = page(f"{served.health}/readyz")
    return status, json.loads(text)["pipelines"]


def answering(url: str) -> dict[str, str]:
    try:
        return check(url)
    except SmithError:  # there is no server at the moment
        return {}


@pytest.mark.parametrize("drill", DRILLS, ids=lambda drill: drill.name)
def test_it_answers_again_and_never_wrongly(watched: Served, drill: Drill) -> None:
    before = len(watched.events)
    outcome = held(drill, Serving(watched.process, watched.said), "sentiment", clients=32)
    assert outcome.wrong == 0
    assert outcome.right > 0
    assert outcome.not_ready_after is not None
    until(
        lambda: readiness(watched) == (200, {"sentiment": "answers", "embeddings": "answers"}),
        "not ready again",
        seconds=SECONDS,
    )
    until(lambda: watched.events[-1]["event"] == "healed", "no word of it")
    assert watched.events[before]["event"] == "fault"
    assert watched.events[-1]["measure"] == ("restart" if "Triton" in drill.name else "reload")


def test_other_pipelines_answer_while_one_is_mended(watched: Served) -> None:
    with Client(watched.grpc) as client:
        embed = client.pipeline("embeddings")
        before = len(watched.events)
        triton = triton_of(Serving(watched.process, watched.said))
        os.kill(stub_of(triton, "sentiment_engine"), signal.SIGKILL)
        deadline = time.monotonic() + SECONDS
        while [event["event"] for event in watched.events[before:]] != ["fault", "healed"]:
            assert embed(TEXT).shape == (1, 384)
            assert time.monotonic() < deadline, "not mended"


def test_a_server_that_nobody_mends_ends_with_its_triton_and_the_reason(fp32_repository: Path, tmp_path: Path) -> None:
    options = ("--pipelines=sentiment", "--no-heal", UNASKED)
    with serving(fp32_repository, tmp_path / "log", *options, faults=True) as served:
        os.kill(triton_of(Serving(served.process, served.said)), signal.SIGKILL)
        assert served.process.wait(timeout=SECONDS) == 1
        assert [event["event"] for event in served.events] == ["fault"]


def test_what_probes_and_prometheus_see(watched: Served) -> None:
    assert page(f"{watched.health}/healthz")[0] == 200
    status, text = page(f"{watched.health}/metrics")
    found = {family.name: family.samples for family in text_string_to_metric_families(text)}
    assert status == 200
    events = {sample.labels["event"]: sample.value for sample in found["tritonsmith_events"] if sample.name.endswith("_total")}
    assert events["fault"] == sum(event["event"] == "fault" for event in watched.events)
    answers = {sample.labels["pipeline"]: sample.value for sample in found["tritonsmith_pipeline_answers"]}
    assert answers == {"sentiment": 1.0, "embeddings": 1.0}
    status, text = page(f"{watched.health}/")
    assert (status, text) == (404, "there are: /healthz, /readyz, /metrics\n")


def test_what_somebody_unloads_is_not_brought_back(fp32_repository: Path, tmp_path: Path) -> None:
    with serving(fp32_repository, tmp_path / "triton.log", UNASKED, faults=True) as served:
        triton = triton_of(Serving(served.process, served.said))
        # The supervisor still expects the pipeline, whose ensembles Triton unloads with the step.
        url = f"{served.http}/v2/repository/models/sentiment_engine/unload"
        urllib.request.urlopen(urllib.request.Request(url, b"{}", headers(served.key)), timeout=30).close()
        until(lambda: "sentiment_engine" not in {stub.model for stub in stubs_of(triton)}, "still there")
        os.kill(next(stub.pid for stub in stubs_of(triton) if stub.model == "embeddings_embed"), signal.SIGKILL)
        until(lambda: any(event["event"] == "healed" for event in served.events), "another step is not mended")
        assert [event.get("models") for event in served.events] == [["embeddings_embed"], None]
        until(lambda: readiness(served) == (200, {"embeddings": "answers"}), "still expected")


def ended(repository: Path, log: Path, *options: str, do: Callable[[Served], None]) -> tuple[int, list[dict[str, Any]]]:
    """The exit code of a server that cannot be mended, and what it wrote down; nothing may be left of it."""
    with serving(repository, log, *options, faults=True) as served:
        processes = children(served.process.pid)
        do(served)
        code = served.process.wait(timeout=SECONDS)
        assert alive(processes) == []
        return code, served.events


def kill_triton(served: Served) -> None:
    os.kill(triton_of(Serving(served.process, served.said)), signal.SIGKILL)


def test_a_wrong_answer_is_a_fault_and_what_nothing_mends_ends_it(own: Path, tmp_path: Path) -> None:
    canary = own / "sentiment_classify" / "1" / canary_file("cpu")

    def answer_otherwise(served: Served) -> None:
        kept = json.loads(canary.read_text())
        kept["outputs"] = [{**output, "shape": [1, 3]} for output in kept["outputs"]]
        canary.with_suffix(".new").write_text(json.dumps(kept))
        canary.with_suffix(".new").replace(canary)

    options = ("--pipelines=sentiment", "--canary-every=0.2", "--restarts=0")
    code, events = ended(own, tmp_path / "triton.log", *options, do=answer_otherwise)
    assert code == 1
    assert [event["event"] for event in events] == ["fault", "not-healed", "gave-up"]
    assert (events[0]["kind"], events[0]["models"]) == ("wrong", ["sentiment_classify"])
    assert "gives LABEL in the shape [1, 2] instead of [1, 3]" in events[0]["text"]


def test_a_server_that_always_ends_is_given_up(fp32_repository: Path, tmp_path: Path) -> None:
    def kill_it_again(served: Served) -> None:
        kill_triton(served)
        until(lambda: any(event["event"] == "healed" for event in served.events), "not mended")
        kill_triton(served)

    options = ("--pipelines=sentiment", "--restarts=1")
    code, events = ended(fp32_repository, tmp_path / "triton.log", *options, do=kill_it_again)
    assert code == 1
    assert [event["event"] for event in events] == ["fault", "healed", "fault", "gave-up"]


def test_what_was_damaged_meanwhile_is_left_out_and_the_rest_served(own: Path, tmp_path: Path) -> None:
    with serving(own, tmp_path / "triton.log", faults=True) as served:
        engine = own / "sentiment_engine" / "1" / "model.cpu.onnx"
        engine.write_bytes(engine.read_bytes()[:1000])
        kill_triton(served)
        until(lambda: served.events and served.events[-1]["event"] == "healed", "not mended")
        status, pipelines = readiness(served)
        assert status == 503
        assert "model.cpu.onnx is not the file its manifest speaks of" in pipelines["sentiment"]
        with Client(served.grpc) as client:
            assert client.pipeline("embeddings")(TEXT).shape == (1, 384)


def test_nothing_is_left_where_the_supervisor_itself_is_killed(fp32_repository: Path, tmp_path: Path) -> None:
    with serving(fp32_repository, tmp_path / "triton.log", faults=True) as served:
        processes = children(served.process.pid)
        os.kill(served.process.pid, signal.SIGKILL)
        until(lambda: alive(processes) == [], "processes are left")


def test_a_port_that_is_taken_is_named(fp32_repository: Path, tmp_path: Path, watched: Served) -> None:
    taken = watched.said["health"]
    words = [*command(fp32_repository, tmp_path / "triton.log"), f"--health-port={taken}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"--health-port: port {taken} on 127.0.0.1 cannot be used" in done.stderr


def test_health_asks_a_triton_that_nobody_supervises(fp32_repository: Path, tmp_path: Path) -> None:
    wanted = Wanted(fp32_repository, Ports.free("127.0.0.1"), log=tmp_path / "triton.log")
    with started(wanted, lambda line: None) as server:
        assert check(wanted.ports.http_url) == {"embeddings": "", "sentiment": ""}
        os.kill(next(stub.pid for stub in stubs_of(server.pid) if stub.model == "sentiment_tokenize"), signal.SIGKILL)
        assert page(f"{wanted.ports.http_url}/v2/health/ready")[0] == 200  # Triton goes on calling itself ready
        asked = check(wanted.ports.http_url)
        assert asked["embeddings"] == ""
        assert "sentiment does not answer: " in asked["sentiment"]


@pytest.mark.full
def test_a_server_that_has_lost_memory_is_started_anew_when_nobody_asks(fp32_repository: Path, tmp_path: Path) -> None:
    wanted = Wanted(fp32_repository, Ports.free("127.0.0.1"), ("sentiment",), cache=False, log=tmp_path / "triton.log")
    happened: list[str] = []
    events = Events(lambda event: happened.append(event["event"]))
    rules = Rules(every=0.2, limits=Limits(leaks=1))
    reading, writing = os.pipe()
    with started(wanted, lambda line: None) as server:
        probe = Probe(wanted.ports.http_url, fp32_repository, "cpu", 10.0)
        found = lambda: wanted.look(TritonInstall.found())  # noqa: E731
        supervisor = Supervisor(server, probe, rules, events, Status(events), found, seen=lambda pipelines: None)
        watching = threading.Thread(target=supervisor.run, args=(reading,))
        watching.start()
        before = server.pid
        os.kill(next(stub.pid for stub in stubs_of(before) if stub.model == "sentiment_classify"), signal.SIGKILL)
        until(lambda: "refresh" in happened, "never started anew")
        until(
            lambda: server.pid != before and answering(wanted.ports.http_url) == {"sentiment": ""},
            "not answering",
            seconds=SECONDS,
        )
        os.write(writing, b"stop")
        watching.join(timeout=SECONDS)
    assert happened == ["fault", "healed", "refresh"]
