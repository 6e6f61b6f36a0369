"""Deployed copies and moves between versions, against a server that is faked: cut off, failing and refused at every step."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from triton_models import SAYS, FakeTriton
from tritonsmith_build.deployment.copy import Copy
from tritonsmith_build.deployment.deploy import deploy
from tritonsmith_build.deployment.locked import locked
from tritonsmith_build.deployment.move import Move
from tritonsmith_build.deployment.record import deployed_in
from tritonsmith_build.deployment.settle import settle
from tritonsmith_build.deployment.shadow import Comparison, Latency, Limits, WorseError
from tritonsmith_build.deployment.upgrade import rollback_with, upgrade_with
from tritonsmith_build.errors import SmithError
from tritonsmith_build.hashing import sha256
from tritonsmith_build.messages import VERSION as RENDERED
from tritonsmith_build.pack import VERSION as BUILT
from tritonsmith_build.pbtxt import config_from_text
from tritonsmith_build.render import rendered
from tritonsmith_build.server.preflight import pipelines_in
from workbench import some_facts, write_spec

SAME = Comparison(10, 1.0, Latency(5.0, 9.0), Latency(5.0, 9.0))
LIMITS = Limits(min_agreement=0.98, max_slowdown=1.5)
STEPS = ("moods_tokenize", "moods_engine", "moods_classify")


class Killed(BaseException):
    """As kill -9 does it: nothing of what would put things right runs."""


def build(repository: Path, say: str, *, cache: bool = True, **changes: Any) -> None:
    """A repository as a build leaves it, whose last step says something."""
    shutil.rmtree(repository, ignore_errors=True)
    spec = write_spec(repository.parent / "specs", serving={"cache": cache})
    for path, text in rendered(spec, some_facts(**changes)).items():
        (repository / path).parent.mkdir(parents=True, exist_ok=True)
        (repository / path).write_text(text)
    engine = repository / "moods_engine/1"
    (engine / "model.cpu.onnx").write_text(f"weights of {say}")
    (repository / "moods_classify/1" / SAYS).write_text(say)
    (repository / "moods_tokenize/1" / SAYS).unlink()
    (engine / SAYS).unlink()
    path = "moods_engine/1/model.cpu.onnx"
    files = {path: {"sha256": sha256(repository / path), "bytes": (repository / path).stat().st_size}}
    manifest = {"pipeline": "moods", "targets": {"cpu": {"backend": "python", "precision": "fp32", "files": files}}}
    (engine / "manifest.json").write_text(json.dumps(manifest))


@dataclass
class Place:
    """A built repository, its deployed copy, and a server of that."""

    root: Path
    cache: bool
    triton: FakeTriton

    @property
    def repository(self) -> Path:
        return self.root / "built"

    @property
    def folder(self) -> Path:
        return self.root / "deployed"

    @property
    def copy(self) -> Copy:
        return Copy(self.folder, "moods")

    def rebuild(self, say: str, **changes: Any) -> None:
        build(self.repository, say, cache=self.cache, **changes)

    def upgrade(self, at: Callable[[str], None] = lambda step: None, found: Comparison = SAME) -> int:
        move = Move(self.copy, self.triton, at)
        with locked(self.folder):
            return upgrade_with(move, self.repository, lambda old, new: found, LIMITS, lambda line: None).live

    def rollback(self, at: Callable[[str], None] = lambda step: None) -> int:
        with locked(self.folder):
            return rollback_with(Move(self.copy, self.triton, at), lambda line: None).live

    def restart(self) -> None:
        self.triton = FakeTriton(self.folder, "moods")

    def is_clean(self) -> bool:
        """Whether what is served is the live version alone, on disk and in the server."""
        live = deployed_in(self.folder, "moods").live
        kept = list(deployed_in(self.folder, "moods").versions)
        there = {path.parent.name: int(path.name) for path in self.folder.glob("moods*/*") if path.name.isdecimal()}
        models = {"moods", *STEPS, *(["moods_cached"] if self.cache else [])}
        loaded = {model: list(versions) for model, versions in self.triton.models.items()}
        assert there == dict.fromkeys(models, live)
        assert loaded == {model: [live] for model in models}
        assert self.copy.kept() == kept
        assert pipelines_in(self.folder, "cpu", {"python"}).ready == ("moods",)
        return True


@pytest.fixture(params=[True, False], ids=["remembering within", "remembering nothing"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    build(tmp_path / "built", "one", cache=request.param)
    deploy(tmp_path / "built", ["moods"], tmp_path / "deployed")
    place = Place(tmp_path, request.param, FakeTriton(tmp_path / "deployed", "moods"))
    assert place.triton.answer() == (1, "one")
    return place


def test_what_a_build_numbers_its_models_is_what_is_copied() -> None:
    assert BUILT == RENDERED


def test_a_copy_serves_what_was_built_and_shares_no_text_with_it(place: Place) -> None:
    before = {path: path.read_bytes() for path in place.repository.rglob("*") if path.is_file()}
    assert place.is_clean()
    for path in place.folder.glob("moods*/config.pbtxt"):
        config_from_text(path.read_text(), where=path)
    place.rebuild("two")
    place.upgrade()
    assert {path: path.read_bytes() for path in place.repository.rglob("*") if path.is_file()}.keys() == before.keys()
    assert (place.repository / "moods_classify/1" / SAYS).read_text() == "two"


def test_what_is_deployed_already_stays_and_another_build_is_an_upgrades_work(place: Place) -> None:
    (outcome,) = deploy(place.repository, [], place.folder)
    assert not outcome.new
    place.rebuild("two")
    with pytest.raises(SmithError, match="deployed there as another build; run: tritonsmith upgrade moods"):
        deploy(place.repository, [], place.folder)


def test_a_deployment_that_was_cut_off_is_made_again(place: Place) -> None:
    (place.folder / "deployed.json").unlink()
    place.rebuild("two")
    deploy(place.repository, ["moods"], place.folder)
    place.restart()
    assert place.triton.answer() == (1, "two")


def test_versions_follow_each_other_there_and_back(place: Place) -> None:
    place.rebuild("two")
    assert place.upgrade() == 2
    assert place.triton.answer() == (2, "two")
    assert place.is_clean()
    assert place.rollback() == 1
    assert place.triton.answer() == (1, "one")
    assert place.is_clean()
    with pytest.raises(SmithError, match="version 1 has none before it to go back to"):
        place.rollback()
    place.rebuild("three")
    assert place.upgrade() == 3, "the cache may still have what 2 said"
    assert place.triton.answer() == (3, "three")
    place.rebuild("four")
    assert place.upgrade() == 4
    assert place.copy.kept() == [3, 4]
    place.restart()
    assert place.triton.answer() == (4, "four")


def test_the_manifest_moves_with_its_engine(place: Place) -> None:
    place.rebuild("two")
    place.upgrade()
    manifest = json.loads((place.folder / "moods_engine/2/manifest.json").read_text())
    assert list(manifest["targets"]["cpu"]["files"]) == ["moods_engine/2/model.cpu.onnx"]


def test_only_the_steps_of_the_new_version_are_read_anew(place: Place) -> None:
    """Triton restarts every version of a model whose config.pbtxt changes, and one whose folder does."""
    before = {path: path.stat().st_mtime_ns for step in STEPS for path in (place.folder / step).rglob("*") if path.is_file()}
    seen = []

    def at(step: str) -> None:
        seen.append({path: path.stat().st_mtime_ns for path in before if path.exists()})

    place.rebuild("two")
    place.upgrade(at)
    assert all(before[path] == then for then_all in seen for path, then in then_all.items())
    assert before.keys() == seen[0].keys()


def test_every_configuration_of_a_step_follows(place: Place) -> None:
    place.rebuild("two")
    for file in (place.repository / "moods_engine").rglob("*.pbtxt"):
        file.write_text(file.read_text().replace("max_queue_size: 256", "max_queue_size: 99"))
    (place.repository / "moods_engine/configs/onnxruntime.pbtxt").unlink()
    place.upgrade()
    for file in (place.folder / "moods_engine").rglob("*.pbtxt"):
        assert "max_queue_size: 99" in file.read_text()
    assert [file.name for file in (place.folder / "moods_engine/configs").iterdir()] == ["cpu.pbtxt"]
    place.rollback()
    names = sorted(file.name for file in (place.folder / "moods_engine/configs").iterdir())
    assert names == ["cpu.pbtxt", "onnxruntime.pbtxt"]


def test_nothing_new_is_no_upgrade(place: Place) -> None:
    with pytest.raises(SmithError, match="nothing has changed: what is built is version 1"):
        place.upgrade()


def test_another_interface_is_no_upgrade(place: Place) -> None:
    place.rebuild("two", labels=("SAD", "GLAD"), width=2)
    with pytest.raises(SmithError, match=r"the outputs are LABEL STRING\[2\], .* and were LABEL STRING\[3\]"):
        place.upgrade()
    assert place.triton.answer() == (1, "one")
    assert place.is_clean()


WORSE = {
    "agreement": (Comparison(10, 0.9, Latency(5, 9), Latency(5, 9)), "agrees on 0.9000 of 10 items, 0.98 are demanded"),
    "latency": (Comparison(10, 1.0, Latency(5, 9), Latency(10, 12)), r"takes 2.00 times as long \(p50\), 1.5 are allowed"),
}


@pytest.mark.parametrize("which", WORSE)
def test_a_worse_version_is_refused_and_leaves_nothing(place: Place, which: str) -> None:
    found, message = WORSE[which]
    place.rebuild("two")
    with pytest.raises(WorseError, match=message):
        place.upgrade(found=found)
    assert place.triton.answer() == (1, "one")
    assert place.is_clean()
    assert place.copy.kept() == [1]
    assert place.upgrade() == 3, "no number is given twice"


def test_a_version_that_does_not_load_leaves_the_old_one(place: Place) -> None:
    place.rebuild("two")

    def at(step: str) -> None:
        if step == "version 2 placed":
            (place.folder / "moods_engine/2/broken").touch()

    with pytest.raises(SmithError, match="moods_engine version 2 does not load"):
        place.upgrade(at)
    assert place.triton.answer() == (1, "one")
    assert place.is_clean()


def test_a_server_of_another_folder_is_told_apart(place: Place, tmp_path: Path) -> None:
    deploy(place.repository, ["moods"], tmp_path / "elsewhere")
    place.triton = FakeTriton(tmp_path / "elsewhere", "moods")
    place.rebuild("two")
    with pytest.raises(SmithError, match="give --deployed the folder that this server serves"):
        place.upgrade()
    place.restart()
    assert place.is_clean()


def test_a_server_without_the_pipeline_is_told_apart(place: Place) -> None:
    place.triton.models.clear()
    with pytest.raises(SmithError, match="the server does not serve it; run: tritonsmith serve"):
        place.upgrade()


def test_two_at_once_are_refused(place: Place) -> None:
    with locked(place.folder), pytest.raises(SmithError, match="another upgrade, rollback or deploy is under way"):
        place.upgrade()


def points(place: Place, move: str) -> list[str]:
    """Every step of a move that changes something, found by doing it elsewhere."""
    elsewhere = Place(place.root / "elsewhere", place.cache, place.triton)
    shutil.copytree(place.repository, elsewhere.repository)
    shutil.copytree(place.folder, elsewhere.folder)
    elsewhere.restart()
    steps: list[str] = []
    getattr(elsewhere, move)(steps.append)
    return steps


def ending(error: BaseException, place: Place, move: str) -> Iterator[str]:
    """The move, ended by an error after its first step, then after its second, and so on; each time the step's name.

    The callers are answered by one whole version all the while.
    """
    says = {1: "one", 2: "two", 3: "two"}
    for index, last in enumerate(points(place, move)):
        here = Place(place.root / f"at-{index}", place.cache, place.triton)
        shutil.copytree(place.repository, here.repository)
        shutil.copytree(place.folder, here.folder)
        here.restart()
        left = [index]

        def at(step: str, here: Place = here, left: list[int] = left) -> None:
            version, said = here.triton.answer()
            assert said == says[version], step
            left[0] -= 1
            if left[0] == -1:
                raise error

        with pytest.raises(type(error)):
            getattr(here, move)(at)
        place.root, place.triton = here.root, here.triton
        yield last
        place.root = here.root.parent


@pytest.mark.parametrize("move", ["upgrade", "rollback"])
def test_a_move_that_is_killed_leaves_a_whole_version_and_the_next_cleans_up(place: Place, move: str) -> None:
    place.rebuild("two")
    if move == "rollback":
        place.upgrade()
    old = place.triton.answer()[0]
    seen = []
    for step in ending(Killed(), place, move):
        seen.append(step)
        live = deployed_in(place.folder, "moods").live
        answering = place.triton.answer()
        assert answering[1] == {1: "one", 2: "two"}[answering[0]]
        assert live == old or "recorded" in seen
        if live != old:
            assert answering[0] == live
        FakeTriton(place.folder, "moods").answer()  # also a server that may not write there has a whole version
        restarted = Place(place.root / "restarted", place.cache, place.triton)
        shutil.copytree(place.folder, restarted.folder)
        settle(restarted.folder)
        restarted.restart()
        assert restarted.triton.answer()[0] == live
        if move == "upgrade" and live == old:
            assert place.upgrade() == 3
            assert place.triton.answer() == (3, "two")
        else:
            with pytest.raises(SmithError, match=r"nothing has changed|none before it" if live != 1 else "none before it"):
                place.upgrade() if live != 1 else place.rollback()
            if live == 1:
                assert place.triton.answer() == (1, "one")
        assert place.is_clean()
    assert len(seen) > 10
    assert "recorded" in seen


@pytest.mark.parametrize("move", ["upgrade", "rollback"])
def test_a_move_that_fails_is_undone_or_done(place: Place, move: str) -> None:
    place.rebuild("two")
    if move == "rollback":
        place.upgrade()
    old = place.triton.answer()[0]
    recorded = False
    for step in ending(SmithError("no"), place, move):
        recorded = recorded or step == "recorded"
        live = deployed_in(place.folder, "moods").live
        assert (live == old) is not recorded, step
        assert place.triton.answer()[0] == live
        if not recorded:
            assert place.is_clean()
