"""Load over HTTP by ``h2load``, a small C program: it takes next to nothing of the cores that it shares with the server."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tritonsmith_build.errors import SmithError

PROCESSES = 8
"""Each sends the same texts again and again."""
_TICKS = 200
"""At most so often a second a process sends, in an open loop."""


@dataclass(frozen=True)
class Sent:
    """One request and what became of it, in Unix time."""

    at: float
    status: int
    """HTTP's; -1 where there was no reply."""
    seconds: float

    @property
    def ended(self) -> float:
        """When the answer was there."""
        return self.at + self.seconds


def found() -> str:
    """Where h2load is. Raises SmithError where it is not."""
    if (path := shutil.which("h2load")) is None:
        raise SmithError("h2load is not installed", fix="run: apt-get install nghttp2-client")
    return path


def closed_loop(url: str, texts: Sequence[Sequence[str]], folder: Path, *, callers: int, seconds: float) -> list[Sent]:
    """So many callers, each of which asks again when it is answered; ``texts`` are the requests, as many as ``PROCESSES``."""
    each = max(1, callers // len(texts))
    return _run(url, texts, folder, [f"--clients={each}", f"--duration={math.ceil(seconds)}"], seconds)


def open_loop(url: str, texts: Sequence[Sequence[str]], folder: Path, *, rate: float, seconds: float) -> list[Sent]:
    """So many requests a second, whatever became of those before: each has a connection of its own."""
    each = rate / len(texts)
    at_once = math.ceil(each / _TICKS)
    count = math.ceil(each * seconds)
    pace = [f"--rate={at_once}", f"--rate-period={round(1000 * at_once / each)}ms"]
    return _run(url, texts, folder, [f"--requests={count}", f"--clients={count}", *pace], seconds)


def _run(url: str, texts: Sequence[Sequence[str]], folder: Path, options: Sequence[str], seconds: float) -> list[Sent]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    commands = [[*_command(request, folder / f"{number}"), *options] for number, request in enumerate(texts)]
    running = [
        subprocess.Popen([*command, url], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for command in commands
    ]
    try:
        said = [process.communicate(timeout=2 * seconds + 60)[0] for process in running]
    finally:
        for process in running:
            process.kill()
    for process, text in zip(running, said, strict=True):
        if process.returncode:
            raise SmithError(f"h2load failed: {text.strip()[-300:]}", where=url)
    sent = sorted((sent for log in folder.glob("*.log") for sent in _read(log)), key=lambda sent: sent.at)
    if not sent:
        raise SmithError(f"nothing was sent; h2load said: {said[0].strip()[-300:]}", where=url)
    return sent


def _command(texts: Sequence[str], beside: Path) -> list[str]:
    body = {"inputs": [{"name": "TEXT", "shape": [len(texts), 1], "datatype": "BYTES", "data": [*texts]}]}
    file, log = beside.with_suffix(".json"), beside.with_suffix(".log")
    file.write_text(json.dumps(body), encoding="utf-8")
    return [found(), "--h1", "--threads=1", f"--data={file}", "--header=content-type: application/json", f"--log-file={log}"]


def _read(log: Path) -> Iterator[Sent]:
    for line in log.read_text(encoding="utf-8").splitlines():
        at, status, microseconds, *_ = line.split("\t")
        yield Sent(int(at) / 1e6, int(status), int(microseconds) / 1e6)
