"""A linter for Triton model repositories, which needs neither GPU nor Triton."""

from tritonsmith_build.lint.finding import Finding, Level, as_dicts, exit_code
from tritonsmith_build.lint.linting import lint_repository
from tritonsmith_build.lint.rules import RULES

__all__ = ["RULES", "Finding", "Level", "as_dicts", "exit_code", "lint_repository"]
