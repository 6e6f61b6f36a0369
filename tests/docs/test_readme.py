"""The README's fences do what they say."""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from served import ROOT, Served
from tritonsmith import Client
from tritonsmith_build.cli import app
from tritonsmith_build.demo import SENTENCES
from tritonsmith_build.pipelines import specs_named
from tritonsmith_build.spec import spec_from_file, table_in
from tritonsmith_build.targets import TARGETS
from tritonsmith_build.tasks import JOINED, TASKS

README = (ROOT / "README.md").read_text(encoding="utf-8")
SPEC = (ROOT / "docs" / "spec.md").read_text(encoding="utf-8")


def fences(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("fence", fences("toml"), ids=["folder", "hub"])
def test_a_toml_fence_is_a_spec(fence: str, tmp_path: Path) -> None:
    file = tmp_path / "reviews.toml"
    file.write_text(fence)
    assert spec_from_file(file).task == "text-classification"
    assert len(fence.strip().splitlines()) == 6


def test_the_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {line.split()[1] for fence in fences("sh") for line in fence.splitlines() if line.startswith("make ")} <= targets


def test_every_command_of_the_table_exists() -> None:
    commands = set(re.findall(r"^\| `tritonsmith ([\w-]+)", README, flags=re.MULTILINE))
    done = subprocess.run([sys.executable, "-m", "tritonsmith_build", "--help"], capture_output=True, text=True, check=True)
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert commands == known - {"demo"}  # which is what make run does
    assert all(command in done.stdout for command in commands)


def test_the_run_shown_asks_what_the_demo_asks() -> None:
    shown = fences("text")[0]
    for sentence in SENTENCES:
        assert len(re.findall(rf"^{re.escape(sentence)} +(POSITIVE|NEGATIVE) +0\.\d{{4}} +\d+\.\d$", shown, re.MULTILINE)) == 2


def test_the_answers_shown_are_the_servers(int8: Served) -> None:
    shown = dict(re.findall(r"^(.*?) +((?:POSITIVE|NEGATIVE) +0\.\d{4}) +\d+\.\d$", fences("text")[0], flags=re.MULTILINE))
    with Client(int8.grpc) as client:
        answers = client.pipeline("sentiment")(list(SENTENCES))
    for sentence, answer in zip(SENTENCES, answers, strict=True):
        label, score = shown[sentence].split()
        assert label == answer["label"]
        # Another processor rounds otherwise, and INT8 carries that on.
        assert float(score) == pytest.approx(answer["score"], abs=0.05)


def test_the_python_fences_print_what_is_shown(int8: Served) -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for fence in fences("python"):
            exec(fence.replace("grpc://localhost:8001", int8.grpc), {})
    classes, shape, retried = printed.getvalue().splitlines()
    shown = fences("text")[1].splitlines()
    assert retried == fences("text")[2].strip()
    assert shape == shown[1]
    assert re.findall(r"'(\w+)'", classes) == re.findall(r"'(\w+)'", shown[0])


def test_the_curl_fence_is_answered(int8: Served) -> None:
    (fence,) = [fence for fence in fences("sh") if fence.startswith("curl")]
    done = subprocess.run(
        shlex.split(fence.replace("localhost:8000", int8.http.removeprefix("http://"))),
        capture_output=True,
        text=True,
        check=True,
    )
    outputs = {output["name"]: output["data"] for output in json.loads(done.stdout)["outputs"]}
    assert outputs["LABEL"] == ["POSITIVE", "NEGATIVE"]


def keys(table: Any) -> set[str]:
    """Every key of a table of a spec, with the names of the tables it is in."""
    found = set()
    for key, field in table.model_fields.items():
        inner = table_in(field.annotation)
        found |= {f"{key}.{below}" for below in keys(inner)} if inner else {key}
    return found


def test_the_reference_names_every_key_and_no_other() -> None:
    written = set(
        re.findall(r"`([a-z_]+(?:\.[a-z0-9_]+)*)`", "\n".join(re.findall(r"^\| (`.*?) \|", SPEC, flags=re.MULTILINE)))
    )
    known = set().union(*(keys(task.spec) for task in (TASKS | JOINED).values())) - {"name", "folder", "part_of"}
    assert {key.partition(" ")[0] for key in written} - {"key"} == known


def test_the_page_on_precision_has_every_build_and_what_int8_must_keep() -> None:
    page = (ROOT / "docs" / "precision.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines() if line.startswith("| ")][1:]
    # A graph that is given is another matter: INT8 takes products by a matrix, which imagenet's convolutions are not.
    pipelines = [spec.name for spec in specs_named([], ROOT / "pipelines") if not spec.source.onnx]
    wanted = {(name, target, p) for name in pipelines for target, row in TARGETS.items() if not row.plan for p in row.routes}
    assert {(name, target, precision) for name, target, precision, *_ in rows} == wanted
    assert "Generated by `tritonsmith precision " in page
    for _, _, precision, near, _, not_finite, products, *_ in rows:
        assert float(near) >= 0.98
        assert not_finite == "0"
        assert int(products.removesuffix("%")) >= (60 if precision == "int8" else 0)
