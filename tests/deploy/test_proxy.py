"""The proxy's configuration in a real nginx before a real Triton: TLS, keys, limits, nothing that a caller does not need."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from container_files import ROOT
from served import Served, serving
from tritonsmith import Client
from tritonsmith.errors import InvalidInputError, NotAllowedError, OverloadedError, ServerUnreachableError, TritonsmithError
from tritonsmith_build.server.keys import GRPC_HEADER, HEADER
from tritonsmith_build.server.ports import Ports

TEMPLATE = ROOT / "deploy" / "nginx" / "tritonsmith.conf.template"
TEXT = "A delight from start to finish."
KEYS = {"shop": "shop-4f6c1d", "often": "often-9b02aa"}
BURST = 50
MAIN = """\
daemon off;
pid nginx.pid;
error_log stderr;
events {{ }}
http {{
    {folders}
    include tritonsmith.conf;
}}
"""
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")

pytestmark = pytest.mark.skipif(
    None in (shutil.which("nginx"), shutil.which("curl")), reason="nginx and curl are not both installed"
)


@dataclass(frozen=True)
class Proxied:
    served: Served
    port: int
    authority: Path
    said: Path

    def client(self, scheme: str, key: str | None = KEYS["shop"]) -> Client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return Client(f"{scheme}://127.0.0.1:{self.port}", ca_file=str(self.authority), headers=headers)


def filled_in(values: dict[str, str]) -> str:
    """As envsubst does it."""
    return re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], TEMPLATE.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def proxied(fp32_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("proxied")
    ca = trustme.CA()
    made = ca.issue_cert("127.0.0.1")
    ca.cert_pem.write_to_path(folder / "ca.pem")
    made.cert_chain_pems[0].write_to_path(folder / "server.pem")
    made.private_key_pem.write_to_path(folder / "server.key")
    (folder / "callers.conf").write_text("".join(f'"~^Bearer {key}$" {name};\n' for name, key in KEYS.items()))
    with serving(fp32_repository, folder / "triton.log", "--pipelines=sentiment") as served:
        port = Ports.free("127.0.0.1").http
        values = {
            "HTTP": f"127.0.0.1:{served.said['http']}",
            "GRPC": f"127.0.0.1:{served.said['grpc']}",
            **{"LISTEN": f"127.0.0.1:{port}", "TLS": str(folder), "BODY": "64k", "RATE": "10", "BURST": str(BURST)},
        }
        (folder / "tritonsmith.conf").write_text(filled_in({f"TRITONSMITH_{name}": value for name, value in values.items()}))
        folders = "\n    ".join(f"{name}_temp_path {folder}/{name};" for name in FOLDERS)
        (folder / "nginx.conf").write_text(MAIN.format(folders=folders))
        with (folder / "said").open("w") as said:
            nginx = subprocess.Popen(
                ["nginx", "-p", folder, "-c", folder / "nginx.conf"], stdout=said, stderr=subprocess.STDOUT
            )
        try:
            proxied = Proxied(served, port, folder / "ca.pem", folder / "said")
            _until_it_answers(proxied, nginx)
            yield proxied
        finally:
            nginx.terminate()
            nginx.wait(timeout=30)


def _until_it_answers(proxied: Proxied, nginx: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while nginx.poll() is None and time.monotonic() < deadline:
        try:
            with proxied.client("https") as client:
                client.pipeline("sentiment")
        except ServerUnreachableError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(proxied.said.read_text())


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_who_has_a_key_is_answered(proxied: Proxied, scheme: str) -> None:
    with proxied.client(scheme) as client:
        assert client.pipeline("sentiment")(TEXT)[0]["label"] == "POSITIVE"


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
@pytest.mark.parametrize("key", [None, "shop", KEYS["shop"] + "x", "x" + KEYS["shop"], KEYS["shop"].upper(), ""])
def test_nobody_else_is(proxied: Proxied, scheme: str, key: str | None) -> None:
    with proxied.client(scheme, key) as client, pytest.raises(NotAllowedError):
        client.pipeline("sentiment")


@pytest.mark.parametrize("path", ["v2/repository/index", "v2/models/sentiment/trace/setting", "v2/logging", "v2/../v2/logging"])
def test_what_no_caller_needs_is_not_there_not_even_with_the_admin_key(proxied: Proxied, path: str) -> None:
    status = asked(proxied, path, {"authorization": f"Bearer {KEYS['shop']}", HEADER: proxied.served.key})
    assert status == "404"


@pytest.mark.parametrize("call", ["RepositoryModelLoad", "SystemSharedMemoryStatus", "TraceSetting", "LogSettings"])
def test_nor_over_grpc(proxied: Proxied, call: str) -> None:
    headers = {
        "authorization": f"Bearer {KEYS['shop']}",
        GRPC_HEADER: proxied.served.key,
        "content-type": "application/grpc",
    }
    assert asked(proxied, f"inference.GRPCInferenceService/{call}", headers) == "404"


def asked(proxied: Proxied, path: str, headers: dict[str, str]) -> str:
    """The status of a POST, as curl has it, over HTTP 2."""
    given = [part for name, value in headers.items() for part in ("--header", f"{name}: {value}")]
    command = ["curl", "--silent", "--http2", "--path-as-is", "--cacert", proxied.authority, "--data", "{}", *given]
    command += ["--output", "/dev/null", "--write-out", "%{http_code}", f"https://127.0.0.1:{proxied.port}/{path}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_request_that_is_too_large_is_refused_with_a_word(proxied: Proxied) -> None:
    with proxied.client("https") as client:
        pipe = client.pipeline("sentiment")
        with pytest.raises(InvalidInputError, match="larger than 64k"):
            pipe("long " * 40_000)
        assert pipe(TEXT)[0]["label"] == "POSITIVE"


@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_who_asks_too_often_is_told_and_others_are_answered(proxied: Proxied, scheme: str) -> None:
    with proxied.client(scheme, KEYS["often"]) as often, proxied.client(scheme) as shop:
        with pytest.raises(OverloadedError):
            [often.pipeline("sentiment") for _ in range(10 * BURST)]
        assert shop.pipeline("sentiment")(TEXT)[0]["label"] == "POSITIVE"


def test_its_log_has_the_callers_name_and_neither_key_nor_text(proxied: Proxied) -> None:
    with proxied.client("https") as client:
        client.pipeline("sentiment")("A text that nobody may read.")
    said = proxied.said.read_text()
    assert '"shop" POST /v2/models/sentiment/infer 200' in said
    assert not [secret for secret in (*KEYS.values(), proxied.served.key, "nobody may read") if secret in said]


def test_without_triton_it_says_so(proxied: Proxied) -> None:
    """The last one: nothing answers after it."""
    proxied.served.stop()
    for scheme in ("https", "grpcs"):
        with proxied.client(scheme) as client, pytest.raises(TritonsmithError) as caught:
            client.pipeline("sentiment")
        assert isinstance(caught.value, ServerUnreachableError)
