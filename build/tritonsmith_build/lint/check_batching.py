"""The dynamic batcher and its queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tritonsmith_build.lint.backends import BACKENDS, backend_of, is_ensemble
from tritonsmith_build.lint.contents import ConfigFile, Model, Step, View
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found

LONG_DELAY_US = 1_000_000


def batching(model: Model, file: ConfigFile) -> Iterator[Finding]:
    """Requests can share a batch, and soon."""
    config = file.config
    if is_ensemble(config):
        return
    if config.HasField("dynamic_batching"):
        yield from _batcher(file)
        yield from _delay(file)
    elif config.max_batch_size > 1 and not config.HasField("sequence_batching"):
        if backend_of(config, model.versions.values()) not in BACKENDS:
            return  # a backend of one's own may well batch by itself
        message = f"max_batch_size is {config.max_batch_size}, but without dynamic_batching each request runs by itself"
        fix = "add dynamic_batching { }, or write max_batch_size: 1 where batches do not pay"
        yield found("no-dynamic-batching", file.path, "dynamic_batching", message, fix)


def _batcher(file: ConfigFile) -> Iterator[Finding]:
    batcher, most = file.config.dynamic_batching, file.config.max_batch_size
    if most == 0:
        message = "max_batch_size is 0, so there are no batches to make"
        fix = "write max_batch_size and take the batch dimension out of dims, or delete dynamic_batching"
        yield found("batching-without-batches", file.path, "dynamic_batching", message, fix)
        return
    for index, size in enumerate(batcher.preferred_batch_size):
        if not 1 <= size <= most:
            message = f"a batch of {size} is preferred, max_batch_size is {most}"
            fix = f"write a size from 1 to {most}; without the list Triton makes batches as large as it can"
            yield found("preferred-batch-size", file.path, f"dynamic_batching.preferred_batch_size[{index}]", message, fix)


def queues(view: View) -> Iterator[Finding]:
    """A queue has an end where callers fill it: directly, or through steps that let in whatever comes."""
    steps_of = [(file, steps) for _, file, steps in view.ensembles()]
    sheltered = {step.message.model_name for _, steps in steps_of for step in steps}
    sheltered -= {model for file, steps in steps_of for model in _filled_by_callers(file, steps)}
    for name, file in view.configs.items():
        config = file.config
        if name in sheltered or not config.HasField("dynamic_batching") or not config.max_batch_size or _limited(file):
            continue
        message = "the queue has no limit: under overload every caller waits longer and longer"
        fix = "write max_queue_size, so that one request too many is refused at once"
        yield found("unbounded-queue", file.path, "dynamic_batching.default_queue_policy.max_queue_size", message, fix)


def _filled_by_callers(file: ConfigFile, steps: Sequence[Step]) -> set[str]:
    """Models of steps that get as much as an ensemble's callers send: they wait for no step whose queue has an end."""
    unlimited = {tensor.name for tensor in file.config.input}
    filled: set[int] = set()
    while more := [step for step in steps if step.index not in filled and unlimited >= {*step.message.input_map.values()}]:
        filled |= {step.index for step in more}
        unlimited |= {tensor for step in more if not _limited(step.file) for tensor in step.message.output_map.values()}
    return {step.message.model_name for step in steps if step.index in filled}


def _limited(file: ConfigFile | None) -> bool:
    return file is not None and file.config.dynamic_batching.default_queue_policy.max_queue_size > 0


def _delay(file: ConfigFile) -> Iterator[Finding]:
    delay, most = file.config.dynamic_batching.max_queue_delay_microseconds, file.config.max_batch_size
    field = "dynamic_batching.max_queue_delay_microseconds"
    if delay > LONG_DELAY_US:
        message = f"a request may wait {delay / 1e6:g} s for others to join it"
        yield found("queue-delay-long", file.path, field, message, "the unit is microseconds; 100 to 10000 are usual")
    elif delay and most == 1:
        message = f"requests wait {delay} µs for company, but max_batch_size {most} lets none join"
        yield found("queue-delay-useless", file.path, field, message, "delete the delay, or raise max_batch_size")
