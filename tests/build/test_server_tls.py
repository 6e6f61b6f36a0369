"""Certificates that a server could not use are refused before it starts, with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme
from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.ports import Ports
from tritonsmith_build.server.tls import Tls, tls_of


@pytest.fixture
def issued(tmp_path: Path) -> Tls:
    """A certificate and its key."""
    made = trustme.CA().issue_cert("localhost")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    made.cert_chain_pems[0].write_to_path(certificate)
    made.private_key_pem.write_to_path(key)
    key.chmod(0o600)
    return Tls(certificate, key)


def test_a_certificate_with_its_key_is_taken(issued: Tls) -> None:
    assert tls_of(issued.certificate, issued.key) == issued
    assert tls_of(None, None) is None


def test_one_without_the_other_is_refused(issued: Tls) -> None:
    for pair in ((issued.certificate, None), (None, issued.key)):
        with pytest.raises(SmithError, match="belong together; give --tls-cert and --tls-key"):
            tls_of(*pair)


def test_a_key_that_others_may_read_is_refused(issued: Tls) -> None:
    issued.key.chmod(0o640)
    with pytest.raises(SmithError, match=r"others may read the key in it; run: chmod 600 .*server\.key"):
        tls_of(issued.certificate, issued.key)


def test_what_is_not_there_is_named(issued: Tls, tmp_path: Path) -> None:
    with pytest.raises(SmithError, match=r"none\.pem: no such file"):
        tls_of(tmp_path / "none.pem", issued.key)


def test_a_key_of_another_certificate_is_refused(issued: Tls) -> None:
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(issued.key)
    with pytest.raises(SmithError, match="no certificate with its key"):
        tls_of(issued.certificate, issued.key)


def test_files_that_are_no_pem_are_refused(issued: Tls) -> None:
    issued.certificate.write_text("hello")
    with pytest.raises(SmithError, match="no certificate with its key"):
        tls_of(issued.certificate, issued.key)


def test_an_address_says_whether_it_is_encrypted() -> None:
    assert Ports("127.0.0.1", 1, 2, 3, 4, tls=True).grpc_url == "grpcs://127.0.0.1:2"
    assert Ports("127.0.0.1", 1, 2, 3, 4).grpc_url == "grpc://127.0.0.1:2"
