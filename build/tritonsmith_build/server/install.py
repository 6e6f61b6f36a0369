"""Find Triton, in the ``nvidia-pytriton`` wheel or in NVIDIA's image, and lay its files out as the server wants them."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from tritonsmith_build.errors import SmithError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_IMAGE = Path("/opt/tritonserver")
_SYSTEM_LIBRARIES = ("/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib")


@dataclass(frozen=True)
class TritonInstall:
    """Where the parts of a Triton server lie."""

    binary: Path
    backends: Path
    caches: Path
    libraries: tuple[Path, ...] = ()
    """Folders that the server's loader needs besides the system's."""
    stub: Path | None = None
    """The Python backend's process for the running Python, where it does not lie beside the backend."""

    @classmethod
    def found(cls) -> TritonInstall:
        """Of NVIDIA's image around this process, else of the environment's wheel. Raises SmithError where there is neither."""
        installed = cls._of_image() or cls._of_wheel()
        if installed is None:
            raise SmithError("the Triton server is not installed", where="serve", fix="run: pip install 'tritonsmith[server]'")
        return installed

    @classmethod
    def _of_image(cls) -> TritonInstall | None:
        if not (_IMAGE / "bin" / "tritonserver").is_file():
            return None
        return cls(binary=_IMAGE / "bin" / "tritonserver", backends=_IMAGE / "backends", caches=_IMAGE / "caches")

    @classmethod
    def _of_wheel(cls) -> TritonInstall | None:
        found = importlib.util.find_spec("pytriton")
        if found is None or not found.submodule_search_locations:
            return None
        package = Path(next(iter(found.submodule_search_locations)))
        root = package / "tritonserver"
        stub = root / "python_backend_stubs" / PYTHON / "triton_python_backend_stub"
        if not stub.is_file():
            raise SmithError(
                f"the wheel's Triton has no Python backend for Python {PYTHON}", where=root, fix="use Python 3.11 or 3.12"
            )
        return cls(
            binary=root / "bin" / "tritonserver",
            backends=root / "backends",
            caches=root / "caches",
            libraries=(package.parent / "nvidia_pytriton.libs", libpython_folder()),
            stub=stub,
        )

    @property
    def backend_names(self) -> frozenset[str]:
        """The backends that models can name."""
        return frozenset(folder.name for folder in self.backends.iterdir() if folder.is_dir())

    def lay_out(self, folder: Path, repository: Path) -> None:
        """Link repository and backends into ``folder``, whose path must hold no space.

        The wheel keeps a stub per Python version; the server wants the right one beside its backend. It also starts
        stubs through an unquoted command line, so neither path may hold a space: links from here do not.
        """
        (folder / "backends").mkdir()
        for name in self.backend_names:
            if name == "python" and self.stub:
                self._lay_out_python(folder / "backends" / name, self.stub)
            else:
                (folder / "backends" / name).symlink_to(self.backends / name)
        (folder / "repository").symlink_to(repository.absolute())
        (folder / "caches").symlink_to(self.caches)

    def _lay_out_python(self, folder: Path, stub: Path) -> None:
        folder.mkdir()
        for file in (*(self.backends / "python").iterdir(), stub):
            if file.is_file():
                (folder / file.name).symlink_to(file)


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
