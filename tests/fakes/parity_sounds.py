"""The tasks on recordings: their models, files of several kinds, and transformers' own answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from parity import Case, of_transformers
from tiny_sounds import files, heard, save_sounds

RECORDINGS = files()


def with_head(head: str) -> Callable[[Path, str, int], object]:
    def make(folder: Path, family: str, seed: int) -> object:
        return save_sounds(folder, head, family, seed=seed)

    return make


def of_heard(task: str) -> Callable[[Path], Callable[..., Any]]:
    """transformers is given samples: it has no decoder for files."""

    def reference(folder: Path) -> Callable[..., Any]:
        ask = of_transformers(task)(folder)

        def answers(items: Any, **options: Any) -> Any:
            return ask(heard([items])[0] if isinstance(items, bytes) else heard(items), **options)

        return answers

    return reference


_BAD = RECORDINGS[1][:300]
_SHORT = "[input]\nmax_seconds = 8\n"
SOUND_CASES = [
    *(
        Case("audio-classification", family, with_head("AudioClassification"), of_heard("audio-classification"), RECORDINGS,
             ({}, {"top_k": 2, "function_to_apply": "sigmoid"}), bad=_BAD, spec=_SHORT)
        for family in ("wav2vec2", "hubert", "ast")
    ),
    *(
        Case("automatic-speech-recognition", family, with_head("CTC"), of_heard("automatic-speech-recognition"), RECORDINGS,
             ({}, {"return_timestamps": "char"}, {"return_timestamps": "word"}), bad=_BAD, spec=_SHORT)
        for family in ("wav2vec2", "hubert")
    ),
]  # fmt: skip
