"""Which runtime serves a CPU engine: proved by the gate, ordered by speed, and told to the server."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tritonsmith_build.errors import SmithError
from tritonsmith_build.stages import runtimes
from tritonsmith_steps.runtimes import Choice, UnavailableError, opened
from workbench import Workplace, python

ENGINES = "moods_engine/1/engines.json"
Row = dict[str, Any]


def engines_of(place: Workplace) -> list[str]:
    return [str(Choice(**row)) for row in json.loads((place.repository / ENGINES).read_text())]


def row(engine: str, rate: float, agreement: float = 1.0) -> Row:
    return {"engine": engine, "gate": {"items": 200, "agreement": agreement}, "items_per_s": rate}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[Row]], None]:
    """Have the stage measure what a test says; in another order of the stages' keys, so that nothing is cached."""

    def said(rows: Sequence[Row]) -> None:
        monkeypatch.setattr(runtimes, "tried", lambda *_: [dict(one) for one in rows])

    return said


def test_the_fastest_that_passes_comes_first_and_what_fails_is_not_served(
    place: Workplace, table: Callable[[Sequence[Row]], None]
) -> None:
    slow, fast, wrong = row("onnxruntime fp32", 100), row("openvino fp32", 200), row("openvino bf16", 900, agreement=0.5)
    table([wrong, fast, slow, {"engine": "abacus fp32", "unavailable": "this machine has none"}])
    manifest = place.build("fp32").manifest["targets"]["cpu"]
    assert engines_of(place) == ["openvino fp32", "onnxruntime fp32"]
    said = {one["engine"]: one for one in manifest["engines"]}
    assert "agreement is 0.5000" in said["openvino bf16"]["failed"]
    assert said["abacus fp32"] == {"engine": "abacus fp32", "unavailable": "this machine has none"}
    assert manifest["files"][ENGINES]["bytes"] == (place.repository / ENGINES).stat().st_size


def test_where_none_passes_nothing_is_replaced(place: Workplace, table: Callable[[Sequence[Row]], None]) -> None:
    table([row("openvino fp32", 200, agreement=0.5), row("onnxruntime fp32", 100, agreement=0.4)])
    before = place.published()
    with pytest.raises(SmithError, match=r"moods on onnxruntime fp32: gate: agreement is 0\.4000"):
        place.build("fp32")
    assert place.published() == before


def test_real_runtimes_are_measured_and_agree(place: Workplace) -> None:
    manifest = place.build("fp32").manifest["targets"]["cpu"]
    measured = [one for one in manifest["engines"] if "gate" in one]
    assert {one["engine"] for one in measured} == {"openvino fp32", "onnxruntime fp32"}
    for one in measured:
        assert one["gate"]["agreement"] == 1.0
        alone, together = one["items_per_s_in_1"], one["items_per_s_in_8"]
        assert one["items_per_s"] == pytest.approx(2 / (1 / alone + 1 / together), rel=0.01)
    assert engines_of(place) == [one["engine"] for one in sorted(measured, key=lambda one: -one["items_per_s"])]


def test_sixteen_bits_on_a_cpu_are_bf16_or_fp32_where_it_has_none(place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(choice: Choice, file: Path) -> Any:
        if choice.compute == "bf16":
            raise UnavailableError("this CPU has no BF16")
        return opened(choice, file)

    monkeypatch.setattr(runtimes, "opened", narrow)
    manifest = place.build("fp16").manifest["targets"]["cpu"]
    assert manifest["engines"][0] == {"engine": "openvino bf16", "unavailable": "this CPU has no BF16"}
    assert set(engines_of(place)) == {"openvino fp32", "onnxruntime fp32"}


AFTERWARDS = """
import os, signal
from tritonsmith_build.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
signal.signal(signal.SIGTERM, lambda *_: print("noticed"))
os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.parametrize("stack", ["", "import faulthandler; faulthandler.enable()"], ids=["plain", "faulthandler"])
def test_a_signal_after_the_measuring_is_only_a_signal(place: Workplace, tmp_path: Path, stack: str) -> None:
    shutil.rmtree(place.cache / "engines")
    place.respecify(engine={"precision": "int8"})
    ran = python(
        f"import os; os.environ['TRITONSMITH_CACHE'] = {str(place.cache)!r}; {stack or 'pass'}\n" + AFTERWARDS,
        *("build", place.spec_file, "--repository", tmp_path / "repository"),
    )
    assert (ran.returncode, ran.stdout.splitlines()[-1:]) == (0, ["noticed"]), ran.stderr
    assert "openvino" in ran.stdout
