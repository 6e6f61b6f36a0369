"""Find Triton in the ``nvidia-pytriton`` wheel, and lay its files out as the server wants them."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tritonsmith_build.errors import SmithError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_SYSTEM_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")


@dataclass(frozen=True)
class TritonInstall:
    """Where the parts of a Triton server lie."""

    binary: Path
    libraries: Path
    python_backend: Path
    stub: Path
    caches: Path

    @classmethod
    def from_wheel(cls) -> TritonInstall:
        """Of the wheel installed in the running environment. Raises SmithError with the command that adds it."""
        found = importlib.util.find_spec("pytriton")
        if found is None or not found.submodule_search_locations:
            raise SmithError("the Triton server is not installed", where="serve", fix="run: pip install 'tritonsmith[server]'")
        package = Path(next(iter(found.submodule_search_locations)))
        root = package / "tritonserver"
        stub = root / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
        if not stub.is_file():
            raise SmithError(
                f"the wheel's Triton has no Python backend for Python {PYTHON}", where=root, fix="use Python 3.11 or 3.12"
            )
        return cls(
            binary=root / "bin" / "tritonserver",
            libraries=package.parent / "nvidia_pytriton.libs",
            python_backend=root / "backends" / "python",
            stub=stub,
            caches=root / "caches",
        )

    def lay_out(self, folder: Path, repository: Path) -> None:
        """Link repository and backend into ``folder``, whose path must hold no space.

        The wheel keeps a stub per Python version; the server wants the right one beside its backend. It also starts
        stubs through an unquoted command line, so neither path may hold a space: links from here do not.
        """
        backend = folder / "backends" / "python"
        backend.mkdir(parents=True)
        for file in (*self.python_backend.iterdir(), self.stub):
            if file.is_file():
                (backend / file.name).symlink_to(file)
        (folder / "repository").symlink_to(repository.absolute())
        (folder / "caches").symlink_to(self.caches)


def libpython_folder() -> Path:
    """The folder of the running Python's shared library, which the stub loads.

    Raises SmithError saying which package has it.
    """
    name = f"libpython{PYTHON}.so.1.0"
    places = [sysconfig.get_config_var("LIBDIR"), f"{sys.base_prefix}/lib", *_SYSTEM_LIBRARIES]
    for place in places:
        if place and (Path(place) / name).exists():
            return Path(place)
    fix = f"run: apt-get install libpython{PYTHON} (a Python built from source needs --enable-shared)"
    raise SmithError(f"{name} was not found, which Triton's Python steps load", where="serve", fix=fix)
