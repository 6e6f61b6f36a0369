"""The commands: an example each, JSON for machines, and errors that are one line and no traceback."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from tiny_models import save_encoder, sentences
from tritonsmith_build.cli import app
from workbench import Workplace, python, snapshot, write_spec

COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback)
Cli = Callable[..., Any]


@pytest.fixture
def here(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    """Work in the folder of a finished build."""
    monkeypatch.chdir(place.root)
    monkeypatch.setenv("TRITONSMITH_CACHE", str(place.cache))
    return place


def plain(text: str) -> str:
    """Without frames and line breaks, which depend on the terminal."""
    return re.sub(r"[\s│╭╮╰╯─]+", " ", text)


# Help


def test_every_command_is_listed_with_what_it_does(cli: Cli) -> None:
    ran = cli("--help")
    assert ran.code == 0
    assert {"build", "demo", "doctor", "finetune", "infer", "render", "serve"} <= set(COMMANDS)
    assert all(re.search(rf"^\W*{name}\s+\S", ran.out, re.MULTILINE) for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_of_the_command(cli: Cli, command: str) -> None:
    ran = cli(command, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert f"Example: tritonsmith {command}" in plain(ran.out)


def test_the_installed_script_runs() -> None:
    script = Path(sys.executable).with_name("tritonsmith")
    if not script.is_file():
        pytest.skip("the package is not installed here")
    ended = subprocess.run([script, "--help"], capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "200"})
    assert (ended.returncode, ended.stderr) == (0, "")


# Errors


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["build", "mood"], "pipelines/mood.toml: no such spec; give a name under pipelines/ or the path of a TOML file"),
        (["build", "mood.toml"], "mood.toml: no such spec; there are moods"),
        (["render"], "pipelines: holds no spec; go to the project's folder, or give the path of a TOML file"),
        (
            ["build", "moods.toml", "--precision", "bf16", "--target", "onnxruntime"],
            "{here}/moods.toml: engine.precision: bf16 does not run on the onnxruntime target; "
            "use one of fp32, fp16, int8, for example with --precision",
        ),
        (
            ["finetune", "moods.toml", "--train", "gate.txt", "--dev", "gate.txt"],
            "{here}/moods.toml: names no classes to learn; "
            "give it task = 'text-classification' and [output] labels = […], in the order of their numbers",
        ),
    ],
    ids=["name", "path", "no-specs", "bf16", "finetune"],
)
def test_an_error_is_one_line_and_exit_code_1(here: Workplace, cli: Cli, args: list[str], said: str) -> None:
    before = here.published()
    ran = cli(*args)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"error {said.format(here=here.root)}\n"
    assert here.published() == before


def test_what_is_wrong_in_many_places_is_a_line_each(here: Workplace, cli: Cli) -> None:
    here.spec_file.write_text('task = "text-classification"\nfoo = 1\n[source]\npth = "model"\n')
    ran = cli("build", "moods.toml")
    assert (ran.code, len(ran.err.splitlines())) == (1, 2)
    assert "moods.toml: source.pth: unknown key; did you mean source.path?" in ran.err


def test_brackets_in_an_error_are_shown_as_they_are(here: Workplace, cli: Cli) -> None:
    here.spec_file.write_text('task = "[red]x[/red]"\n[source]\npath = "model"\n')
    assert "unknown task '[red]x[/red]'" in cli("build", "moods.toml").err


def test_an_error_in_another_process_has_no_traceback(here: Workplace) -> None:
    shutil.rmtree(here.root / "model")
    ended = python("from tritonsmith_build.cli import main\nmain()", "build", "moods.toml", cwd=here.root)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"error {here.root}/moods.toml: source: no such folder: {here.root}/model; "
        "correct it; a path is taken from the spec's folder\n"
    )


@pytest.mark.parametrize(
    "args",
    [["build"], ["build", "moods.toml", "--precison", "int8"], ["biuld"]],
    ids=["nothing", "unknown-option", "unknown-command"],
)
def test_a_mistyped_command_is_refused(here: Workplace, cli: Cli, args: list[str]) -> None:
    ran = cli(*args)
    assert ran.code == 2
    assert "Traceback" not in ran.out + ran.err


def test_ctrl_c_ends_a_command_without_a_traceback(here: Workplace, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tritonsmith_build.build.locate", stop)
    ran = cli("build", "moods.toml", "--repository", "repository")
    assert (ran.code, ran.err.strip()) == (130, "stopped; what stood before is untouched")


# build


def test_a_build_prints_a_line_a_stage(here: Workplace, cli: Cli) -> None:
    ran = cli("build", "moods.toml", "--repository", "repository")
    assert (ran.code, ran.err) == (0, "")
    lines = [line.split() for line in ran.out.splitlines()]
    stages = ("load", "read", "export", "verify", "int8", "gate", "engines", "canary", "reference", "render")
    assert [line[:2] for line in lines] == [["moods", stage] for stage in stages]
    assert [line[2] for line in lines[1:-1]] == ["cached"] * 8
    assert "unchanged in repository" in ran.out


def test_a_build_in_json_is_for_machines_alone(here: Workplace, cli: Cli) -> None:
    here.engine.unlink()
    ran = cli("build", "moods.toml", "--repository", "repository", "--json")
    assert ran.code == 0
    (built,) = json.loads(ran.out)
    manifest = json.loads((here.engine.parent / "manifest.json").read_text())
    assert built == {**manifest, "written": [*manifest["targets"]["cpu"]["files"], "moods_engine/1/manifest.json"]}
    assert "render" in ran.err


def test_two_pipelines_are_built_at_once(here: Workplace, cli: Cli) -> None:
    before = here.published()
    write_spec(here.root, "tones", input={"buckets": [16, 32]}, gate={"data": "gate.txt"})
    ran = cli("build", "moods.toml", "tones.toml", "--repository", "repository", "--precision", "fp32", "--json")
    assert ran.code == 0
    assert [built["pipeline"] for built in json.loads(ran.out)] == ["moods", "tones"]
    after = here.published()
    assert {path.replace("moods", "tones", 1) for path in before} - {"tones.lock.toml"} <= after.keys()
    assert after["moods_engine/1/model.cpu.onnx"][0] == after["tones_engine/1/model.cpu.onnx"][0]
    assert (here.root / "tones.lock.toml").is_file()


def test_one_pipeline_that_fails_leaves_the_other_alone(here: Workplace, cli: Cli) -> None:
    write_spec(here.root, "tones", source={"path": "nowhere"})
    before = here.published()
    ran = cli("build", "moods.toml", "tones.toml", "--repository", "repository")
    assert ran.code == 1
    assert "tones.toml: source: no such folder" in ran.err
    assert here.published() == before


# render


def test_render_check_is_content_with_what_a_build_has_written(here: Workplace, cli: Cli) -> None:
    before = here.published()
    ran = cli("render", "moods.toml", "--check", "--repository", "repository")
    assert (ran.code, ran.out, ran.err) == (0, "16 files are as rendered\n", "")
    assert here.published() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda place: (place.repository / "moods" / "config.pbtxt").write_text("edited by hand"),
        lambda place: (place.repository / "moods" / "config.pbtxt").unlink(),
    ],
    ids=["edited", "lost"],
)
def test_render_check_fails_where_text_is_stale_and_render_mends_it(
    here: Workplace, cli: Cli, spoil: Callable[[Workplace], None]
) -> None:
    whole = {path: text for path, (text, _) in here.published().items()}
    spoil(here)
    spoilt = here.published()
    ran = cli("render", "moods.toml", "--check", "--repository", "repository")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "error repository: stale: moods/config.pbtxt; run: tritonsmith render\n"
    assert here.published() == spoilt
    ran = cli("render", "moods.toml", "--repository", "repository")
    assert (ran.code, ran.out) == (0, "16 files in repository, 1 written\n")
    assert {path: text for path, (text, _) in here.published().items()} == whole


def test_a_changed_spec_makes_the_text_stale(here: Workplace, cli: Cli) -> None:
    here.respecify(serving={"cache": False})
    assert "stale: moods/config.pbtxt; " in cli("render", "moods.toml", "--check", "--repository", "repository").err


def test_render_needs_a_lock_and_says_how_to_get_one(here: Workplace, cli: Cli) -> None:
    (here.root / "moods.lock.toml").unlink()
    ran = cli("render", "moods.toml", "--repository", "repository")
    assert ran.code == 1
    assert ran.err.endswith(f"run: tritonsmith build {here.root}/moods.toml\n")


def test_every_spec_of_the_folder_is_rendered_where_none_is_named(here: Workplace, cli: Cli) -> None:
    (here.root / "pipelines").mkdir()
    for file in ("moods.toml", "moods.lock.toml"):
        shutil.move(here.root / file, here.root / "pipelines" / file)
    assert cli("render", "--check", "--repository", "repository").code == 0


# finetune


@pytest.fixture
def to_learn(here: Workplace) -> Workplace:
    """A spec that names an adapter, and its data in a folder elsewhere."""
    shutil.rmtree(here.root / "model")
    save_encoder(here.root / "model")
    source = {"path": "model", "adapter": "adapter"}
    write_spec(here.root, source=source, output={"labels": ["BAD", "GOOD"]}, input={"max_length": 16})
    rows = [f"{text}\t{('BAD', 'GOOD')[number % 2]}" for number, text in enumerate(sentences(24))]
    (here.root / "data").mkdir()
    (here.root / "data" / "train.tsv").write_text("\n".join(["text\tlabel", *rows[:16]]))
    (here.root / "data" / "dev.tsv").write_text("\n".join(["text\tlabel", *rows[16:]]))
    return here


def test_finetune_writes_the_adapter_with_its_command_and_prints_json(to_learn: Workplace, cli: Cli) -> None:
    data = to_learn.root / "data"
    options = ["--epochs", 1, "--rank", 2, "--about", "Made up.", "--json"]
    ran = cli("finetune", "moods.toml", "--train", data / "train.tsv", "--dev", data / "dev.tsv", *options)
    assert ran.code == 0
    assert json.loads(ran.out)["accuracy"]["dev"]["examples"] == 8
    card = (to_learn.root / "adapter" / "README.md").read_text()
    assert "`tritonsmith finetune moods.toml --train train.tsv --dev dev.tsv --epochs 1 --rank 2 " in card
    assert str(data) not in card
    assert json.loads((to_learn.root / "adapter" / "adapter_config.json").read_text())["r"] == 2


def test_finetune_can_write_elsewhere_and_prints_its_accuracies(to_learn: Workplace, cli: Cli) -> None:
    before = snapshot(to_learn.root)
    data = to_learn.root / "data"
    ran = cli(
        "finetune", "moods.toml", "--train", data / "train.tsv", "--dev", data / "dev.tsv", "--output", "new", "--epochs", 1
    )
    assert ran.code == 0
    assert re.search(r"^accuracy on dev     [01]\.\d{4} of 8 texts$", ran.out, re.MULTILINE)
    assert {path for path in snapshot(to_learn.root) if path not in before} == {
        f"new/{name}" for name in ("README.md", "adapter_config.json", "adapter_model.safetensors", "finetune.json")
    }


def test_doctor_finds_everything_that_the_tests_need(cli: Cli) -> None:
    ran = cli("doctor", "--json")
    assert ran.err == ""
    found = {row["what"]: row for row in json.loads(ran.out)}
    for extra in ("steps", "build", "server", "samples", "openvino", "loadtest"):
        assert found[f"[{extra}]"]["state"] == "ok"
    for named in ("pillow", "nvidia-modelopt", "onnxruntime", "prometheus_client"):
        assert f"{named} {metadata.version(named)}" in f"{found['[build]']['found']}, {found['[steps]']['found']}"
