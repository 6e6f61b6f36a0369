"""A plan from spec to repository: TensorRT-RTX builds it; where a driver is needed, ONNX Runtime stands in."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from standin import AMPERE, layer, rtx_host, tensorrt_host, without_a_driver
from tritonsmith_build.build import build_pipeline
from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.host import GpuHost
from tritonsmith_build.gpu.report import measured, page
from tritonsmith_build.lint import lint_repository
from tritonsmith_build.pbtxt import config_from_text
from tritonsmith_build.progress import Progress
from tritonsmith_build.publish import Built
from tritonsmith_build.server.plans import Gpu
from tritonsmith_build.spec import spec_from_file
from tritonsmith_build.stagecache import StageCache
from tritonsmith_build.tables import Precision
from workbench import Workplace, copy_of

H100 = Gpu("stand-in for an H100", "9.0", "580.95.05")
HALF = [layer("Half")] * 9 + [layer("Float")]
ENGINE = "moods_engine/1"
SAID = io.StringIO()


def build(place: Workplace, host: GpuHost, precision: Precision = "fp16") -> Built:
    return build_pipeline(
        spec_from_file(place.spec_file),
        repository=place.repository,
        cache=StageCache(place.cache),
        progress=Progress(Console(file=SAID)),
        precision=precision,
        target="tensorrt",
        host=host,
    )


def fp32_graph(place: Workplace) -> Path:
    (file,) = place.cache.glob("export/*/model.onnx")
    return file


# Of two layers, each with 6 products by a weight and 2 of activations, and a head with 2 more.
PRODUCTS: dict[Precision, dict[str, int]] = {
    "fp32": {"FLOAT": 18},
    "fp16": {"HALF": 18},
    "bf16": {"BF16": 18},
    "int8": {"INT8": 12, "HALF": 6},
}
REFUSED: dict[Precision, str] = {}


@pytest.fixture(scope="module")
def tried(finished: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A finished build for the CPU, where RTX has tried its hand at a plan of each precision."""
    made = copy_of(finished, tmp_path_factory.mktemp("tried") / "place")
    for precision in PRODUCTS:
        with pytest.raises(SmithError) as refused:
            build(made, rtx_host(), precision)
        REFUSED[precision] = str(refused.value)
    return made


@pytest.fixture
def place(tried: Workplace, tmp_path: Path) -> Workplace:
    return copy_of(tried, tmp_path / "place")


def test_rtx_builds_a_plan_of_each_precision_and_nothing_of_it_enters_a_repository(
    tried: Workplace, finished: Workplace
) -> None:
    assert all("tensorrt_rtx builds plans of another format" in said for said in REFUSED.values())
    assert {path: content for path, (content, _) in tried.published().items()} == {
        path: content for path, (content, _) in finished.published().items()
    }
    plans = sorted(tried.cache.glob("plan/*/model.plan"))
    assert all(plan.stat().st_size > 10_000 for plan in plans)
    products = [json.loads((plan.parent / "network.json").read_text()) for plan in plans]
    assert sorted(map(str, products)) == sorted(map(str, PRODUCTS.values()))
    assert list(tried.cache.glob("timings/*sm86.plan.timing"))


