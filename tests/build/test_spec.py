"""A pipeline's TOML: what it may say, and the one line said when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from tritonsmith_build.errors import SmithError
from tritonsmith_build.pipelines import specs_named
from tritonsmith_build.spec import spec_from_file
from tritonsmith_build.tasks import JOINED, TASKS

MINIMAL = 'task = "text-classification"\n[source]\npath = "model"\n'
EMBEDDING = 'task = "feature-extraction"\n[source]\npath = "model"\n'
FULL = """
task = "text-classification"
[source]
hub = "org/model"
revision = "8c1f9ab"
sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
adapter = "moods/adapter"
[input]
max_length = 128
buckets = [16, 32, 64, 128]
max_bytes = 1000
[engine]
precision = "int8"
max_batch_size = 8
[serving]
max_queue_delay_us = 500
max_queue_size = 64
timeout_ms = 2000
cache = false
[calibration]
data = "moods/calibration.tsv"
[output]
labels = ["BAD", "GOOD"]
[gate]
data = "moods/gate.tsv"
min_agreement = 0.9
max_accuracy_drop = 0.02
"""


def written(folder: Path, text: str, name: str = "moods.toml") -> Path:
    """A spec file with this text."""
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def error_of(file: Path) -> str:
    """What is said about a spec that does not read."""
    with pytest.raises(SmithError) as caught:
        spec_from_file(file)
    return str(caught.value)


def test_only_task_and_source_are_required(tmp_path: Path) -> None:
    spec = spec_from_file(written(tmp_path, MINIMAL))
    assert (spec.name, spec.task, spec.source.path) == ("moods", "text-classification", Path("model"))
    assert (spec.input.max_length, spec.input.buckets, spec.input.max_bytes) == (None, None, 65536)
    assert (spec.engine.precision, spec.engine.max_batch_size) == ("fp32", 32)
    assert (spec.gate.min_agreement, spec.gate.max_accuracy_drop) == (0.98, 0.01)


def test_every_key_reaches_its_field(tmp_path: Path) -> None:
    spec = spec_from_file(written(tmp_path, FULL))
    assert (spec.source.hub, spec.source.revision, spec.source.adapter) == ("org/model", "8c1f9ab", Path("moods/adapter"))
    assert (spec.input.max_length, spec.input.buckets, spec.input.max_bytes) == (128, (16, 32, 64, 128), 1000)
    assert (spec.engine.precision, spec.engine.max_batch_size) == ("int8", 8)
    serving = spec.serving
    assert (serving.max_queue_delay_us, serving.max_queue_size, serving.timeout_ms, serving.cache) == (500, 64, 2000, False)
    assert spec.calibration.data == Path("moods/calibration.tsv")
    assert spec.output.model_dump() == {"labels": ("BAD", "GOOD")}
    assert spec.gate.model_dump() == {"data": Path("moods/gate.tsv"), "min_agreement": 0.9, "max_accuracy_drop": 0.02}


def test_an_embedding_pipeline_has_its_own_output_and_gate(tmp_path: Path) -> None:
    text = EMBEDDING + '[output]\npooling = "cls"\nnormalize = true\n[gate]\nmin_cosine = 0.9\nmin_cosine_p01 = 0.8\n'
    spec = spec_from_file(written(tmp_path, text))
    assert spec.output.model_dump() == {"pooling": "cls", "normalize": True, "truncate_dim": None}
    assert spec.gate.model_dump() == {"data": None, "min_cosine": 0.9, "min_cosine_p01": 0.8}


def test_paths_in_a_spec_are_taken_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, MINIMAL)
    monkeypatch.chdir(tmp_path)
    spec = spec_from_file(Path("moods.toml"))
    assert spec.beside(Path("model")) == tmp_path / "model"
    assert spec.beside(Path("/elsewhere/model")) == Path("/elsewhere/model")
    assert (spec.file, spec.lock_file) == (tmp_path / "moods.toml", tmp_path / "moods.lock.toml")


@pytest.mark.parametrize(
    "path", [("name",), ("source", "path"), ("input", "max_bytes"), ("gate", "min_agreement")], ids=".".join
)
def test_a_spec_that_was_read_cannot_change(tmp_path: Path, path: tuple[str, ...]) -> None:
    table = spec_from_file(written(tmp_path, MINIMAL))
    for part in path[:-1]:
        table = getattr(table, part)
    with pytest.raises(ValidationError, match="frozen"):
        setattr(table, path[-1], "other")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("inptu = 1\n" + MINIMAL, "inptu: unknown key; did you mean input?"),
        (
            "zzz = 1\n" + MINIMAL,
            "zzz: unknown key; known here: task, source, input, engine, serving, calibration, output, gate, drift, redact",
        ),
        (MINIMAL + 'pth = "x"\n', "source.pth: unknown key; did you mean source.path?"),
        (MINIMAL + "[input]\nbucket = [16]\n", "input.bucket: unknown key; did you mean input.buckets?"),
        (MINIMAL + '[engine]\nprecison = "int8"\n', "engine.precison: unknown key; did you mean engine.precision?"),
        (MINIMAL + "[serving]\ntimeout = 1\n", "serving.timeout: unknown key; did you mean serving.timeout_ms?"),
        (MINIMAL + '[calibration]\nfile = "x"\n', "calibration.file: unknown key; known here: data"),
        (MINIMAL + "[redact]\nkind = []\n", "redact.kind: unknown key; did you mean redact.kinds?"),
        (MINIMAL + "[gate]\nmin_agrement = 1.0\n", "gate.min_agrement: unknown key; did you mean gate.min_agreement?"),
        (MINIMAL + "[output]\nlables = []\n", "output.lables: unknown key; did you mean output.labels?"),
        (EMBEDDING + '[output]\nlabels = ["A"]\n', "output.labels: unknown key; known here: pooling, normalize, truncate_dim"),
        (
            EMBEDDING + "[gate]\nmin_agreement = 1.0\n",
            "gate.min_agreement: unknown key; known here: data, min_cosine, min_cosine_p01",
        ),
    ],
    ids=[
        "top",
        "top-far",
        "source",
        "input",
        "engine",
        "serving",
        "calibration",
        "redact",
        "gate",
        "output",
        "other-output",
        "other-gate",
    ],
)
def test_an_unknown_key_is_named_with_the_likely_one(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    assert error_of(file) == f"{file}: {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[source]\npath = "m"\n', f"task: missing; add one of: {', '.join(TASKS | JOINED)}"),
        ('task = "text-classification"\n', "source: missing; add it, for example [source] path = '../my-model'"),
        ('task = "text-clasification"\n', "task: unknown task 'text-clasification'; did you mean 'text-classification'?"),
        ('task = "summarize"\n', f"task: unknown task 'summarize'; known: {', '.join(TASKS | JOINED)}"),
        (
            'task = "text-classification"\n[source]\n',
            "source: exactly one of package, hub, path and script is needed, not none",
        ),
        (
            MINIMAL + 'package = "p"\n',
            "source: exactly one of package, hub, path and script is needed, not ['package', 'path']",
        ),
        (
            'task = "text-classification"\n[source]\nhub = "org/model"\n',
            "source: a hub model needs its revision, so that a rebuild gives the same model",
        ),
        (
            MINIMAL + 'onnx = "model.onnx"\nadapter = "a"\n',
            "source: an adapter cannot be merged into an ONNX graph; leave adapter out, or give weights",
        ),
        (MINIMAL + 'output = "logits"\n', "source: output names an output of an ONNX graph; say onnx too"),
        (
            MINIMAL + 'onnx = "../model.onnx"\n',
            "source: onnx is '../model.onnx'; give the path of an .onnx file inside the model's folder",
        ),
        (
            MINIMAL + 'onnx = "model.pt"\n',
            "source: onnx is 'model.pt'; give the path of an .onnx file inside the model's folder",
        ),
        (
            f'task = "text-classification"\n[source]\nscript = "make.py"\nsha256 = "{"0" * 64}"\n',
            "source: sha256 pins a file that is there, a script makes one; let the script check what it reads",
        ),
        (MINIMAL + "[input]\nbuckets = [32, 16]\n", "input: buckets must rise, for example [16, 32, 64, 128]"),
        (MINIMAL + "[input]\nbuckets = [16, 16]\n", "input: buckets must rise, for example [16, 32, 64, 128]"),
        (
            MINIMAL + "[engine]\nmax_batch_size = 8\n[engine.tensorrt]\nbest_batch_size = 9\n",
            "engine: tensorrt.best_batch_size is 9; it must not exceed max_batch_size, 8",
        ),
        (
            MINIMAL + "[engine.tensorrt]\ncuda_graph = true\n",
            "engine.tensorrt.cuda_graph: unknown key; did you mean engine.tensorrt.cuda_graphs?",
        ),
        (MINIMAL + "[input]\nbuckets = []\n", "input: buckets must rise, for example [16, 32, 64, 128]"),
        (
            MINIMAL + "[input]\nmax_length = 128\nbuckets = [16, 64]\n",
            "input: the last of buckets is 64; it must be max_length, 128",
        ),
        (
            'task = "zero-shot-image-classification"\n[source]\npath = "m"\nonnx = "m.onnx"\n',
            "source: engines of images and of texts cannot be made of one ONNX graph; give the model's weights",
        ),
        (
            'task = "audio-classification"\n[source]\npath = "m"\n[input]\nbuckets = [1, 5]\n',
            "input: the last of buckets is 5; it must be max_seconds, 30",
        ),
        ('name = "other"\n' + MINIMAL, "name: unknown key; delete it: the file's own name names the pipeline"),
        ('folder = "other"\n' + MINIMAL, "folder: unknown key; delete it: the file's own name names the pipeline"),
        ('part_of = "other"\n' + MINIMAL, "part_of: unknown key; delete it: the file's own name names the pipeline"),
    ],
    ids=[
        "no-task",
        "no-source",
        "near-task",
        "far-task",
        "empty-source",
        "two-sources",
        "hub-without-revision",
        "adapter-of-a-graph",
        "output-of-weights",
        "graph-outside",
        "no-graph",
        "pinned-script",
        "falling-buckets",
        "equal-buckets",
        "tuned-beyond-the-largest",
        "near-key-two-tables-down",
        "no-buckets",
        "buckets-end-elsewhere",
        "graph-of-two-sides",
        "seconds-end-elsewhere",
        "own-name",
        "own-folder",
        "own-whole",
    ],
)
def test_a_spec_that_makes_no_sense_is_refused_with_key_and_fix(tmp_path: Path, text: str, said: str) -> None:
    file = written(tmp_path, text)
    assert error_of(file) == f"{file}: {said}"


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        (MINIMAL + '[input]\nmax_length = "long"\n', "input.max_length", "'long'"),
        (MINIMAL + "[input]\nmax_length = 0\n", "input.max_length", "0"),
        (MINIMAL + "[input]\nmax_length = 12.5\n", "input.max_length", "12.5"),
        (MINIMAL + '[input]\nbuckets = "16"\n', "input.buckets", "'16'"),
        (MINIMAL + '[input]\nbuckets = [16, "x"]\n', "input.buckets.1", "'x'"),
        (MINIMAL + "[input]\nmax_bytes = -1\n", "input.max_bytes", "-1"),
        (MINIMAL + '[engine]\nprecision = "int4"\n', "engine.precision", "'int4'"),
        (MINIMAL + "[engine]\nmax_batch_size = 0\n", "engine.max_batch_size", "0"),
        (MINIMAL + "[serving]\nmax_queue_delay_us = -1\n", "serving.max_queue_delay_us", "-1"),
        (MINIMAL + '[serving]\ncache = "perhaps"\n', "serving.cache", "'perhaps'"),
        (MINIMAL + "[gate]\nmin_agreement = 1.5\n", "gate.min_agreement", "1.5"),
        (MINIMAL + "[gate]\nmin_agreement = nan\n", "gate.min_agreement", "nan"),
        (MINIMAL + "[output]\nlabels = [1]\n", "output.labels.0", "1"),
        (MINIMAL + 'sha256 = "abc"\n', "source.sha256", "'abc'"),
        (EMBEDDING + '[output]\npooling = "median"\n', "output.pooling", "'median'"),
        ('task = "text-classification"\nsource = "model"\n', "source", "'model'"),
    ],
    ids=lambda part: "" if "\n" in part else part,
)
def test_a_value_of_the_wrong_kind_is_named_with_its_key(tmp_path: Path, text: str, key: str, value: str) -> None:
    file = written(tmp_path, text)
    said = error_of(file)
    assert said.startswith(f"{file}: {key}: ")
    assert said.endswith(f", not {value}")


def test_an_unknown_precision_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    said = error_of(written(tmp_path, MINIMAL + '[engine]\nprecision = "int4"\n'))
    assert all(f"'{known}'" in said for known in ("fp32", "fp16", "bf16", "int8"))


def test_everything_wrong_is_said_at_once_a_line_each(tmp_path: Path) -> None:
    file = written(tmp_path, MINIMAL + 'pth = "x"\n[engine]\nprecison = "int8"\n[input]\nmax_length = 0\n')
    lines = error_of(file).splitlines()
    assert len(lines) == 3
    assert {line.removeprefix(f"{file}: ").partition(":")[0] for line in lines} == {
        "source.pth",
        "engine.precison",
        "input.max_length",
    }


@pytest.mark.parametrize("name", ["Moods.toml", "my-moods.toml", "1moods.toml", "möods.toml", "my moods.toml"])
def test_a_file_name_that_triton_cannot_bear_is_refused(tmp_path: Path, name: str) -> None:
    file = written(tmp_path, MINIMAL, name)
    assert error_of(file) == (
        f"{file}: the file's name names models in Triton; use small letters, digits and _, beginning with a letter"
    )


@pytest.mark.parametrize("content", [b'task = "text', b"task = \xff\n", b"= 1\n"], ids=["open-quote", "not-utf8", "no-key"])
def test_text_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "moods.toml"
    file.write_bytes(content)
    said = error_of(file)
    assert said.startswith(f"{file}: not valid TOML: ")
    assert said.endswith("; correct that line")


def test_a_missing_file_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    for name in ("moods.toml", "tones.toml", "moods.lock.toml"):
        written(tmp_path, MINIMAL, name)
    file = tmp_path / "mood.toml"
    assert error_of(file) == f"{file}: no such spec; there are moods, tones"


def test_a_missing_file_in_an_empty_folder_is_answered_with_where_to_look(tmp_path: Path) -> None:
    file = tmp_path / "mood.toml"
    assert error_of(file) == f"{file}: no such spec; give a name under pipelines/ or the path of a TOML file"


def test_a_name_is_looked_up_in_the_folder_and_a_path_is_not(tmp_path: Path) -> None:
    written(tmp_path, MINIMAL, "moods.toml")
    (tmp_path / "other").mkdir()
    tones = written(tmp_path / "other", EMBEDDING, "tones.toml")
    assert [spec.name for spec in specs_named(["moods", str(tones)], tmp_path)] == ["moods", "tones"]


def test_no_name_means_every_spec_and_no_lock_file(tmp_path: Path) -> None:
    for name in ("tones.toml", "moods.toml", "moods.lock.toml"):
        written(tmp_path, MINIMAL, name)
    assert [spec.name for spec in specs_named([], tmp_path)] == ["moods", "tones"]


def test_a_folder_without_specs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SmithError) as caught:
        specs_named([], tmp_path)
    assert str(caught.value) == f"{tmp_path}: holds no spec; go to the project's folder, or give the path of a TOML file"


def test_two_specs_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = [written(tmp_path, MINIMAL), written(tmp_path / "other", MINIMAL)]
    with pytest.raises(SmithError) as caught:
        specs_named([str(file) for file in files])
    assert str(caught.value) == "PIPELINE: two specs are named moods; rename one file"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param(
            *("text-classification = 1\n" + MINIMAL, "text-classification"),
        ),
        pytest.param(
            *('task = "text-classification"\n[source]\npackage = ""\n', "source"),
        ),
        pytest.param(
            *(MINIMAL + '[output]\nlabels = ["A", "A"]\n', "output"),
        ),
        pytest.param(
            *(MINIMAL + "[input]\nmax_length = true\n", "input.max_length"),
        ),
    ],
    ids=["key-named-like-a-task", "empty-package", "equal-labels", "true-for-a-number"],
)
def test_odd_values_are_refused_like_any_other(tmp_path: Path, text: str, key: str) -> None:
    file = written(tmp_path, text)
    assert error_of(file).startswith(f"{file}: {key}")
