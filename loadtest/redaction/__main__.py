"""``PYTHONPATH=loadtest python -m redaction SENTENCES.jsonl --document docs/redaction.md``."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from tritonsmith_build.measuring import processor
from tritonsmith_steps.personal import KINDS, REGIONS, personal

Span = tuple[int, int]
MARKS = "<!-- figures: make redaction -->", "<!-- end of figures -->"


@dataclass(frozen=True)
class Sentence:
    """A text, the spans of people's data in it with their kinds, and what a finder found."""

    text: str
    spans: Sequence[tuple[int, int, str]]
    found: Sequence[Span]
    seconds: float

    def covers(self, start: int, end: int) -> bool:
        """Whether what was found covers every letter and digit between."""
        left = {at for at in range(start, end) if self.text[at].isalnum()}
        return not left - {at for first, last in self.found for at in range(first, last)}


@dataclass(frozen=True)
class Figures:
    """Of one finder."""

    recall: Mapping[str, float]
    """By kind: the share of what is there that was found whole."""
    precision: float
    """The share of what was found that touches data of a person, of whatever kind."""
    microseconds: float
    """In the median, for a text."""


def figures(sentences: Sequence[Sentence]) -> Figures:
    """What a finder is worth."""
    there = {kind: [(one, span) for one in sentences for span in one.spans if span[2] == kind] for kind in KINDS}
    found = [(one, span) for one in sentences for span in one.found]
    right = [any(start < last and first < end for first, last, _ in one.spans) for one, (start, end) in found]
    return Figures(
        {kind: sum(one.covers(*span[:2]) for one, span in spans) / len(spans) for kind, spans in there.items()},
        sum(right) / len(right),
        1e6 * median(one.seconds for one in sentences),
    )


def looked_through(lines: Sequence[Mapping[str, Any]], regions: Sequence[str]) -> list[Sentence]:
    """What the redacting step finds in each."""
    sentences = []
    for line in lines:
        begin = time.perf_counter()
        found = personal(line["text"], list(KINDS), regions)
        taken = time.perf_counter() - begin
        sentences.append(Sentence(line["text"], line["spans"], [(start, end) for start, end, _ in found], taken))
    return sentences


def main(
    file: Annotated[Path, typer.Argument(help="the sentences")],
    document: Annotated[Path | None, typer.Option(help="the page to write the figures into")] = None,
) -> None:
    """Print the figures of each finder, or write them into a page."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    finders: dict[str, Callable[[], list[Sentence]]] = {
        'the step, `regions = ["US"]`': lambda: looked_through(lines, ["US"]),
        "the step, all regions": lambda: looked_through(lines, REGIONS),
        "Presidio's patterns": lambda: [
            Sentence(line["text"], line["spans"], line["presidio"], line["seconds"]) for line in lines
        ],
    }
    table = written({name: figures(find()) for name, find in finders.items()}, lines)
    if document is None:
        typer.echo(table)
        return
    before, _, rest = document.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    document.write_text(f"{before}{MARKS[0]}\n{table}{MARKS[1]}{after}", encoding="utf-8")


def written(of: Mapping[str, Figures], lines: Sequence[Mapping[str, Any]]) -> str:
    """The table in Markdown."""
    counts = {kind: sum(span[2] == kind for line in lines for span in line["spans"]) for kind in KINDS}
    libraries = ", ".join(f"{name} {metadata.version(name)}" for name in ("phonenumberslite", "python-stdnum"))
    rows = [
        f"{len(lines)} sentences of presidio-evaluator's generator. {processor()}; {libraries}.",
        "",
        f"| found by | {' | '.join(f'{kind} ({count})' for kind, count in counts.items())} | precision | a text |",
        f"|---|{'---|' * len(counts)}---|---|",
        *(
            f"| {name} | {' | '.join(f'{share:.3f}' for share in one.recall.values())} | {one.precision:.3f} "
            f"| {one.microseconds:.0f} µs |"
            for name, one in of.items()
        ),
    ]
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    typer.run(main)
