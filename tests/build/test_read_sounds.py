"""Feature extractors are translated or refused by name, and facts are read from models of recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_models import edit_json
from tiny_sounds import LABELS, RATE, TOKENS, save_sounds, save_tokens, sounds
from tritonsmith_build.errors import SmithError
from tritonsmith_build.facts import SoundFacts
from tritonsmith_build.quiet import quiet
from tritonsmith_build.source import locate
from tritonsmith_build.stages import read_sounds
from tritonsmith_build.stages.graphs import SELECTS, SoundGraph
from tritonsmith_build.stages.hearing import Heard, OwnNorm
from tritonsmith_build.stages.read import read
from tritonsmith_build.stages.read_sounds import translated
from tritonsmith_steps.runtimes import session_from_file
from tritonsmith_steps.waves import WaveMaker, WaveSettings, waves_of
from workbench import write_spec

WAV2VEC2 = transformers.Wav2Vec2Config()
NORM_NEAR = 2e-6
EXTRACTORS = {
    "wave": transformers.Wav2Vec2FeatureExtractor(),
    "wave as it is": transformers.Wav2Vec2FeatureExtractor(do_normalize=False),
    "bands": transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32),
}


@pytest.mark.parametrize("name", EXTRACTORS)
def test_a_translated_extractor_makes_the_same_values(name: str) -> None:
    extractor = EXTRACTORS[name]
    make = WaveMaker(WaveSettings(max_bytes=1, max_seconds=9, **translated(extractor, WAV2VEC2, where="here")))
    for sound in sounds():
        expected = extractor(sound, sampling_rate=RATE, return_tensors="np")["input_values"][0]
        np.testing.assert_allclose(make(sound), expected, atol=1e-4)


class _Louder(transformers.Wav2Vec2FeatureExtractor):  # type: ignore[misc]
    def __call__(self, sound: Any, **options: Any) -> Any:
        made = super().__call__(sound, **options)
        return {"input_values": made["input_values"] * 1.001}


_Louder.__name__ = "Wav2Vec2FeatureExtractor"


@pytest.mark.parametrize(
    ("extractor", "config", "reason"),
    [
        (transformers.WhisperFeatureExtractor(), WAV2VEC2, "only Wav2Vec2FeatureExtractor and ASTFeatureExtractor are known"),
        (_Louder(), WAV2VEC2, r"its values differ by 0\.01"),
        (EXTRACTORS["wave"], transformers.BertConfig(), "bert does not say how it hears waves"),
    ],
    ids=["unknown", "other values", "other model"],
)
def test_what_a_step_cannot_do_is_refused_by_the_extractors_name(extractor: Any, config: Any, reason: str) -> None:
    name = type(extractor).__name__
    with pytest.raises(SmithError, match=rf"^here: {name} cannot be translated: {reason}; use a model that takes waves"):
        translated(extractor, config, where="here")


def facts_of(folder: Path, task: str, **tables: Any) -> SoundFacts:
    spec = write_spec(folder, "heard", task=task, **tables)
    (folder / "read").mkdir()
    read(spec, locate(spec), folder / "read")
    return SoundFacts.model_validate(json.loads((folder / "read" / "facts.json").read_text()))


def test_a_classifier_of_waves_says_its_labels_and_how_it_hears(tmp_path: Path) -> None:
    save_sounds(tmp_path / "model", "AudioClassification", "wav2vec2")
    facts = facts_of(tmp_path, "audio-classification")
    assert (facts.labels, facts.activation, facts.width) == (LABELS, "softmax", 5)
    assert (facts.rate, facts.zero_mean, facts.bands) == (RATE, True, None)
    assert (facts.max_seconds, facts.buckets) == (30, (1, 2, 4, 8, 16, 30))


def test_the_fewest_samples_that_a_model_hears_anything_in_are_known(tmp_path: Path) -> None:
    save_sounds(tmp_path / "model", "AudioClassification", "hubert")
    least = facts_of(tmp_path, "audio-classification", input={"buckets": [1, 5], "max_seconds": 5}).least
    model = transformers.AutoModelForAudioClassification.from_pretrained(tmp_path / "model").eval()
    assert model(torch.zeros(1, least)).logits.shape == (1, 5)
    with pytest.raises(RuntimeError):
        model(torch.zeros(1, least - 1))


def test_a_model_of_bands_has_one_shape_and_no_buckets(tmp_path: Path) -> None:
    save_sounds(tmp_path / "model", "AudioClassification", "ast")
    facts = facts_of(tmp_path, "audio-classification")
    assert (facts.bands, facts.frames, facts.least, facts.buckets) == (64, 128, 400, ())
    assert facts.mean == -6.0


def test_a_recognizer_says_its_tokens_and_how_they_become_text(tmp_path: Path) -> None:
    save_sounds(tmp_path / "model", "CTC", "wav2vec2")
    save_tokens(tmp_path / "model", do_lower_case=True, replace_word_delimiter_char="_")
    facts = facts_of(tmp_path, "automatic-speech-recognition")
    assert (facts.tokens, facts.blank, facts.delimiter) == (TOKENS, "<pad>", "|")
    assert (facts.space, facts.lower_case, facts.frame, facts.width) == ("_", True, 320, len(TOKENS))


def test_a_language_model_beside_it_is_refused(tmp_path: Path) -> None:
    save_sounds(tmp_path / "model", "CTC", "wav2vec2")
    edit_json(tmp_path / "model" / "preprocessor_config.json", processor_class="Wav2Vec2ProcessorWithLM")
    with pytest.raises(SmithError, match=r"source: a language model decides beside it what was said, which is not served; "):
        facts_of(tmp_path, "automatic-speech-recognition")


def test_a_tokenizer_of_another_kind_is_refused_by_name(tmp_path: Path) -> None:
    save_sounds(tmp_path / "model", "CTC", "wav2vec2")
    edit_json(tmp_path / "model" / "tokenizer_config.json", tokenizer_class="Wav2Vec2PhonemeCTCTokenizer")
    with pytest.raises(SmithError, match=r"Wav2Vec2PhonemeCTCTokenizer"):
        facts_of(tmp_path, "automatic-speech-recognition")


def test_bands_that_the_model_does_not_take_are_refused(tmp_path: Path) -> None:
    save_sounds(tmp_path / "model", "AudioClassification", "ast")
    edit_json(tmp_path / "model" / "preprocessor_config.json", max_length=64)
    with pytest.raises(SmithError, match=r"^.*source: ASTForAudioClassification does not answer as its task needs \(.*"):
        facts_of(tmp_path, "audio-classification")


def test_a_model_that_answers_otherwise_in_company_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_sounds(tmp_path / "model", "AudioClassification", "wav2vec2")
    monkeypatch.setattr("tritonsmith_build.stages.graphs.hear_apart", lambda model, heard: None)
    with pytest.raises(SmithError, match=r"ForSequenceClassification answers a recording otherwise beside a longer one"):
        facts_of(tmp_path, "audio-classification")


@pytest.mark.parametrize(("family", "head"), [("wav2vec2", "CTC"), ("hubert", "CTC"), ("wav2vec2", "AudioClassification")])
def test_a_row_is_answered_as_alone_whatever_stands_beside_it(family: str, head: str, tmp_path: Path) -> None:
    save_sounds(tmp_path / "model", head, family)
    auto = getattr(transformers, f"AutoModelFor{head}")
    original, model = (auto.from_pretrained(tmp_path / "model", attn_implementation="eager").eval() for _ in range(2))
    batch = waves_of(sounds(), 4 * RATE)
    with torch.inference_mode():
        graph = SoundGraph(model, SELECTS["logits"](None))
        together = graph(**{name: torch.from_numpy(array) for name, array in batch.items()})
        for sound, row in zip(sounds(), together, strict=True):
            (alone,) = original(torch.from_numpy(sound[None])).logits
            torch.testing.assert_close(row[: len(alone)], alone, rtol=1e-4, atol=1e-4)
            assert head != "CTC" or not row[len(alone) :].any()


def test_a_row_of_padding_alone_is_answered_with_numbers(tmp_path: Path) -> None:
    save_sounds(tmp_path / "model", "AudioClassification", "wav2vec2")
    model = transformers.AutoModelForAudioClassification.from_pretrained(tmp_path / "model", attn_implementation="eager").eval()
    nothing = torch.zeros(2, RATE)
    with torch.inference_mode():
        assert SoundGraph(model, SELECTS["logits"](None))(nothing, nothing.int()).isfinite().all()


def test_a_norm_over_half_a_minute_loses_no_digits_in_the_runtime(tmp_path: Path) -> None:
    conv, heard = torch.nn.Conv1d(1, 4, kernel_size=10, stride=5), Heard([(10, 5)])
    norm = OwnNorm(torch.nn.GroupNorm(4, 4), heard).eval()

    class Alone(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = norm

        def forward(self, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            heard.samples = mask
            made: torch.Tensor = self.norm(values)
            return made

    torch.manual_seed(1)
    with torch.no_grad():
        values = conv(torch.rand(1, 1, 30 * RATE)) + 1.0  # far from its mean 0: there digits are lost
    mask, file = torch.ones(1, 30 * RATE, dtype=torch.bool), tmp_path / "norm.onnx"
    names: Any = {"input_names": ["values", "mask"], "output_names": ["made"], "opset_version": 20, "verbose": False}
    with quiet():
        torch.onnx.export(Alone(), (values, mask), file, dynamo=True, external_data=False, **names)
    (made,) = session_from_file(file).run(None, {"values": values.numpy(), "mask": mask.numpy()})
    exact = torch.nn.functional.group_norm(values.double(), 4).numpy()
    assert np.abs(made - exact).max() < NORM_NEAR


def test_each_extractor_that_is_known_is_tried_here() -> None:
    assert {type(extractor).__name__ for extractor in EXTRACTORS.values()} == read_sounds.EXTRACTORS.keys()
