"""Further models beside the good ones, as small as a question needs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lintplace import added

IO = 'input { name: "IN" data_type: TYPE_FP32 dims: [2] }\noutput { name: "OUT" data_type: TYPE_FP32 dims: [2] }\n'
PYTHON = "class TritonPythonModel: ...\n"


def lone(text: str, *, io: str = IO, file: str = "model.py", **more: str) -> Callable[[Path], None]:
    """A model that no ensemble uses, with a version folder and perhaps ``configs/cpu.pbtxt``."""
    files = {"lone/config.pbtxt": f'name: "lone"\n{io}{text}', f"lone/1/{file}": PYTHON}
    return added(files | {f"lone/configs/{name}.pbtxt": f'name: "lone"\n{other}' for name, other in more.items()})


def ensemble(name: str, steps: Sequence[tuple[str, str, str]], dims: str = "[2]") -> dict[str, str]:
    """An ensemble from X to Y, FP32 both; each step is a model and the tensors it takes and gives."""
    keys = {"sentiment_classify": ("logits", "SCORE"), **dict.fromkeys(("chain", "ring"), ("X", "Y"))}
    listed = ""
    for model, taken, given in steps:
        takes, gives = keys.get(model, ("IN", "OUT"))
        maps = f'input_map {{ key: "{takes}" value: "{taken}" }} output_map {{ key: "{gives}" value: "{given}" }}'
        listed += f'  step {{ model_name: "{model}" model_version: 1 {maps} }}\n'
    text = (
        f'name: "{name}"\nplatform: "ensemble"\nmax_batch_size: 32\ninput {{ name: "X" data_type: TYPE_FP32 dims: {dims} }}\n'
        f'output {{ name: "Y" data_type: TYPE_FP32 dims: {dims} }}\nensemble_scheduling {{\n{listed}}}\n'
    )
    return {f"{name}/config.pbtxt": text, f"{name}/1/.gitkeep": ""}


def chain(*steps: tuple[str, str]) -> dict[str, str]:
    """An ensemble of classifiers, from logits to scores and on."""
    return ensemble("chain", [("sentiment_classify", *step) for step in steps])


def joined(*models: str, dims: str = "[2]") -> dict[str, str]:
    """An ensemble of ``plain`` models, one after the other."""
    names = ["X", *(f"T{index}" for index in range(1, len(models))), "Y"]
    return ensemble("joined", list(zip(models, names, names[1:], strict=False)), dims)


BATCHED = "max_batch_size: 32 dynamic_batching { default_queue_policy { max_queue_size: 9 } }"


def plain(name: str, taken: str, given: str, rest: str = BATCHED, **more: str) -> dict[str, str]:
    """A Python model of one FP32 input and one output; ``more`` are files of its version folder."""
    text = (
        f'name: "{name}"\nbackend: "python"\n{rest}\ninput {{ name: "IN" data_type: TYPE_FP32 dims: {taken} }}\n'
        f'output {{ name: "OUT" data_type: TYPE_FP32 dims: {given} }}\n'
    )
    return {
        f"{name}/config.pbtxt": text,
        f"{name}/1/model.py": PYTHON,
        **{f"{name}/1/{key}.json": value for key, value in more.items()},
    }
