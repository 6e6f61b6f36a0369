"""Many clients at once: every answer is the right one, and memory stays where it was."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import psutil
import pytest
from served import Served
from tritonsmith import Client

CLIENTS = 64
WORDS = ("a", "film", "that", "never", "lets", "its", "audience", "rest", "and", "then", "quietly", "breaks", "their", "hearts")


@dataclass
class Tally:
    """What the clients saw."""

    answered: int = 0
    problems: list[str] = field(default_factory=list)


def memory(served: Served) -> float:
    """Proportional memory of Triton and its steps in MiB: shared pages are counted once."""
    processes = psutil.Process(served.process.pid).children(recursive=True)
    return sum(process.memory_full_info().pss for process in processes) / 2**20


def run(served: Served, seconds: float) -> tuple[Tally, list[float]]:
    """Ask from ``CLIENTS`` connections for ``seconds``; memory is read at a third of the time and at the end."""
    choose = random.Random(0)
    texts = [" ".join(choose.choices(WORDS, k=choose.randint(1, 40))) for _ in range(200)]
    with Client(served.grpc) as client:
        wanted = {
            "sentiment": [answer["score"] for answer in client.pipeline("sentiment")(texts)],
            "embeddings": client.pipeline("embeddings")(texts),
        }
    tally, stop = Tally(), threading.Event()

    def ask(number: int) -> None:
        own = random.Random(number)
        name = ("sentiment", "embeddings")[number % 2]
        with Client(served.grpc if number % 4 < 2 else served.http) as client:
            pipe = client.pipeline(name)
            while not stop.is_set():
                chosen = [own.randrange(len(texts)) for _ in range(own.choice((1, 1, 1, 4)))]
                try:
                    answer = pipe([texts[index] for index in chosen])
                except Exception as error:
                    tally.problems.append(repr(error))
                    return
                actual = [a["score"] for a in answer] if name == "sentiment" else answer
                if not np.allclose(actual, [wanted[name][index] for index in chosen], atol=1e-5):
                    tally.problems.append(f"{name}: a wrong answer for texts {chosen}")
                tally.answered += len(chosen)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    end, readings = time.monotonic() + seconds, []
    for share in (1 / 3, 1):
        stop.wait(max(0.0, end - seconds * (1 - share) - time.monotonic()))
        readings.append(memory(served))
    stop.set()
    for thread in threads:
        thread.join()
    return tally, readings


def test_64_clients_get_right_answers(fp32: Served) -> None:
    tally, _ = run(fp32, 5)
    assert tally.problems == []
    assert tally.answered > CLIENTS


@pytest.mark.full
def test_64_clients_for_30_seconds_leave_memory_flat(fp32: Served, record_property: Callable[[str, object], None]) -> None:
    tally, readings = run(fp32, 30)
    record_property("answered", tally.answered)
    record_property("MiB", readings)
    assert tally.problems == []
    assert readings[1] < readings[0] * 1.05
