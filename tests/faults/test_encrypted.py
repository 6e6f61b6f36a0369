"""gRPC that Triton itself encrypts: who knows its authority is answered, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from served import Served, serving
from tritonsmith import Client
from tritonsmith.errors import ServerUnreachableError

TEXT = "A delight from start to finish."


@dataclass(frozen=True)
class Encrypted:
    served: Served
    authority: Path
    other: Path
    """Of somebody else's authority."""


@pytest.fixture(scope="module")
def encrypted(fp32_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    folder = tmp_path_factory.mktemp("encrypted")
    authority, certificate, key, other = (folder / name for name in ("ca.pem", "server.pem", "server.key", "other.pem"))
    ca = trustme.CA()
    made = ca.issue_cert("127.0.0.1", "localhost")
    ca.cert_pem.write_to_path(authority)
    trustme.CA().cert_pem.write_to_path(other)
    made.cert_chain_pems[0].write_to_path(certificate)
    made.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    options = (f"--tls-cert={certificate}", f"--tls-key={key}", "--pipelines=sentiment")
    with serving(fp32_repository, folder / "triton.log", *options) as served:
        yield Encrypted(served, authority, other)


def test_who_knows_the_authority_is_answered(encrypted: Encrypted) -> None:
    port = encrypted.served.said["grpc"]
    for host in ("127.0.0.1", "localhost"):
        with Client(f"grpcs://{host}:{port}", ca_file=str(encrypted.authority)) as client:
            assert client.pipeline("sentiment")(TEXT)[0]["label"] == "POSITIVE"


@pytest.mark.parametrize("how", ["in the open", "another authority", "the system's authorities"])
def test_nobody_else_is(encrypted: Encrypted, how: str) -> None:
    scheme = "grpc" if how == "in the open" else "grpcs"
    ca_file = str(encrypted.other) if how == "another authority" else None
    url = f"{scheme}://127.0.0.1:{encrypted.served.said['grpc']}"
    with Client(url, ca_file=ca_file, timeout=5) as client, pytest.raises(ServerUnreachableError):
        client.pipeline("sentiment")


def test_it_says_so(encrypted: Encrypted) -> None:
    assert encrypted.served.said["tls"] is True
    with Client(encrypted.served.http) as client:  # a proxy's to encrypt
        assert client.pipeline("sentiment")(TEXT)[0]["label"] == "POSITIVE"
