"""``tritonsmith doctor``: what is here, what is missing, and the exact command that adds it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from tritonsmith_build.errors import SmithError
from tritonsmith_build.extras import EXTRAS, install_command, missing

State = Literal["ok", "missing", "absent"]
"""``absent`` is nothing to mend: a machine without a GPU is a fine machine."""

OPTIONAL = ("openvino", "gpu", "loadtest", "samples")


@dataclass(frozen=True)
class Finding:
    """One thing looked at."""

    what: str
    state: State
    found: str
    fix: str = ""


def examine() -> list[Finding]:
    """Look at everything; nothing is started, loaded or changed."""
    return [_python(), *(_extra(extra) for extra in EXTRAS), _libpython(), _shared_memory(), *_ports(), _cores(), _gpu()]


def _python() -> Finding:
    version = platform.python_version_tuple()
    fits = version[:2] in (("3", "11"), ("3", "12"))
    return Finding("Python", "ok" if fits else "missing", platform.python_version(), "" if fits else "use Python 3.11 or 3.12")


def _extra(extra: str) -> Finding:
    lacking = missing(extra)
    if not lacking:
        packages = metadata.packages_distributions()
        names = dict.fromkeys(packages[module][0] for module in EXTRAS[extra])
        return Finding(f"[{extra}]", "ok", ", ".join(f"{name} {metadata.version(name)}" for name in names))
    state: State = "absent" if extra in OPTIONAL else "missing"
    return Finding(f"[{extra}]", state, f"without {', '.join(lacking)}", install_command(extra))


def _libpython() -> Finding:
    from tritonsmith_build.server.install import libpython_folder

    return _checked("libpython", lambda: str(libpython_folder()))


def _shared_memory() -> Finding:
    from tritonsmith_build.server.preflight import SHARED_MEMORY, check_shared_memory

    def check() -> str:
        check_shared_memory()
        return f"{shutil.disk_usage(SHARED_MEMORY).free / 2**20:.0f} MiB free"

    return _checked("shared memory", check)


def _checked(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, "ok", check())
    except ModuleNotFoundError as error:
        return Finding(what, "missing", f"cannot be looked at without {error.name}", install_command("server"))
    except SmithError as error:
        return Finding(what, "missing", error.what, error.fix or "")


def _ports() -> list[Finding]:
    return [_port(name, port) for name, port in (("HTTP", 8000), ("gRPC", 8001), ("metrics", 8002), ("health", 8003))]


def _port(name: str, port: int) -> Finding:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            fix = f"give `tritonsmith serve` another --{name.lower()}-port, 0 for a free one"
            return Finding(f"port {port}", "missing", f"taken, {name} would use it", fix)
    return Finding(f"port {port}", "ok", f"free for {name}")


def _cores() -> Finding:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding("machine", "ok", f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB of memory")


def _gpu() -> Finding:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding("GPU", "absent", "none seen; the cpu target needs none")
    query = [tool, "--query-gpu=name,driver_version,compute_cap", "--format=csv,noheader"]
    try:
        reply = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        return Finding("GPU", "absent", f"nvidia-smi fails: {error}")
    return Finding("GPU", "ok", "; ".join(reply.stdout.split("\n")).strip("; "))
