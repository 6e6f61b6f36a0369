"""Each fault, put into a repository that is all right, is the one thing the linter finds."""

from __future__ import annotations

from pathlib import Path

import pytest
from lintfaults import Fault
from lintfaults_ensemble import ENSEMBLES
from lintfaults_model import FILES, GRAPHS, IDENTITY, TENSORS, TEXT
from lintfaults_serving import ALTERNATIVES, BATCHES, CACHES, INSTANCES, WARMUPS
from lintplace import linted, summary
from tritonsmith_build.lint import RULES, exit_code

FAULTS = [*TEXT, *IDENTITY, *FILES, *TENSORS, *GRAPHS, *BATCHES, *INSTANCES, *WARMUPS, *CACHES, *ALTERNATIVES, *ENSEMBLES]


def _name(fault: Fault) -> str:
    return f"{fault.rule}-{fault.file}-{fault.field}"


@pytest.mark.parametrize("fault", FAULTS, ids=_name)
def test_a_fault_is_found_where_it_is_and_nothing_else(repository: Path, fault: Fault) -> None:
    findings = linted(repository, fault.change)
    assert summary(findings) == [(fault.level, fault.rule, fault.file, fault.field)]
    (found,) = findings
    assert fault.message in found.message
    assert fault.fix in found.fix
    assert exit_code(findings) == (fault.level == "error")


def test_every_rule_has_a_fault() -> None:
    assert {fault.rule for fault in FAULTS} == RULES.keys()
