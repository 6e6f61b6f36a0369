"""Every task of several families of models, built and served without touching code, answering as the libraries do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from parity import CLASSIFYING, Case, assert_same, told_apart
from parity_families import CASES, FAMILIES, README, with_families
from parity_images import FILES
from parity_sounds import RECORDINGS
from PIL import Image
from served import ROOT, Served, built_at_once, serving
from tiny_sounds import heard
from transformers import AutoTokenizer
from tritonsmith import Client, InvalidInputError
from tritonsmith.client import Pipeline
from tritonsmith.codec import TASKS as ASKED
from tritonsmith_build.lock import facts_from_lock
from tritonsmith_build.spec import spec_from_file
from tritonsmith_build.tasks import JOINED, TASKS

PAGE = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")


MORE = ", more families"


def grouped() -> dict[str, list[Case]]:
    """One family of each task, and all others of it, which take longer than every change can wait."""
    groups: dict[str, list[Case]] = {}
    for case in CASES:
        groups.setdefault(case.task + MORE if case.task in groups else case.task, []).append(case)
    return groups


GROUPS = grouped()
PARAMETERS = [pytest.param(name, marks=pytest.mark.full if name.endswith(MORE) else ()) for name in GROUPS]


@pytest.fixture(scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models of all groups that are asked for, and their repository: built at once, which is faster than in turn."""
    folder = tmp_path_factory.mktemp("parity")
    asked = {item.callspec.params.get("served") for item in request.session.items if hasattr(item, "callspec")}
    cases = [case for name, group in GROUPS.items() if name in asked for case in group] or CASES[:1]
    built_at_once([case.write(folder) for case in cases], folder / "repository")
    return folder


@pytest.fixture(scope="module", params=PARAMETERS)
def served(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Served, list[Case]]]:
    """A server with all pipelines of one group."""
    cases = GROUPS[request.param]
    names = ",".join(case.name for case in cases)
    with serving(folder / "repository", folder / "log", "--no-cache", f"--pipelines={names}") as own:
        yield own, cases


@pytest.mark.filterwarnings("ignore")
def test_answers_are_those_of_the_library(served: tuple[Served, list[Case]], folder: Path) -> None:
    own, cases = served
    for case in cases:
        reference = case.reference(folder / "models" / case.name)
        assert case.task not in CLASSIFYING or told_apart(reference(list(case.items), top_k=None))
        with Client(own.grpc) as client:
            pipe = client.pipeline(case.name)
            for options in case.options:
                wanted = reference(list(case.items), **options)
                assert_same(pipe(list(case.items), **options), wanted)
                assert_same(pipe(case.items[1], **options), reference(case.items[1], **options))
                with pytest.raises(AssertionError):  # the answers tell the items apart
                    assert_same(pipe(list(case.items[::-1]), **options), wanted)


def test_what_is_cut_is_said_of_each_item_where_it_is_asked(served: tuple[Served, list[Case]], folder: Path) -> None:
    own, cases = served
    for case in cases:
        if "return_truncated" not in ASKED[case.task].options:
            continue
        options = case.options[0]
        expected = [is_cut(case, item, options, folder) for item in case.items]
        with Client(own.grpc) as client:
            pipe = client.pipeline(case.name)
            answers, cut = pipe(list(case.items), **options, return_truncated=True)
            assert_same(answers, pipe(list(case.items), **options))
            assert cut == expected
            assert pipe(case.items[1], **options, return_truncated=True)[1] is expected[1]


def is_cut(case: Case, item: Any, options: dict[str, Any], folder: Path) -> bool:
    """Whether an item is longer than its model takes, as transformers' tokenizer counts, or by the windows of a sound."""
    facts: Any = facts_from_lock(spec_from_file(folder / f"{case.name}.toml"))
    if case.task == "audio-classification":
        (sound,) = heard([item])
        return bool(facts.bands) and 1 + (len(sound) - 400) // 160 > facts.frames
    match item:
        case {"query": query, "documents": documents}:
            texts = [(query, document) for document in documents]
        case str() if labels := options.get("candidate_labels"):
            texts = [(item, f"This example is {label}.") for label in labels]
        case _:
            texts = [(item,)]
    tokenizer = AutoTokenizer.from_pretrained(folder / "models" / case.name)
    return any(len(tokenizer(*text)["input_ids"]) > facts.max_length for text in texts)


