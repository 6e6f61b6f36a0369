"""What is not installed is named with the command that installs it."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import tritonsmith_build
from tritonsmith_build.extras import EXTRAS, extra_of, install_command, missing
from workbench import Workplace, python

PYPROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
BASE = {"pydantic"}  # brought by typer
BUILD_ALONE = sorted({*EXTRAS["build"], *EXTRAS["steps"]} - BASE)
MAIN = "from tritonsmith_build.cli import main\nmain()\n"


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def required(extra: str) -> set[str]:
    """The distributions that pyproject.toml names for an extra."""
    return {normal(re.split(r"[\[<>=~ ]", requirement)[0]) for requirement in PYPROJECT["optional-dependencies"][extra]}


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("torch", "build"),
        ("torch.nn", "build"),
        ("tokenizers", "steps"),
        ("pytriton", "server"),
        ("tensorrt", "gpu"),
        ("numpy", None),
    ],
)
def test_a_module_is_traced_to_the_extra_that_brings_it(module: str, extra: str | None) -> None:
    assert extra_of(module) == extra


def test_the_command_is_one_that_a_shell_takes_as_it_is() -> None:
    assert install_command("build") == "pip install 'tritonsmith[build]'"


@pytest.mark.parametrize("extra", EXTRAS)
def test_every_module_of_an_extra_comes_with_what_pyproject_names_for_it(extra: str) -> None:
    distributions = metadata.packages_distributions()
    for module in EXTRAS[extra]:
        names = {normal(name) for name in distributions.get(module, [module])}  # not installed: of the same name
        assert names & required(extra), f"{module} of [{extra}]"


def test_everything_the_build_imports_comes_with_the_base_install_or_an_extra() -> None:
    base = {"numpy", "rich", "typer", "tritonclient", "tritonsmith", "tritonsmith_steps", "tritonsmith_build"}
    brought = {"google", "huggingface_hub"}  # by tritonclient (protobuf) and transformers, never missing alone
    unknown = {}
    for file in Path(tritonsmith_build.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in {name.partition(".")[0] for name in names} - base - brought - sys.stdlib_module_names:
                if extra_of(name) is None:
                    unknown[name] = file.name
    assert unknown == {}


def test_missing_modules_are_found_without_importing_any() -> None:
    code = "from tritonsmith_build.extras import missing\nprint(missing('build'), 'onnx' in sys.modules)"
    ended = python(code, hidden=["torch", "tomli_w"])
    assert ended.stdout == "['torch', 'tomli_w'] False\n"


def test_nothing_is_missing_where_everything_is_installed() -> None:
    assert missing("build") == missing("steps") == []


# The command line says so


@pytest.mark.parametrize(
    ("args", "hidden", "module", "extra"),
    [
        (["build", "moods.toml", "--precision", "fp32"], ["pydantic"], "pydantic", "build"),
        (["build", "moods.toml", "--precision", "fp32"], ["tokenizers"], "tokenizers", "build"),
        (["build", "moods.toml", "--precision", "fp32"], ["safetensors"], "safetensors", "build"),
        (["render", "moods.toml"], ["tomli_w"], "tomli_w", "build"),
        (["render", "moods.toml"], ["tokenizers"], "tokenizers", "steps"),
        (["finetune", "moods.toml", "--train", "gate.txt", "--dev", "gate.txt"], ["peft"], "peft", "build"),
        (["finetune", "moods.toml", "--train", "gate.txt", "--dev", "gate.txt"], ["torch"], "torch", "build"),
        pytest.param(
            *(["build", "moods.toml"], BUILD_ALONE, ".*", "build"),
        ),
        pytest.param(*(["render", "moods.toml"], BUILD_ALONE, ".*", "build"), id="render-base-install-alone"),
    ],
    ids=lambda part: " ".join(part[:1]) if isinstance(part, list) and part[0] in ("build", "render", "finetune") else None,
)
def test_a_missing_extra_is_one_line_with_the_command_that_adds_it(
    place: Workplace, args: list[str], hidden: list[str], module: str, extra: str
) -> None:
    ended = python(MAIN, *args, hidden=hidden, cwd=place.root)
    assert ended.returncode == 1
    assert re.fullmatch(rf"error {module} is not installed; run: pip install 'tritonsmith\[{extra}\]'\n", ended.stderr)


def test_a_stage_that_is_not_cached_needs_torch_and_says_so(place: Workplace) -> None:
    code = 'import os\nos.environ["TRITONSMITH_CACHE"] = "elsewhere"\n' + MAIN
    ended = python(code, "build", "moods.toml", "--repository", "elsewhere", hidden=["torch"], cwd=place.root)
    assert (ended.returncode, ended.stderr) == (1, "error torch is not installed; run: pip install 'tritonsmith[build]'\n")


def test_help_needs_nothing_but_the_base_install() -> None:
    hidden = sorted({module for modules in EXTRAS.values() for module in modules} - BASE)
    code = """
from tritonsmith_build.cli import app, main
import json
names = sorted(command.name or command.callback.__name__ for command in app.registered_commands)
for name in names:
    sys.argv = ["tritonsmith", name, "--help"]
    try:
        main()
    except SystemExit as ended:
        assert ended.code == 0, name
print(json.dumps([names, sorted(set(sys.modules) & set(EVERYTHING))]))
"""
    ended = python(code.replace("EVERYTHING", repr(hidden)), hidden=hidden)
    assert ended.returncode == 0, ended.stderr
    names, imported = json.loads(ended.stdout.splitlines()[-1])
    assert {"build", "render", "serve", "demo", "infer", "finetune", "doctor"} <= set(names)
    assert imported == []
    assert ended.stdout.count("Example:") == len(names)
