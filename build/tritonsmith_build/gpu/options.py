"""How TensorRT builds: the spec's wishes set on the builder's configuration, and its timings kept from build to build."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tritonsmith_build.gpu.logger import excused
from tritonsmith_build.tables import TensorRT

if TYPE_CHECKING:
    import tensorrt

HARDWARE = {"none": "NONE", "ampere_plus": "AMPERE_PLUS", "same_compute_capability": "SAME_COMPUTE_CAPABILITY"}


def configure(trt: Any, config: tensorrt.IBuilderConfig, options: TensorRT) -> None:
    """Set the options of a spec's ``[engine.tensorrt]``; layers keep the details by which their precision is proved."""
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.builder_optimization_level = options.optimization_level
    if options.workspace_mb:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_mb * 2**20)
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible != "none":
        level = trt.HardwareCompatibilityLevel.__members__[HARDWARE[options.hardware_compatible]]
        config.hardware_compatibility_level = level


class TimingCache:
    """A file of measured kernels: with it a second build of a like network takes a fraction of the first's time."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def attach(self, trt: Any, config: tensorrt.IBuilderConfig) -> None:
        """Have a build use what is known and add to it. What does not read, or is another GPU's, is begun anew."""
        self._config = config
        known = self.file.read_bytes() if self.file.is_file() else b""
        with excused(trt):
            self._set(config, known)

    @staticmethod
    def _set(config: tensorrt.IBuilderConfig, known: bytes) -> None:
        if not config.set_timing_cache(config.create_timing_cache(known), False):
            config.set_timing_cache(config.create_timing_cache(b""), False)

    def save(self) -> None:
        """Keep what the build has measured; a reader never sees half of it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        content = bytes(self._config.get_timing_cache().serialize())
        with tempfile.NamedTemporaryFile(dir=self.file.parent, suffix=".part", delete=False) as scratch:
            scratch.write(content)
        os.replace(scratch.name, self.file)  # noqa: PTH105 (both are paths of this folder)
