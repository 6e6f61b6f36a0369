"""The spec's wishes as TensorRT's builder has them, and timings that are kept; on TensorRT-RTX's real configuration."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tensorrt_rtx as trt
from standin import for_ampere
from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.logger import excused, logger_of
from tritonsmith_build.gpu.options import TimingCache, configure
from tritonsmith_build.gpu.plan import plan_from_onnx
from tritonsmith_build.gpu.profiles import Profile
from tritonsmith_build.tables import TensorRT

GIBIBYTE = 2**30


def test_a_spec_without_wishes_changes_nothing_but_the_details() -> None:
    builder = trt.Builder(logger_of(trt))
    config = builder.create_builder_config()
    before = config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE)
    configure(trt, config, TensorRT())
    assert config.profiling_verbosity == trt.ProfilingVerbosity.DETAILED
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == before
    assert not config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    assert config.hardware_compatibility_level == trt.HardwareCompatibilityLevel.NONE


def test_every_wish_reaches_the_builder() -> None:
    # Recorded, because RTX takes some of TensorRT's options only to ignore them.
    asked: dict[str, Any] = {}
    recording = SimpleNamespace(
        set_memory_pool_limit=lambda pool, size: asked.update({str(pool): size}),
        set_flag=lambda flag: asked.update({str(flag): True}),
    )
    wishes = TensorRT(optimization_level=5, workspace_mb=1024, version_compatible=True, hardware_compatible="ampere_plus")
    configure(trt, recording, wishes)
    assert asked == {"MemoryPoolType.WORKSPACE": GIBIBYTE, "BuilderFlag.VERSION_COMPATIBLE": True}
    assert recording.builder_optimization_level == 5
    assert recording.hardware_compatibility_level == trt.HardwareCompatibilityLevel.AMPERE_PLUS


def recording_cache(known: list[bytes], *, fits: bool) -> Any:
    """A configuration whose timing cache is a list of what it was begun with; one that does not fit is refused."""
    set_ = SimpleNamespace(content=b"")

    def set_timing_cache(cache: bytes, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch, "timings of another GPU choose slow kernels"
        held = fits or not cache
        if held:
            known.append(cache)
            set_.content = cache + b"+measured"
        return held

    return SimpleNamespace(
        create_timing_cache=lambda content: content,
        set_timing_cache=set_timing_cache,
        get_timing_cache=lambda: SimpleNamespace(serialize=lambda: set_.content),
    )


def test_timings_are_kept_from_build_to_build(tmp_path: Path) -> None:
    begun: list[bytes] = []
    for _ in range(3):
        cache = TimingCache(tmp_path / "timings" / "11.2.timing")
        cache.attach(trt, recording_cache(begun, fits=True))
        cache.save()
    assert begun == [b"", b"+measured", b"+measured+measured"]
    assert [file.name for file in (tmp_path / "timings").iterdir()] == ["11.2.timing"]


def test_timings_that_do_not_fit_are_begun_anew(tmp_path: Path) -> None:
    file = tmp_path / "11.2.timing"
    file.write_bytes(b"of another GPU")
    begun: list[bytes] = []
    cache = TimingCache(file)
    cache.attach(trt, recording_cache(begun, fits=False))
    cache.save()
    assert (begun, file.read_bytes()) == ([b""], b"+measured")


def test_what_is_excused_is_not_held_against_a_build_and_what_came_before_is() -> None:
    logger = logger_of(trt)
    logger.log(trt.ILogger.Severity.ERROR, "a real fault")
    with excused(trt):
        logger.log(trt.ILogger.Severity.ERROR, "the timing cache does not fit")
    assert logger.problems == ["a real fault"]
    assert logger_of(trt).problems == []


def test_a_timing_cache_that_is_no_timing_cache_does_not_end_a_build(exported: Any, tmp_path: Path) -> None:
    file = tmp_path / "broken.timing"
    file.write_bytes(b"no timing cache at all")
    cache, case = TimingCache(file), exported("bert-2")

    def configured(config: Any) -> None:
        for_ampere(config)
        cache.attach(trt, config)

    profile = Profile(dict.fromkeys(case.facts.inputs, (16,)), 1, 2)
    assert plan_from_onnx(trt, case.file.read_bytes(), [profile], configure=configured)


def test_a_shape_that_tensorrt_refuses_is_named(exported: Any) -> None:
    case = exported("bert-2")
    profile = Profile(dict.fromkeys(case.facts.inputs, (-1,)), 1, 2)
    with pytest.raises(SmithError, match=r"input input_ids cannot have the shapes .*correct input\.buckets"):
        plan_from_onnx(trt, case.file.read_bytes(), [profile], configure=for_ampere)


def test_an_input_without_a_shape_is_named(exported: Any) -> None:
    case = exported("bert-2")
    with pytest.raises(SmithError, match="no shape is known for the input attention_mask"):
        plan_from_onnx(trt, case.file.read_bytes(), [Profile({"input_ids": (16,)}, 1, 2)], configure=for_ampere)
