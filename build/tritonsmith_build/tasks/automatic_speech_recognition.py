"""What is said in a recording."""

from __future__ import annotations

from typing import Any, Literal

from tritonsmith_build.errors import SmithError
from tritonsmith_build.modalities.sounds import SOUNDS
from tritonsmith_build.stages.beside import json_in
from tritonsmith_build.tables import AgreementGate, SoundSpec
from tritonsmith_build.task import AUDIO, SoundModel, Task, each_token, option, text

_TOKENIZER = "Wav2Vec2CTCTokenizer"


class AutomaticSpeechRecognition(SoundSpec):
    """A pipeline that writes down what is said."""

    task: Literal["automatic-speech-recognition"]
    gate: AgreementGate = AgreementGate()


def facts(model: SoundModel[AutomaticSpeechRecognition]) -> dict[str, Any]:
    """The tokens, and how they become text. Raises SmithError where more than the model decides what was said."""
    import transformers

    where, config = f"{model.spec.file}: source", model.config
    said = [json_in(model.folder / f"{name}_config.json", default={}) for name in ("preprocessor", "processor", "tokenizer")]
    if any(str(one.get("processor_class", "")).endswith("WithLM") for one in said):
        fix = "take the model without it: delete its processor_class and its folder language_model"
        raise SmithError("a language model decides beside it what was said, which is not served", where=where, fix=fix)
    tokenizer = model.load(transformers.AutoTokenizer)
    if type(tokenizer).__name__ != _TOKENIZER:
        fix = f"give a model whose tokens are one of {_TOKENIZER}'s"
        raise SmithError(f"{type(tokenizer).__name__} cannot be served", where=where, fix=fix)
    return {
        "width": config.vocab_size,
        "tokens": tuple(tokenizer.convert_ids_to_tokens(list(range(config.vocab_size)))),
        "blank": tokenizer.pad_token,
        "frame": config.inputs_to_logits_ratio,
        "delimiter": tokenizer.word_delimiter_token,
        "space": tokenizer.replace_word_delimiter_char,
        "lower_case": tokenizer.do_lower_case,
    }


TASK = Task(
    about="what is said in a recording, and when",
    modality=SOUNDS,
    spec=AutomaticSpeechRecognition,
    facts=facts,
    auto_model="AutoModelForCTC",
    inputs=(AUDIO,),
    engine_output="frame_logits",
    output_dims=each_token,
    figures="decisions",
    step="transcribe",
    answers=lambda facts: (text("TRANSCRIPT"), text("CHUNKS")),
    step_settings=lambda facts: {
        "tokens": list(facts.tokens),
        "blank": facts.blank,
        "frame": facts.frame,
        "rate": facts.rate,
        "delimiter": facts.delimiter,
        "space": facts.space,
        "lower_case": facts.lower_case,
    },
    options=(option("RETURN_TIMESTAMPS"),),
)
