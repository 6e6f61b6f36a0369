"""The tensors between an ensemble's steps: each has one giver and at least one taker, and no step waits for itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from tritonsmith_build.lint.check_steps import unmapped_inputs
from tritonsmith_build.lint.contents import ConfigFile, Step, View
from tritonsmith_build.lint.finding import Finding
from tritonsmith_build.lint.rules import found


def flow(view: View) -> Iterator[Finding]:
    """Of every ensemble."""
    for _, file, steps in view.ensembles():
        if not all(step.message.input_map and step.message.output_map for step in steps):
            continue  # said already, and everything else would follow from it
        inputs = [tensor.name for tensor in file.config.input]
        givers: dict[str, int | None] = dict.fromkeys(inputs)
        yield from _twice(file, steps, givers)
        lacking = [*_dangling(file, steps, givers), *_outputs(file, givers)]
        yield from lacking
        # What looks unused is most likely what was misspelt or left out where it is missing.
        if not lacking and not any(unmapped_inputs(step) for step in steps):
            yield from _unused(file, steps)
        yield from _cycle(file, steps, givers)


def _twice(file: ConfigFile, steps: Sequence[Step], givers: dict[str, int | None]) -> Iterator[Finding]:
    """Note which step gives each tensor, and say where two do; None is the ensemble's caller."""
    for step in steps:
        for key, tensor in sorted(step.message.output_map.items()):
            if tensor in givers:
                giver = givers[tensor]
                other = "an input of the ensemble" if giver is None else f"given by step {giver}"
                hangs = "; Triton loads this, and every request hangs" if giver is None else ""
                message = f"tensor {tensor} is {other} already{hangs}"
                field = f"{step.field}.output_map[{key}]"
                yield found("tensor-produced-twice", file.path, field, message, "give it a name of its own")
            else:
                givers[tensor] = step.index


def _dangling(file: ConfigFile, steps: Sequence[Step], givers: Mapping[str, int | None]) -> Iterator[Finding]:
    for step in steps:
        for key, tensor in sorted(step.message.input_map.items()):
            if tensor not in givers:
                message = f"no step gives tensor {tensor}, and it is no input of the ensemble"
                fix = _meant(tensor, givers)
                yield found("tensor-not-produced", file.path, f"{step.field}.input_map[{key}]", message, fix)


def _outputs(file: ConfigFile, givers: Mapping[str, int | None]) -> Iterator[Finding]:
    for index, tensor in enumerate(file.config.output):
        if tensor.name not in givers:
            message = f"no step gives output {tensor.name} of the ensemble"
            yield found("output-not-produced", file.path, f"output[{index}].name", message, _meant(tensor.name, givers))


def _unused(file: ConfigFile, steps: Sequence[Step]) -> Iterator[Finding]:
    taken = {tensor for step in steps for tensor in step.message.input_map.values()}
    for index, tensor in enumerate(file.config.input):
        if tensor.name not in taken:
            message = f"no step takes input {tensor.name}; Triton refuses that"
            fix = "map it to a step's input, or delete it"
            yield found("ensemble-input-unused", file.path, f"input[{index}].name", message, fix)
    taken |= {tensor.name for tensor in file.config.output}
    for step in steps:
        for key, name in sorted(step.message.output_map.items()):
            if name not in taken:
                message = f"no step takes tensor {name}, and it is no output of the ensemble; Triton refuses that"
                fix = f"delete the entry: a step's output may be left out of output_map ({key})"
                yield found("tensor-unused", file.path, f"{step.field}.output_map[{key}]", message, fix)


def _cycle(file: ConfigFile, steps: Sequence[Step], givers: Mapping[str, int | None]) -> Iterator[Finding]:
    waits = {step.index: {givers.get(tensor) for tensor in step.message.input_map.values()} - {None} for step in steps}
    while free := [index for index, others in waits.items() if not others & waits.keys()]:
        for index in free:
            del waits[index]
    if not waits:
        return
    ring = [min(waits)]  # every step left waits for one that is left: going back ends in a ring
    while ring.count(ring[-1]) < 2:
        ring.append(min(index for index in waits[ring[-1]] if index in waits))
    ring = ring[ring.index(ring[-1]) :]
    first = steps[min(ring)]
    names = " -> ".join(steps[index].message.model_name for index in reversed(ring))
    message = f"the steps wait for each other: {names}"
    yield found("step-cycle", file.path, f"{first.field}.input_map", message, "map an input of one of them to another tensor")


def _meant(name: str, names: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"there are: {', '.join(names)}"
