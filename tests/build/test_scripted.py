"""A script that makes a model's folder: run once, again where it or what it needs has changed, and heard where it fails."""

from __future__ import annotations

import io
from importlib import metadata
from pathlib import Path

import pytest
from rich.console import Console
from tritonsmith_build.errors import SmithError
from tritonsmith_build.hashing import sha256
from tritonsmith_build.progress import Progress
from tritonsmith_build.scripted import folder_from_script, requirements_of
from tritonsmith_build.source import locate
from tritonsmith_build.stagecache import StageCache
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.work import Work
from workbench import write_spec

SCRIPT = """\
# /// script
# dependencies = ["numpy>=1", "onnx"]
# ///
import sys
from pathlib import Path
Path("runs.txt").open("a").write("run\\n")
(Path(sys.argv[1]) / "config.json").write_text("{}")
"""


def spec_with(folder: Path, script: str) -> PipelineSpec:
    (folder / "make.py").write_text(script)
    return write_spec(folder, source={"script": "make.py"})


def made_by(spec: PipelineSpec) -> Path:
    return folder_from_script(Work(spec, StageCache(spec.folder / "cache"), Progress(Console(file=io.StringIO()))))


def error_of(folder: Path, script: str) -> str:
    with pytest.raises(SmithError) as caught:
        made_by(spec_with(folder, script))
    return str(caught.value)


def test_a_script_fills_a_folder_once_and_again_when_it_changes(tmp_path: Path) -> None:
    folder = made_by(spec_with(tmp_path, SCRIPT))
    assert [file.name for file in folder.iterdir()] == ["config.json"]
    assert made_by(spec_with(tmp_path, SCRIPT)) == folder
    assert (tmp_path / "runs.txt").read_text() == "run\n"  # beside the spec: it ran there
    assert made_by(spec_with(tmp_path, SCRIPT + "# other\n")) != folder
    assert (tmp_path / "runs.txt").read_text() == "run\nrun\n"


def test_another_version_of_what_it_needs_makes_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_with(tmp_path, SCRIPT)
    folder, version = made_by(spec), metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "999.0" if name == "onnx" else version(name))
    assert made_by(spec) != folder


def test_the_script_pins_the_model(tmp_path: Path) -> None:
    spec = spec_with(tmp_path, SCRIPT)
    folder = made_by(spec)
    (folder / "model.safetensors").write_bytes((8).to_bytes(8, "little") + b"{}      ")
    source = locate(spec, folder)
    assert source.weights == {"make.py": sha256(tmp_path / "make.py")}
    assert set(source.files) == {"config.json", "model.safetensors"}


def test_what_a_script_needs_is_read_as_pep_723_says(tmp_path: Path) -> None:
    (tmp_path / "make.py").write_text(SCRIPT)
    assert [str(requirement) for requirement in requirements_of(tmp_path / "make.py")] == ["numpy>=1", "onnx"]
    (tmp_path / "make.py").write_text("print()\n")
    assert requirements_of(tmp_path / "make.py") == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys\nsys.exit('no weights here')\n", "make.py: failed: no weights here; run it to see more: python "),
        ("raise KeyError('x')\n", "make.py: failed: KeyError: 'x'; run it"),
        ("import sys\nsys.exit(3)\n", "make.py: failed: it ended with 3; run it"),
        ('# /// script\n# dependencies = ["no-such-one==1"]\n# ///\n',
         "no-such-one is not installed; run: pip install 'no-such-one==1'"),
        ('# /// script\n# dependencies = ["numpy>=99"]\n# ///\n', "it needs numpy>=99, "),
        ('# /// script\n# dependencies = ["numpy>=1"]\n',
         "its block of metadata cannot be read ('# ///' is not in list); write it"),
        ("# /// script\n# dependencies = [\n# ///\n", "its block of metadata cannot be read ("),
    ],
    ids=["message", "exception", "code", "missing", "old", "no end", "no toml"],
)  # fmt: skip
def test_what_goes_wrong_with_a_script_is_one_line(tmp_path: Path, script: str, said: str) -> None:
    message = error_of(tmp_path, script)
    assert message.startswith(f"{tmp_path}/make.py: ")
    assert said in message
    assert "\n" not in message


def test_a_script_that_is_not_there_is_named(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, source={"script": "make.py"})
    with pytest.raises(SmithError, match=r"source\.script: no such file: .*make\.py; correct it"):
        made_by(spec)


def test_what_a_script_makes_is_nothing_to_look_for_outside_of_a_build(tmp_path: Path) -> None:
    with pytest.raises(SmithError, match=r"source\.script: the model is made by a script, in a build alone; build it, or"):
        locate(spec_with(tmp_path, SCRIPT))
