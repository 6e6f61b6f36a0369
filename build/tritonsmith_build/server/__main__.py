"""A container's entry: the same server as ``tritonsmith serve``.

``python3 -m tritonsmith_build.server --repository /models --target tensorrt --host 0.0.0.0``
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.events import as_line
from tritonsmith_build.server.journal import Lines
from tritonsmith_build.server.otlp import otlp_to
from tritonsmith_build.server.ports import Ports
from tritonsmith_build.server.serve import TARGETS, Wanted, serve
from tritonsmith_build.server.supervisor import Rules
from tritonsmith_build.server.tls import tls_of

KEY = Path(tempfile.gettempdir()) / "tritonsmith-admin.key"
PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002, "health": 8003}


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a container's log)


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(
        prog="python3 -m tritonsmith_build.server",
        description="Serve a model repository's pipelines until SIGTERM; Triton's log goes to standard output.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    made.add_argument("--repository", type=Path, default=Path("model_repository"), help="the Triton model repository")
    made.add_argument("--target", choices=TARGETS, default="cpu", help="which of its engines to serve")
    made.add_argument("--pipelines", default="", help="names with commas between; all that are built where left out")
    made.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    for name, port in PORTS.items():
        made.add_argument(f"--{name}-port", type=int, default=port, help="0 takes a free one")
    made.add_argument("--admin-key-file", type=Path, default=KEY, help="with the key for loading; made if missing")
    made.add_argument("--no-cache", action="store_true", help="do not answer repeated inputs from memory")
    made.add_argument("--no-watch", action="store_true", help="count no lengths, labels and the like, and no drift")
    made.add_argument("--no-heal", action="store_true", help="do not mend what is found broken, only tell")
    made.add_argument("--tls-cert", type=Path, help="encrypts gRPC: the server's certificate, PEM")
    made.add_argument("--tls-key", type=Path, help="the certificate's key, PEM, which others may not read")
    made.add_argument("--otlp", help="a collector for traces, OTLP over HTTP: http://HOST:4318")
    made.add_argument("--otlp-every", type=int, default=100, help="one of so many requests is traced")
    made.add_argument("--no-request-log", action="store_true", help="no lines of JSON about requests on standard output")
    made.add_argument("--request-log-every", type=int, default=100, help="one of so many has a line, and each that fails")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; exit code 1 with one line where that is not possible."""
    said = parser().parse_args(arguments)
    try:
        tls = tls_of(said.tls_cert, said.tls_key)
        ports = Ports.free(said.host, **{name: getattr(said, f"{name}_port") for name in PORTS}, tls=tls is not None)
        wanted = Wanted(
            said.repository,
            ports,
            tuple(name.strip() for name in said.pipelines.split(",") if name.strip()),
            said.target,
            not said.no_cache,
            rules=Rules(heal=not said.no_heal),
            key_file=said.admin_key_file,
            tls=tls,
            watch=not said.no_watch,
            otlp=otlp_to(said.otlp, said.otlp_every),
            lines=None if said.no_request_log else Lines(_say, said.request_log_every),
        )
        serve(wanted, _say, lambda event: _say(as_line(event)))
    except SmithError as error:
        print(f"error {error}", file=sys.stderr, flush=True)  # noqa: T201 (the command's one line)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
