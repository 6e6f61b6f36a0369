"""Every configuration read by the wheel's own Triton, whose protobuf is older than the client's.

It has no TensorRT and no ONNX Runtime backend, so a load of those engines ends there: after their configuration was read.
"""

from __future__ import annotations

import json
import re
import shutil
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from served import ROOT
from tritonsmith_build.lock import facts_from_lock
from tritonsmith_build.pipelines import specs_named
from tritonsmith_build.render import OVERLAY, overlay, rendered
from tritonsmith_build.server import health
from tritonsmith_build.server.install import TritonInstall
from tritonsmith_build.server.ports import Ports
from tritonsmith_build.server.process import TritonServer
from tritonsmith_build.tables import PipelineSpec

PIPELINES = ("sentiment", "embeddings")
LACKING = re.compile(r"unable to find '?(libtriton_|backend)|unable to find backend library", re.IGNORECASE)


def all_options(spec: PipelineSpec) -> PipelineSpec:
    """The spec with every optimization of the TensorRT backend wished for."""
    flags = ("cuda_graphs", "busy_wait_events", "output_copy_stream", "eager_batching")
    tensorrt = spec.engine.tensorrt.model_copy(update=dict.fromkeys(flags, True))
    return spec.model_copy(update={"engine": spec.engine.model_copy(update={"tensorrt": tensorrt})})


def write(repository: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        file = repository / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@contextmanager
def triton(repository: Path, log: Path, config_name: str) -> Iterator[str]:
    """A server with nothing loaded; its HTTP address."""
    ports = Ports.free("127.0.0.1", http=0, grpc=0, metrics=0)
    with TritonServer(TritonInstall.found(), repository, (), ports, log, config_name=config_name) as server:
        server.wait_until_ready()
        yield ports.http_url


def load(url: str, model: str) -> str:
    """What Triton says of a model; empty where it loads."""
    try:
        health.post(f"{url}/v2/repository/models/{model}/load", {}, timeout=60)
    except urllib.error.HTTPError as error:
        return str(json.loads(error.read())["error"])
    return ""


@pytest.mark.parametrize("config_name", ["cpu", "onnxruntime", OVERLAY])
def test_the_servers_own_protobuf_reads_every_configuration(tmp_path: Path, config_name: str) -> None:
    repository = tmp_path / "repository"
    for spec in map(all_options, specs_named(PIPELINES, ROOT / "pipelines")):
        write(repository, rendered(spec, facts_from_lock(spec)))
        write(repository, overlay(spec, facts_from_lock(spec), {"9.0": "model.sm90.plan", "8.9": "model.sm89.plan"}))
    with triton(repository, tmp_path / "log", config_name) as url:
        for engine in (f"{name}_engine" for name in PIPELINES):
            said = load(url, engine)
            # The artefacts are not there either: on the cpu target that is what the load ends with.
            assert LACKING.search(said) if config_name != "cpu" else "onnx" in said, said
    log = (tmp_path / "log").read_text()
    assert "Error parsing text-format" not in log


def test_a_field_that_the_server_does_not_know_is_seen(tmp_path: Path) -> None:
    (spec,) = specs_named(["sentiment"], ROOT / "pipelines")
    files: dict[str, Any] = rendered(spec, facts_from_lock(spec))
    files["sentiment_engine/config.pbtxt"] += "queue_of_tomorrow { length: 3 }\n"
    write(tmp_path / "repository", files)
    shutil.rmtree(tmp_path / "repository" / "sentiment_engine" / "configs")
    with triton(tmp_path / "repository", tmp_path / "log", OVERLAY) as url:
        assert not LACKING.search(load(url, "sentiment_engine"))
    assert "queue_of_tomorrow" in (tmp_path / "log").read_text()
