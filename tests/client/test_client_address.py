from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from tritonsmith import AsyncClient, Client
from tritonsmith.transport import Address


@pytest.mark.parametrize(
    ("url", "host", "grpc", "secure"),
    [
        ("grpc://example.org", "example.org:8001", True, False),
        ("grpcs://example.org", "example.org:8001", True, True),
        ("http://example.org", "example.org:8000", False, False),
        ("https://example.org", "example.org:443", False, True),
        ("grpc://10.0.0.1:7", "10.0.0.1:7", True, False),
        ("http://localhost:80/", "localhost:80", False, False),
        ("grpc://[::1]", "[::1]:8001", True, False),
        ("http://[2001:db8::2]:9000", "[2001:db8::2]:9000", False, False),
        ("GRPC://Example.org:1", "example.org:1", True, False),
    ],
)
def test_an_address_is_read(url: str, host: str, grpc: bool, secure: bool) -> None:
    address = Address.parse(url, timeout=2.5, headers={"a": "b"})
    assert (address.host, address.grpc, address.secure) == (host, grpc, secure)
    assert (address.timeout, address.headers) == (2.5, {"a": "b"})


@pytest.mark.parametrize(
    "url",
    ["localhost:8001", "localhost", "", "ftp://localhost", "grpc://", "http://:8000", "http://localhost:8000/v2/models"],
)
@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_what_is_no_address_is_shown_beside_one_that_is(kind: type[Client] | type[AsyncClient], url: str) -> None:
    with pytest.raises(ValueError, match="write for example grpc://localhost:8001 or http://localhost:8000") as caught:
        kind(url)
    assert repr(url) in str(caught.value)


@pytest.mark.parametrize("url", ["grpc://localhost:99999", "grpc://localhost:port", "http://[::1"])
def test_a_port_or_host_that_cannot_be_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Client(url)


def test_certificates_are_checked_against_the_given_file(tmp_path: Path) -> None:
    context = Address.parse("https://example.org", timeout=1).ssl_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    with pytest.raises(ValueError, match=r"ca_file .*ca\.pem: no such file"):
        Address.parse("https://example.org", timeout=1, ca_file=str(tmp_path / "ca.pem"))
