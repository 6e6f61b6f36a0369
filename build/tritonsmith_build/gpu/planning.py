"""A plan built, proved, verified and measured: the stages of a build that need a GPU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import ModelFacts
from tritonsmith_build.gpu.host import MODULES, GpuHost
from tritonsmith_build.gpu.inspection import check_network, check_precision, layers_of, shares
from tritonsmith_build.gpu.options import TimingCache, configure
from tritonsmith_build.gpu.plan import network_types, plan_from_onnx
from tritonsmith_build.gpu.profiles import Profile, profiles_for
from tritonsmith_build.gpu.verify import compare, measure
from tritonsmith_build.modality import Samples, Shape
from tritonsmith_build.outputs import counted
from tritonsmith_build.stages.gate import FIGURES
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.tasks import TASKS

if TYPE_CHECKING:
    import tensorrt

    from tritonsmith_build.stages.verify import Original

_GATE_ROWS = 8


@dataclass(frozen=True)
class Planning:
    """One pipeline's plan on one host."""

    host: GpuHost
    spec: PipelineSpec
    facts: ModelFacts

    @property
    def shapes(self) -> Sequence[Shape]:
        """What the first step makes."""
        return TASKS[self.spec.task].modality.shapes(self.facts)

    @property
    def profiles(self) -> list[Profile]:
        """One a shape."""
        return profiles_for(self.shapes, self.spec.engine.max_batch_size, best_rows=self.spec.engine.best_batch_size)

    @property
    def depends_on(self) -> tuple[Any, ...]:
        """What the plan depends on besides its graph."""
        host, engine = self.host, self.spec.engine
        gpu = (host.tensorrt, host.gpu.compute_capability, host.gpu.name)
        batches = (engine.tensorrt.model_dump(), engine.best_batch_size, engine.max_batch_size)
        return (*gpu, *batches, [asdict(shape) for shape in self.shapes])

    def build(self, onnx: Path, folder: Path, timings: Path) -> None:
        """Write ``model.plan`` and ``network.json``, the types of the network's products before the build."""
        host, content = self.host, onnx.read_bytes()
        cache = TimingCache(timings / f"{host.tensorrt}.{host.plan_name}.timing")

        def configured(config: tensorrt.IBuilderConfig) -> None:
            configure(host.trt, config, self.spec.engine.tensorrt)
            cache.attach(host.trt, config)
            host.configure(config)

        products = network_types(host.trt, content)
        check_network(self.spec.engine.precision, products)
        (folder / "network.json").write_text(json.dumps(products))
        plan = plan_from_onnx(host.trt, content, self.profiles, configure=configured)
        cache.save()
        (folder / "model.plan").write_bytes(plan)

    def prove(self, plan: Path, fp32: Path, original: Original, samples: Samples, labels: Sequence[int]) -> dict[str, Any]:
        """Read, verify and measure the plan on the GPU; what its manifest entry says.

        Raises SmithError where it is not of its precision or answers with what is no number. Whether its answers pass the
        gate is for the caller to say, from ``gate``.
        """
        host, engine, options = self.host, self.spec.engine, self.spec.engine.tensorrt
        if host.trt.__name__.partition(".")[0] not in MODULES:
            what = f"{host.trt.__name__} builds plans of another format, which Triton cannot load"
            raise SmithError(what, where="--target tensorrt", fix="use TensorRT itself")
        from tritonsmith_build.gpu.running import PlanRunner, reference_of

        run, reference = PlanRunner(host.trt, plan.read_bytes(), self.profiles), reference_of(original)
        found = shares(layers_of(host.trt, run.engine))
        sizes = {"plan_bytes": plan.stat().st_size, "fp32_bytes": fp32.stat().st_size}
        check_precision(engine.precision, found, **sizes, whole=not options.version_compatible)
        figures_of = FIGURES[TASKS[self.spec.task].figures]
        served = list(samples.batches(_GATE_ROWS, as_on_gpu=True))
        expected, actual = (np.concatenate([counted(answer(batch), batch) for batch in served]) for answer in (reference, run))
        rows = sorted({1, engine.best_batch_size, engine.max_batch_size})
        shaped = {(count, shape.name): samples.at(count, shape) for shape in self.shapes for count in rows}
        return {
            "tensorrt": host.tensorrt,
            "gpu": host.gpu.name,
            "driver": host.gpu.driver,
            "driver_at_least": host.driver_at_least,
            "version_compatible": options.version_compatible,
            "hardware_compatible": options.hardware_compatible,
            **found,
            **sizes,
            "gate": {"items": len(samples), **figures_of(expected, actual, labels, self.facts)},
            "verify": compare(run, reference, shaped, lambda wanted, given: figures_of(wanted, given, [], self.facts)),
            "speed": measure(run, shaped),
        }
