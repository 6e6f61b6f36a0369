"""The class of a recording."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.modalities.sounds import SOUNDS
from tritonsmith_build.tables import LabelsOutput, SoundSpec
from tritonsmith_build.task import AUDIO, SoundModel, Task, option
from tritonsmith_build.tasks.labels import ClassifyGate, activation, class_answers, class_settings, classes


class AudioClassification(SoundSpec):
    """A pipeline that names the class of a recording."""

    task: Literal["audio-classification"]
    output: LabelsOutput = LabelsOutput()
    gate: ClassifyGate = ClassifyGate()


def facts(model: SoundModel[AudioClassification]) -> dict[str, Any]:
    """The classes, and what makes scores of their logits: of a single one transformers makes 1, here alone."""
    one = model.config.num_labels == 1 and model.config.problem_type is None
    return {**classes(model), "activation": "softmax" if one else activation(model.config)}


TASK = Task(
    about="the class of a recording",
    modality=SOUNDS,
    spec=AudioClassification,
    facts=facts,
    auto_model="AutoModelForAudioClassification",
    inputs=(AUDIO,),
    engine_output="logits",
    figures="decisions",
    step="classify",
    answers=class_answers,
    step_settings=class_settings,
    options=(option("FUNCTION_TO_APPLY"),),
)
