"""Encryption of gRPC by Triton itself. Its HTTP has none: that is a proxy's."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.keys import check_private


@dataclass(frozen=True)
class Tls:
    """A server's certificate, with those between it and its authority, and its key: PEM files."""

    certificate: Path
    key: Path

    def flags(self) -> list[str]:
        """What Triton is started with."""
        return ["--grpc-use-ssl=true", f"--grpc-server-cert={self.certificate}", f"--grpc-server-key={self.key}"]


def tls_of(certificate: Path | None, key: Path | None) -> Tls | None:
    """None where neither is given. Raises SmithError for files with which Triton would not start, or nobody could connect."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SmithError("a certificate and its key belong together", fix="give --tls-cert and --tls-key")
    for file in (certificate, key):
        if not file.is_file():
            raise SmithError("no such file", where=file)
    check_private(key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise SmithError(f"no certificate with its key, in PEM ({error})", where=f"{certificate}, {key}") from None
    return Tls(certificate, key)


def _no_password() -> str:
    raise ValueError("the key has a password, which nobody gives when a server starts")
