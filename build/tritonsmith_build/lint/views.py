"""One repository under every name of ``--model-config-name``: what is wrong in all, and what in some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from tritonsmith_build.lint.contents import DEFAULT, Repository, View
from tritonsmith_build.lint.finding import Finding


def found_in_views(repository: Repository, checks: Sequence[Callable[[View], Iterator[Finding]]]) -> Iterator[Finding]:
    """What the checks find, each once; one that only some of the views with its file have says which."""
    views = repository.views()
    having: dict[Finding, list[str]] = {}
    for view in views:
        for finding in dict.fromkeys(finding for check in checks for finding in check(view)):
            having.setdefault(finding, []).append(view.name)
    for finding, names in having.items():
        using = [view.name for view in views if finding.file in {file.path for file in view.configs.values()}]
        yield finding if names == using else replace(finding, message=f"{finding.message} ({_chosen(names)})")


def _chosen(names: Iterable[str]) -> str:
    return " and ".join(
        f"with --model-config-name={name}" if name != DEFAULT else "without --model-config-name" for name in names
    )
