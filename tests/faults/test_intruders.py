"""What somebody who has no key can do to a server: ask it, and nothing else; and where it listens."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import tritonclient.grpc
from served import Served, serving
from tritonclient.utils import InferenceServerException
from tritonsmith import Client
from tritonsmith_build.server.keys import GRPC_HEADER, headers

TEXT = "A delight from start to finish."
REGION = {"key": "/anything", "offset": 0, "byte_size": 64}
CUDA = {"raw_handle": {"b64": "AAAA"}, "device_id": 0, "byte_size": 64}
HTTP: list[tuple[str, Any]] = [
    ("v2/repository/index", {}),
    ("v2/repository/models/sentiment/load", {}),
    ("v2/repository/models/sentiment/unload", {}),
    ("v2/repository/models/sentiment/load", {"parameters": {"config": "{}"}}),
    *((f"v2/{kind}sharedmemory/status", None) for kind in ("system", "cuda")),
    *((f"v2/{kind}sharedmemory/region/mine/status", None) for kind in ("system", "cuda")),
    ("v2/systemsharedmemory/region/mine/register", REGION),
    ("v2/cudasharedmemory/region/mine/register", CUDA),
    *((f"v2/{kind}sharedmemory/unregister", {}) for kind in ("system", "cuda")),
    *((f"v2/{kind}sharedmemory/region/mine/unregister", {}) for kind in ("system", "cuda")),
    ("v2/trace/setting", None),
    ("v2/trace/setting", {"trace_level": ["TENSORS"], "trace_file": "/tmp/trace"}),
    ("v2/models/sentiment/trace/setting", None),
    ("v2/models/sentiment/trace/setting", {"trace_level": ["TENSORS"]}),
    ("v2/logging", None),
    ("v2/logging", {"log_file": "/tmp/log", "log_verbose_level": 1}),
]
GRPC: dict[str, tuple[Any, ...]] = {
    "get_model_repository_index": (),
    "load_model": ("sentiment",),
    "unload_model": ("sentiment",),
    "get_system_shared_memory_status": (),
    "register_system_shared_memory": ("mine", "/anything", 64),
    "unregister_system_shared_memory": (),
    "get_cuda_shared_memory_status": (),
    "register_cuda_shared_memory": ("mine", b"AAAA", 0, 64),
    "unregister_cuda_shared_memory": (),
    "get_trace_settings": (),
    "update_trace_settings": (None, {"trace_level": ["TENSORS"]}),
    "get_log_settings": (),
    "update_log_settings": ({"log_verbose_level": 1},),
}


@pytest.fixture(scope="module")
def server(fp32_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(fp32_repository, tmp_path_factory.mktemp("guarded") / "triton.log") as served:
        yield served


def asked(served: Served, path: str, body: Any, key: str = "") -> tuple[int, str]:
    content = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"{served.http}/{path}", content, headers(key)), timeout=30
        ) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("key", ["", "x" * 43], ids=["no key", "a wrong key"])
@pytest.mark.parametrize(("path", "body"), HTTP, ids=[f"{path} {'POST' if body is not None else 'GET'}" for path, body in HTTP])
def test_http_refuses_what_is_no_callers(server: Served, path: str, body: Any, key: str) -> None:
    status, said = asked(server, path, body, key)
    assert status == 403
    assert "restricted" in said


@pytest.mark.parametrize("key", ["", "x" * 43], ids=["no key", "a wrong key"])
@pytest.mark.parametrize("call", GRPC)
def test_grpc_refuses_what_is_no_callers(server: Served, call: str, key: str) -> None:
    host = urlsplit(server.grpc).netloc
    with (
        tritonclient.grpc.InferenceServerClient(host) as client,
        pytest.raises(InferenceServerException, match="is restricted"),
    ):
        getattr(client, call)(*GRPC[call], headers={GRPC_HEADER: key} if key else {})


def test_the_key_opens_both_protocols(server: Served) -> None:
    status, said = asked(server, "v2/repository/index", {}, server.key)
    assert status == 200
    assert {"name": "sentiment", "version": "1", "state": "READY"} in json.loads(said)
    with tritonclient.grpc.InferenceServerClient(urlsplit(server.grpc).netloc) as client:
        index = client.get_model_repository_index(headers={GRPC_HEADER: server.key}, as_json=True)
        assert {"name": "sentiment", "version": "1", "state": "READY"} in index["models"]


def test_callers_need_none(server: Served) -> None:
    for url in (server.grpc, server.http):
        with Client(url) as client:
            assert client.pipeline("embeddings")(TEXT).shape == (1, 384)
    for path in ("v2", "v2/health/ready", "v2/models/sentiment", "v2/models/sentiment/config", "v2/models/sentiment/stats"):
        assert asked(server, path, None)[0] == 200


def test_nothing_else_listens_and_all_on_loopback(server: Served) -> None:
    processes = [server.process.pid, *(child.pid for child in psutil.Process(server.process.pid).children(recursive=True))]
    found = [one.laddr for one in psutil.net_connections("inet") if one.pid in processes and one.status == psutil.CONN_LISTEN]
    assert {address.ip.removeprefix("::ffff:") for address in found} == {"127.0.0.1"}
    assert {address.port for address in found} == {server.said[name] for name in ("http", "grpc", "metrics", "health")}


def test_the_key_is_in_no_log_and_in_nobodys_arguments_but_tritons(server: Served) -> None:
    key = server.key
    written = [file for file in server.log.parent.iterdir() if file.suffix != ".key"]
    assert server.log in written
    assert [file for file in written if key in file.read_text(errors="replace")] == []
    assert key not in json.dumps(server.said)
    running = [process.info for process in psutil.process_iter(["name", "cmdline"])]
    with_it = [process["name"] for process in running if key in " ".join(process["cmdline"] or [])]
    assert with_it == ["tritonserver"]
    for url in (f"{server.health}/metrics", f"{server.health}/readyz", server.metrics):
        with urllib.request.urlopen(url, timeout=30) as reply:
            assert key not in reply.read().decode()
