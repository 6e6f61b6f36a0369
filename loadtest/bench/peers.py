"""What a user would pick instead: one folder each under ``loadtest/peers``, in an environment of its own."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from tritonsmith_build.errors import SmithError
from tritonsmith_build.server.ports import Ports
from tritonsmith_steps.cores import cores

from bench.places import ENVIRONMENTS, MODELS, PEERS
from bench.roads import Road
from bench.servers import Live, Start, answering, last_line, spawned
from bench.templates import answer, request

FILE, STAMP = "peer.toml", "requirements.sha256"


class Variant(BaseModel):
    """One way to run a peer."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = {}
    engine: str = ""
    """Where it is not the peer's."""


class Peer(BaseModel):
    """A ``peer.toml``; ``folder`` is where it lies."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    folder: Path
    title: str
    packages: tuple[str, ...]
    engine: str
    source: str
    note: str = ""
    path: str
    request: str
    answer: str
    width: int = 0
    request_single: str = ""
    answer_single: str = ""
    ready: str
    variants: tuple[Variant, ...]


def peers_in(folder: Path = PEERS) -> list[Peer]:
    """All of a folder, by name. Raises SmithError naming the file and the key that is wrong."""
    return [_read(file) for file in sorted(folder.glob(f"*/{FILE}"))]


def _read(file: Path) -> Peer:
    try:
        return Peer(folder=file.parent, **tomllib.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        raise SmithError(first["msg"], where=f"{file}: {'.'.join(map(str, first['loc']))}") from None
    except tomllib.TOMLDecodeError as error:
        raise SmithError(f"is not TOML ({error})", where=file) from None


def precision_of(peer: Peer, variant: Variant) -> str:
    """The type that a variant computes in, by what it is called, else by its engine."""
    for words in (variant.name, variant.engine, peer.engine):
        if found := re.search(r"fp32|bf16|fp16|int8", words.lower()):
            return found.group()
    return "fp32"


@dataclass(frozen=True)
class Environment:
    """A peer's virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def versions(self, packages: Sequence[str]) -> dict[str, str]:
        """What is installed of ``packages``."""
        code = (
            "import json, sys; from importlib.metadata import version; print(json.dumps({p: version(p) for p in sys.argv[1:]}))"
        )
        done = subprocess.run([self.python, "-c", code, *packages], capture_output=True, text=True, check=False)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}


def installed(peer: Peer, folder: Path = ENVIRONMENTS) -> Environment:
    """The peer's environment, made anew where its requirements have changed. Raises SmithError with pip's last line."""
    requirements = peer.folder / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    place, log = folder / peer.folder.name, folder / f"{peer.folder.name}.log"
    stamp = place / STAMP
    if not stamp.exists() or stamp.read_text() != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as out:
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(place)],
                [str(place / "bin" / "python"), "-m", "pip", "install", "--requirement", str(requirements)],
            ):
                if subprocess.run(command, stdout=out, stderr=subprocess.STDOUT, check=False).returncode:
                    raise SmithError(f"does not install: {last_line(log)}", where=peer.folder.name)
        stamp.write_text(wanted)
    return Environment(place)


def starter(peer: Peer, variant: Variant, environment: Environment, models: Path = MODELS) -> Start:
    """Starts a variant on a free port, with the peer's folder as its working directory."""

    @contextlib.contextmanager
    def start(log: Path) -> Iterator[Live]:
        port = Ports.free("127.0.0.1", http=0, grpc=0, metrics=0).http
        values = {
            **{"python": environment.python, "bin": environment.python.parent, "model": models},
            **{"port": port, "cores": cores()},
        }
        command = [filled(word, values) for word in variant.command]
        surroundings = {name: filled(value, values) for name, value in variant.environment.items()}
        with spawned(command, log, group=True, cwd=peer.folder, environment=surroundings) as (process, mark, begun):
            host = f"127.0.0.1:{port}"
            answering(process, log, host, peer.ready)
            decode = answer(peer.answer, peer.answer_single, width=peer.width)
            road = Road("http", host, peer.path, request(peer.request, peer.request_single), decode)
            yield Live(process, mark, begun, {"http": road})

    return start


def filled(word: str, values: Mapping[str, object]) -> str:
    """``{name}`` of each known name replaced, every other brace left alone.

    >>> filled('--x={port} {"a": 1}', {"port": 80})
    '--x=80 {"a": 1}'
    """
    return re.sub(r"\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), word)


def make_models(folder: Path = MODELS) -> Path:
    """The models that the peers serve, made once, in a process of its own."""
    done_mark = folder / "complete"
    if not done_mark.exists():
        folder.mkdir(parents=True, exist_ok=True)
        code = "import sys; from pathlib import Path; from bench.models import make_models; make_models(Path(sys.argv[1]))"
        done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SmithError(f"the peers' models cannot be made: {done.stderr.strip()[-300:]}", where=folder)
        done_mark.touch()
    return folder
