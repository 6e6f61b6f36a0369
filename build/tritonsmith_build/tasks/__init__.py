"""The tasks a pipeline can have, a module each."""

from __future__ import annotations

from tritonsmith_build.joined import Joined
from tritonsmith_build.task import Task
from tritonsmith_build.tasks import (
    audio_classification,
    automatic_speech_recognition,
    feature_extraction,
    fill_mask,
    image_classification,
    image_feature_extraction,
    image_segmentation,
    object_detection,
    question_answering,
    text_classification,
    text_ranking,
    token_classification,
    zero_shot_classification,
    zero_shot_image_classification,
)

TASKS: dict[str, Task] = {
    "text-classification": text_classification.TASK,
    "zero-shot-classification": zero_shot_classification.TASK,
    "token-classification": token_classification.TASK,
    "question-answering": question_answering.TASK,
    "fill-mask": fill_mask.TASK,
    "feature-extraction": feature_extraction.TASK,
    "text-ranking": text_ranking.TASK,
    "image-classification": image_classification.TASK,
    "image-feature-extraction": image_feature_extraction.TASK,
    "object-detection": object_detection.TASK,
    "image-segmentation": image_segmentation.TASK,
    "audio-classification": audio_classification.TASK,
    "automatic-speech-recognition": automatic_speech_recognition.TASK,
}

JOINED: dict[str, Joined] = {"zero-shot-image-classification": zero_shot_image_classification.TASK}
"""Those that several pipelines answer together."""