def test_a_plan_is_published_with_its_proof_and_its_overlay(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    without_a_driver(monkeypatch, fp32_graph(place), layers=HALF)
    built = build(place, tensorrt_host())
    target = built.manifest["targets"]["tensorrt"]
    plan = target["plans"]["8.6"]
    assert f"{ENGINE}/model.sm86.plan" in built.changed
    assert (plan["file"], plan["tensorrt"], plan["gpu"]) == (f"{ENGINE}/model.sm86.plan", "11.2.1.2", AMPERE.name)
    assert (plan["driver"], plan["driver_at_least"]) == (AMPERE.driver, "580.65.06")
    assert plan["layers"] == {"fp16": 0.9, "fp32": 0.1}
    assert plan["network"] == {"HALF": 18}
    assert plan["gate"]["agreement"] == 1.0
    assert {(row["rows"], row["shape"]) for row in plan["verify"]} == {(r, f"{n} tokens") for r in (1, 4) for n in (16, 32)}
    assert all(row["max_abs_difference"] < 1e-4 for row in plan["verify"])
    assert plan["speed"][0] == {"rows": 1, "shape": "16 tokens", "median_ms": 1.5, "p99_ms": 1.99, "items_per_s": 666.6667}
    assert target["files"].keys() == {
        f"{ENGINE}/model.sm86.plan",
        "moods_tokenize/1/tokenizer.json",
        *(f"moods_{step}/1/canary.tensorrt.json" for step in ("tokenize", "engine", "classify")),
        *(f"moods_{step}/1/reference.json" for step in ("tokenize", "classify")),
    }
    assert target["backend"] == "tensorrt"

    overlay = place.repository / "moods_engine/configs/host-tensorrt.pbtxt"
    config = config_from_text(overlay.read_text(), where=overlay)
    assert dict(config.cc_model_filenames) == {"8.6": "model.sm86.plan"}
    assert config.default_model_filename == "model.sm86.plan"
    assert [group.profile for group in config.instance_group] == [["0", "1"]]
    committed = config_from_text((place.repository / "moods_engine/config.pbtxt").read_text(), where="committed")
    assert not committed.cc_model_filenames
    assert not [finding for finding in lint_repository(place.repository) if finding.level == "error"]


def test_one_repository_serves_several_kinds_of_gpu(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    without_a_driver(monkeypatch, fp32_graph(place), layers=HALF)
    build(place, tensorrt_host())
    target = build(place, tensorrt_host(H100)).manifest["targets"]["tensorrt"]
    assert target["plans"].keys() == {"8.6", "9.0"}
    files = {f"{ENGINE}/model.sm86.plan", f"{ENGINE}/model.sm90.plan"}
    assert files <= target["files"].keys()
    assert all((place.repository / file).is_file() for file in files)
    overlay = (place.repository / "moods_engine/configs/host-tensorrt.pbtxt").read_text()
    names = config_from_text(overlay, where="overlay").cc_model_filenames
    assert dict(names) == {"8.6": "model.sm86.plan", "9.0": "model.sm90.plan"}


def test_plans_of_another_graph_are_named_no_longer(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    without_a_driver(monkeypatch, fp32_graph(place), layers=HALF)
    build(place, tensorrt_host())
    int8 = [*HALF, *[layer("Int8")] * 5]
    without_a_driver(monkeypatch, fp32_graph(place), layers=int8)
    target = build(place, tensorrt_host(H100), "int8").manifest["targets"]["tensorrt"]
    assert target["plans"].keys() == {"9.0"}
    assert f"{ENGINE}/model.sm86.plan" not in target["files"]


def test_a_second_build_has_nothing_to_do(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    without_a_driver(monkeypatch, fp32_graph(place), layers=HALF)
    build(place, tensorrt_host())
    before = place.published()
    assert build(place, tensorrt_host()).changed == ()
    assert place.published() == before


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "an engine that is FP32": ({"layers": [layer("Float")] * 10}, "the engine is not fp16"),
    "an engine that answers nonsense": ({"layers": HALF, "error": float("nan")}, "answers NaN or infinity"),
}


@pytest.mark.parametrize(("fault", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_a_plan_that_proves_wrong_replaces_nothing(
    place: Workplace, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], said: str
) -> None:
    without_a_driver(monkeypatch, fp32_graph(place), **fault)
    before = place.published()
    with pytest.raises(SmithError, match=said):
        build(place, tensorrt_host())
    assert place.published() == before


def test_a_plan_that_decides_otherwise_fails_the_gate(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def biased(self: Any, batch: Any) -> Any:
        return self._session.run(None, batch)[0] * [[1, -1]]

    without_a_driver(monkeypatch, fp32_graph(place), layers=HALF)
    from tritonsmith_build.gpu import running

    monkeypatch.setattr(running.PlanRunner, "__call__", biased)
    with pytest.raises(SmithError, match=f"moods on {AMPERE.name}: gate: agreement is"):
        build(place, tensorrt_host())


def test_the_report_goes_on_after_a_failure_and_says_it(place: Workplace, tmp_path: Path) -> None:
    options: dict[str, Any] = {"cache": StageCache(place.cache), "progress": Progress(Console(file=SAID))}
    report = measured([spec_from_file(place.spec_file)], rtx_host(), place.root / "gpu", **options)
    assert [(step.precision, step.step) for step in report.failed] == [("fp16", "engine"), ("int8", "engine")]
    assert all("builds plans of another format" in str(step.failed) for step in report.failed)
    report.write(tmp_path, "tritonsmith gpu-report moods")
    assert "- moods int8, engine: --target tensorrt: tensorrt_rtx builds" in (tmp_path / "gpu-report.md").read_text()
    assert len(json.loads((tmp_path / "gpu-report.json").read_text())["steps"]) == 2


def test_the_report_has_the_figures(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    both = [*HALF, *[layer("Int8")] * 5]
    without_a_driver(monkeypatch, fp32_graph(place), layers=both)
    options: dict[str, Any] = {"cache": StageCache(place.cache), "progress": Progress(Console(file=SAID))}
    report = measured([spec_from_file(place.spec_file)], tensorrt_host(), place.root / "gpu", **options)
    text = page(report, "tritonsmith gpu-report moods")
    assert "| moods | fp16 | 1.0000 | 60% fp16, 7% fp32, 33% int8 | 0% |" in text
    assert "| moods | int8 | 4 | 32 tokens | 1.500 | 2667 |" in text
    # The wheel's Triton has no TensorRT, so serving is the step that fails, and says so.
    assert [(step.precision, step.step) for step in report.failed] == [("fp16", "serving"), ("int8", "serving")]
    assert "this server has no tensorrt backend" in text