def test_a_bad_item_fails_alone_and_its_neighbours_are_answered_as_ever(served: tuple[Served, list[Case]]) -> None:
    own, cases = served
    for case in cases:
        items, options = [*case.items[:6], case.bad, *case.items[6:12]], case.options[-1]
        with Client(own.http) as client, ThreadPoolExecutor(len(items)) as pool:
            pipe = client.pipeline(case.name)
            alone = [pipe(item, **options) for item in items if item is not case.bad]
            together = list(pool.map(asked, repeat(pipe), items, repeat(options)))
            error = together.pop(6)
        assert isinstance(error, InvalidInputError)
        assert error.item in (0, None)
        assert_same(together, alone)


def asked(pipe: Pipeline, item: Any, options: dict[str, Any]) -> Any:
    """The answer, or the error that refuses the item."""
    try:
        return pipe(item, **options)
    except InvalidInputError as error:
        return error


def test_the_command_line_shows_and_prints_an_answer(served: tuple[Served, list[Case]], tmp_path: Path) -> None:
    own, cases = served
    case, options = cases[0], cases[0].options[-1]
    item, called = typed(case.items[1], tmp_path), ASKED[case.task].item
    asked = [f"--option={name}={json.dumps(value, ensure_ascii=False)}" for name, value in options.items()]
    command = [sys.executable, "-m", "tritonsmith_build", "infer", case.name, item, f"--url={own.grpc}", *asked]
    printed = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    (answer,) = map(json.loads, printed.splitlines())
    assert answer.pop(called) == item
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.split()[1] in answer
    assert flattened(answer) == pytest.approx(flattened(ask_alone(own, case, options)), abs=1e-6)


def test_what_was_found_in_an_image_is_drawn_over_it(served: tuple[Served, list[Case]], tmp_path: Path) -> None:
    own, cases = served
    if cases[0].task not in ("object-detection", "image-segmentation"):
        return
    item = typed(FILES[3], tmp_path)
    command = [sys.executable, "-m", "tritonsmith_build", "infer", cases[0].name, item, f"--url={own.grpc}"]
    command += ["--option=threshold=0.1"] if cases[0].task == "object-detection" else []
    command += [f"--save={tmp_path / 'found'}", "--json"]
    target = Path(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["saved"])
    before, after = Image.open(item), Image.open(target)
    assert target == tmp_path / "found" / "item.png"
    assert after.size == before.size
    assert np.mean(np.asarray(after) != np.asarray(before.convert("RGB"))) > 0.01


def typed(item: Any, folder: Path) -> str:
    """What a person types for an item: a text, the path of a file, JSON for what has several parts."""
    if isinstance(item, bytes):
        (folder / "item.png").write_bytes(item)
        return str(folder / "item.png")
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def ask_alone(own: Served, case: Case, options: dict[str, Any]) -> Any:
    with Client(own.grpc) as client:
        return client.pipeline(case.name)(case.items[1], **options)


def flattened(answer: Any) -> list[float]:
    """Every number in it."""
    if isinstance(answer, Image.Image):
        return [float(np.mean(np.asarray(answer) > 0))]
    if isinstance(answer, dict):
        return [number for value in answer.values() for number in flattened(value)]
    if isinstance(answer, list | tuple | np.ndarray):
        return [number for value in answer for number in flattened(value)]
    return [float(answer)] if isinstance(answer, int | float | np.floating) else []


def test_the_readme_names_the_families_that_are_tested_here_and_every_task_is() -> None:
    readme = README.read_text(encoding="utf-8")
    assert with_families(readme) == readme, "run: make families"
    assert {case.family for case in CASES} == FAMILIES.keys()
    assert {case.task for case in CASES} == (TASKS | JOINED).keys()


def test_the_example_of_the_page_on_tasks_runs(
    served: tuple[Served, list[Case]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, cases = served
    if cases is not GROUPS[cases[0].task]:  # the page's texts are for the first family: masks are written otherwise elsewhere
        return
    monkeypatch.chdir(tmp_path)
    (tmp_path / "street.jpg").write_bytes(FILES[0])
    (tmp_path / "speech.wav").write_bytes(RECORDINGS[0])
    (section,) = re.findall(rf"^## {cases[0].task}\n(.*?)(?=^## )", PAGE, flags=re.DOTALL | re.MULTILINE)
    (fence,) = re.findall(r"^```python\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)
    ours = re.sub(r'client\.pipeline\("\w+"\)', f'client.pipeline("{cases[0].name}")', fence)
    assert ours != fence
    with Client(own.http) as client:
        exec(ours, {"client": client})


def test_lint_has_nothing_to_complain_of(folder: Path) -> None:
    """The engines of other targets are not built, and that is all it notes."""
    command = [sys.executable, "-m", "tritonsmith_build", "lint", str(folder / "repository"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    findings = json.loads(done.stdout)
    assert {finding["rule"] for finding in findings} == {"artefact-not-built"}
