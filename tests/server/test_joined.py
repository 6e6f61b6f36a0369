"""A pipeline over two others: its parts answer by themselves, their answers are kept, and it travels whole."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity import assert_same
from parity_images import FILES, IMAGE_CASES
from served import Served, built_at_once, serving
from tritonsmith import Client, InvalidInputError
from tritonsmith_build.committed import committed
from tritonsmith_build.lock import joined_facts_from_lock
from tritonsmith_build.server.preflight import pipelines_in
from tritonsmith_build.spec import spec_from_file

CASE = next(case for case in IMAGE_CASES if case.task == "zero-shot-image-classification")
LABELS = ["cat", "dog", "forest"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("joined")
    spec = CASE.write(folder)
    spec.write_text(spec.read_text() + "[input]\nmax_labels = 8\n")
    built_at_once([spec], folder / "repository")
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with serving(folder / "repository", folder / "log") as served:
        yield served


def hits(server: Served, model: str) -> int:
    with urllib.request.urlopen(f"{server.http}/v2/models/{model}/stats") as reply:
        (stats,) = json.loads(reply.read())["model_stats"]
    return int(stats["inference_stats"]["cache_hit"]["count"])


def test_vectors_of_labels_that_come_again_are_not_computed_again(server: Served) -> None:
    text = f"{CASE.name}_text_cached"
    with Client(server.grpc) as client:
        pipe = client.pipeline(CASE.name)
        first = [pipe(file, candidate_labels=LABELS) for file in FILES[:4]]
        before = hits(server, text)
        again = [pipe(file, candidate_labels=LABELS) for file in FILES[4:8]]
        assert hits(server, text) - before == 4
        assert_same([pipe(file, candidate_labels=LABELS) for file in FILES[:4]], first)
    assert len(again) == 4


def test_the_parts_answer_by_themselves_and_as_the_whole_does(server: Served, folder: Path) -> None:
    facts = joined_facts_from_lock(spec_from_file(folder / f"{CASE.name}.toml"))
    with Client(server.http) as client:
        image = client.pipeline(f"{CASE.name}_image")(FILES[3])
        texts = client.pipeline(f"{CASE.name}_text")([f"This is a photo of {label}." for label in LABELS])
        answer = client.pipeline(CASE.name)(FILES[3], candidate_labels=LABELS)
    cosines = (texts @ image[0]) / np.linalg.norm(texts, axis=1) / np.linalg.norm(image)
    powers = np.exp(facts.scale * (cosines - cosines.max()))
    expected = dict(zip(LABELS, powers / powers.sum(), strict=True))
    assert {one["label"]: one["score"] for one in answer} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("item", "labels", "reason"),
    [
        (FILES[0], ["a"] * 9, "9 labels in a request; at most 8 are taken, ask for fewer"),
        (b"no image", LABELS, "no JPEG, PNG or WebP image; convert it"),
        (FILES[0], ["a", "b" * 1001], "1001 bytes of label; at most 1000 are taken, shorten or split it"),
    ],
    ids=["labels", "image", "label"],
)
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_what_cannot_be_used_is_said_as_by_any_pipeline(
    server: Served, protocol: str, item: bytes, labels: list[str], reason: str
) -> None:
    with Client(getattr(server, protocol)) as client, pytest.raises(InvalidInputError) as caught:
        client.pipeline(CASE.name)(item, candidate_labels=labels)
    assert caught.value.reason == reason


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_bad_requests_among_good_ones_hurt_no_other(server: Served, protocol: str) -> None:
    bad = [(b"no image", LABELS), (FILES[0], ["a", " "]), (FILES[1], ["a"] * 9), (b"no image", ["a", "b" * 1001])]
    sent = [one for at in range(40) for one in ((FILES[at % len(FILES)], LABELS), bad[at % len(bad)])]

    def ask(one: Any) -> Any:
        try:
            return pipe(one[0], candidate_labels=one[1])
        except InvalidInputError as error:
            return error

    with Client(getattr(server, protocol)) as client, ThreadPoolExecutor(16) as pool:
        pipe = client.pipeline(CASE.name)
        alone = [pipe(file, candidate_labels=LABELS) for file in FILES]
        answers = list(pool.map(ask, sent))
        for at, answer in enumerate(answers[::2]):
            assert_same(answer, alone[at % len(FILES)])
        assert all(isinstance(answer, InvalidInputError) for answer in answers[1::2])


def test_it_stops_at_once_after_bad_requests(folder: Path, tmp_path: Path) -> None:
    """A request that failed within is let go of: a server that still held one would wait for it."""
    with serving(folder / "repository", tmp_path / "log", f"--pipelines={CASE.name}") as own:
        with Client(own.http) as client:
            pipe = client.pipeline(CASE.name)
            for item, labels in ((b"no image", LABELS), (FILES[0], ["a", " "]), (FILES[0], ["a"] * 9)):
                with pytest.raises(InvalidInputError):
                    pipe(item, candidate_labels=labels)
        assert own.stop() == 0
    assert "Exit timeout expired" not in (tmp_path / "log").read_text()


def command(*arguments: Any, cwd: Path) -> subprocess.CompletedProcess[str]:
    given = [sys.executable, "-m", "tritonsmith_build", *map(str, arguments)]
    return subprocess.run(given, capture_output=True, text=True, check=True, cwd=cwd)


def test_a_packed_one_is_served_elsewhere(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "one.tar.gz"
    command("pack", CASE.name, f"--repository={folder / 'repository'}", f"--output={archive}", cwd=tmp_path)
    (tmp_path / "elsewhere").mkdir()
    subprocess.run(["tar", "xf", archive, "-C", tmp_path / "elsewhere"], check=True)
    names = (CASE.name, f"{CASE.name}_image", f"{CASE.name}_text")
    assert pipelines_in(tmp_path / "elsewhere", "cpu", ["python"]).ready == names


def test_a_missing_engine_of_a_part_is_said_of_the_whole(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "repository"
    subprocess.run(["cp", "-r", folder / "repository", copy], check=True)
    engine = copy / f"{CASE.name}_text_engine" / "1" / "model.cpu.onnx"
    engine.unlink()
    problems = pipelines_in(copy, "cpu", ["python"]).not_ready
    assert problems.keys() == {CASE.name, f"{CASE.name}_text"}
    assert f"{CASE.name}_text_engine/1/model.cpu.onnx is missing" in problems[CASE.name]


def test_its_text_is_rendered_from_the_spec_and_three_lock_files(folder: Path) -> None:
    spec = spec_from_file(folder / f"{CASE.name}.toml")
    text = committed(spec)
    assert all((folder / "repository" / path).read_text() == content for path, content in text.items())
    assert f"# Rendered from {CASE.name}.toml and {CASE.name}_text.lock.toml;" in text[f"{CASE.name}_text/config.pbtxt"]
    checked = command("render", spec.file, "--check", f"--repository={folder / 'repository'}", cwd=folder)
    assert checked.stdout.strip() == f"{len(text)} files are as rendered"


def test_a_second_build_changes_nothing(folder: Path) -> None:
    spec = folder / f"{CASE.name}.toml"
    done = command("build", spec, f"--repository={folder / 'repository'}", "--json", cwd=folder)
    (said,) = json.loads(done.stdout)
    assert said["written"] == []
    assert said["parts"].keys() == {f"{CASE.name}_image", f"{CASE.name}_text"}
