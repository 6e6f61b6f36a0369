"""Who is measured in which cells: ours at every precision, every variant of every peer, and the limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith_build.errors import SmithError

from bench import cells, peers
from bench.cells import Cell, Workload
from bench.repositories import Precision, Steps
from bench.results import Server
from bench.servers import Start, tritonsmith

Say = Callable[[str], None]
CACHED = "tritonsmith int8 cached"
_LIMIT_SECONDS, _BATCHES, _VISIT_SECONDS, _CELL_SECONDS = 1.0, 5, 15.0, 0.4


@dataclass(frozen=True)
class Contender:
    """A server and its cells, by the road they are asked on."""

    server: Server
    start: Start
    roads: Mapping[str, tuple[Cell, ...]]

    @property
    def name(self) -> str:
        """The server's."""
        return self.server.name

    def estimate(self, seconds: float) -> float:
        """Seconds that one visit takes, about."""
        return _VISIT_SECONDS + sum(len(of_road) for of_road in self.roads.values()) * (seconds + _CELL_SECONDS)


@dataclass(frozen=True)
class InProcess:
    """The limit at one precision."""

    precision: Precision
    repository: Path
    workloads: Sequence[Workload]
    seconds: float = _LIMIT_SECONDS

    @property
    def name(self) -> str:
        """As servers are named."""
        return f"in process {self.precision}"

    def estimate(self, seconds: float) -> float:
        """Seconds that one visit takes, about."""
        return 4 + len(self.workloads) * _BATCHES * self.seconds


Entry = Contender | InProcess


def name_of(precision: Precision) -> str:
    """Ours at a precision."""
    return f"tritonsmith {precision}"


def ours(precision: Precision, repository: Path, roads: Mapping[str, tuple[Cell, ...]], *, cache: bool = False) -> Contender:
    """This project's server."""
    name = CACHED if cache else name_of(precision)
    server = Server(
        name=name,
        title=f"tritonsmith {precision.upper()}{', cached' if cache else ''}",
        family="ours",
        precision=precision,
        engine=Steps.of(repository).runs_on,
    )
    return Contender(server, tritonsmith(repository, cache=cache), roads)


def all_of_ours(repositories: Mapping[Precision, Path]) -> list[Entry]:
    """Each precision over both protocols, the cache's stream, and the limits."""
    entries: list[Entry] = []
    for precision, repository in repositories.items():
        zipf = cells.ZIPF if precision == "int8" else ()
        roads = {"http": (*cells.ALL, *zipf), "http json": cells.FEW, "grpc": cells.ALL}
        entries += [ours(precision, repository, roads), InProcess(precision, repository, cells.WORKLOADS)]
    if "int8" in repositories:
        entries.append(ours("int8", repositories["int8"], {"http": cells.ZIPF}, cache=True))
    return entries


def quick(repositories: Mapping[Precision, Path]) -> list[Entry]:
    """What ``make bench-quick`` looks at."""
    entries: list[Entry] = []
    for precision, repository in repositories.items():
        entries.append(ours(precision, repository, {"http": cells.QUICK, "grpc": cells.QUICK}))
        entries.append(InProcess(precision, repository, ("short",), 0.8))
    return entries


def all_peers(only: Sequence[str], say: Say) -> tuple[list[Entry], list[Server]]:
    """The variants that can be measured, and those whose environment cannot be made, with why."""
    entries: list[Entry] = []
    failed: list[Server] = []
    for peer in peers.peers_in():
        variants = [variant for variant in peer.variants if wanted(f"{peer.folder.name} {variant.name}", only)]
        if not variants:
            continue
        say(f"environment of {peer.title}")
        environment, problem = None, ""
        try:
            environment = peers.installed(peer)
            peers.make_models()
        except SmithError as error:
            problem = str(error)
        for variant in variants:
            server = Server(
                name=f"{peer.folder.name} {variant.name}",
                title=f"{peer.title}, {variant.name}",
                family="peer",
                precision=peers.precision_of(peer, variant),
                engine=variant.engine or peer.engine,
                folder=peer.folder.name,
                source=peer.source,
                note=peer.note,
                versions=environment.versions(peer.packages) if environment else {},
                problem=problem,
            )
            if environment is None or problem:
                failed.append(server)
            else:
                entries.append(Contender(server, peers.starter(peer, variant, environment), {"http": cells.ALL}))
    return entries, failed


def wanted(name: str, only: Sequence[str]) -> bool:
    """Whether ``--only`` lets a name through; every name where it says nothing."""
    return not only or any(part.lower() in name.lower() for part in only)
