"""Every task of several families of models, built and served without touching code, answering as the libraries do."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer
from served import ROOT, Served, built_at_once, serving
from tiny_models import ENTITIES, POSITIONS, WORDS, save, sentences
from transformers import AutoModelForQuestionAnswering, AutoTokenizer, pipeline
from tritonsmith import Client, InvalidInputError
from tritonsmith.client import Pipeline
from tritonsmith_build.tasks import TASKS

PAGE = (ROOT / "docs" / "tasks.md").read_text(encoding="utf-8")
WILD = ["😊 the film 😊", "电影 was good", "naïve café ending", "الفيلم was bad", "  The PLOT,\twas warm…  "]
TEXTS = [*sentences(8, seed=7), *WILD, " ".join(WORDS * 140)[:30_000]]  # the last of some 5,000 words
NLI = ("contradiction", "neutral", "entailment")


@dataclass(frozen=True)
class Case:
    """One pipeline: how its model is made, what it is asked, and who says what is right."""

    task: str
    family: str
    make: Callable[[Path, str, int], object]
    reference: Callable[[Path], Callable[..., Any]]
    items: Sequence[Any]
    options: Sequence[dict[str, Any]] = ({},)
    spec: str = ""
    bad: Any = field(default="  ")
    """An item that is refused."""

    @property
    def name(self) -> str:
        return f"{self.family}_{self.task.replace('-', '_')}"


def with_head(head: str, labels: Sequence[str] = ()) -> Callable[[Path, str, int], object]:
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: at for at, name in enumerate(labels)}} if labels else {}

    def make(folder: Path, family: str, seed: int) -> object:
        return save(folder, head, family, seed=seed, tokenizer={"model_max_length": POSITIONS}, **named)

    return make


def embedder(mode: str, *, normalized: bool = False) -> Callable[[Path, str, int], object]:
    """A model as sentence-transformers itself saves it, with prompts."""

    def make(folder: Path, family: str, seed: int) -> object:
        plain = save(
            folder.with_name(folder.name + "_plain"), "Model", family, seed=seed, tokenizer={"model_max_length": POSITIONS}
        )
        encoder = Transformer(str(plain), max_seq_length=POSITIONS)
        modules = [encoder, Pooling(encoder.get_word_embedding_dimension(), mode), *([Normalize()] if normalized else [])]
        prompts = {"query": "what film was this: ", "passage": "the plot: "}
        SentenceTransformer(modules=modules, prompts=prompts, device="cpu").save(str(folder))
        return folder

    return make


def of_transformers(task: str, **fixed: Any) -> Callable[[Path], Callable[..., Any]]:
    def reference(folder: Path) -> Callable[..., Any]:
        pipe = pipeline(task, model=str(folder))
        return lambda items, **options: pipe(items, **fixed, **options)

    return reference


def of_sentence_transformers(**fixed: Any) -> Callable[[Path], Callable[..., Any]]:
    def reference(folder: Path) -> Callable[..., Any]:
        model = SentenceTransformer(str(folder), device="cpu", **fixed)
        return model.encode

    return reference


def of_cross_encoder(folder: Path) -> Callable[..., Any]:
    model = CrossEncoder(str(folder), device="cpu")

    def rank(items: Any, **options: Any) -> Any:
        if isinstance(items, dict):
            return model.rank(items["query"], items["documents"], **options)
        return [rank(item, **options) for item in items]

    return rank


def of_span_search(folder: Path) -> Callable[..., Any]:
    """The best spans by trying all of them, window by window: transformers 5 has no pipeline for it."""
    model, tokenizer = AutoModelForQuestionAnswering.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)

    def answers(item: dict[str, str], top_k: int, max_answer_len: int, handle_impossible_answer: bool) -> list[dict[str, Any]]:
        windows = tokenizer(
            item["question"], item["context"], truncation="only_second", max_length=POSITIONS, stride=POSITIONS // 2,
            return_overflowing_tokens=True, return_offsets_mapping=True,
        )  # fmt: skip
        found: dict[tuple[int, int], float] = {}
        nothing = 1.0
        for number, ids in enumerate(windows["input_ids"]):
            encoding = windows.encodings[number]
            inputs = {name: torch.tensor([windows[name][number]]) for name in tokenizer.model_input_names}
            with torch.inference_mode():
                output = model(**inputs)
            inside = [index for index in range(len(ids)) if encoding.token_to_sequence(index) == 1]
            allowed = [0, *inside]
            begins = dict(zip(allowed, torch.softmax(output.start_logits[0][allowed], 0).tolist(), strict=True))
            ends = dict(zip(allowed, torch.softmax(output.end_logits[0][allowed], 0).tolist(), strict=True))
            nothing = min(nothing, begins[0] * ends[0])
            for start, end in itertools.product(inside, inside):
                if start <= end < start + max_answer_len:
                    first = encoding.word_to_chars(encoding.token_to_word(start), 1)[0]
                    last = encoding.word_to_chars(encoding.token_to_word(end), 1)[1]
                    found[first, last] = max(found.get((first, last), 0.0), begins[start] * ends[end])
        made = [{"score": score, "start": a, "end": b, "answer": item["context"][a:b]} for (a, b), score in found.items()]
        if handle_impossible_answer:
            made.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
        return sorted(made, key=lambda answer: -answer["score"])[:top_k]

    def ask(items: Any, **options: Any) -> Any:
        if isinstance(items, dict):
            best = answers(items, **{"top_k": 1, "max_answer_len": 15, "handle_impossible_answer": False} | options)
            return best if options.get("top_k", 1) > 1 else best[0]
        return [ask(item, **options) for item in items]

    return ask


CUT = {"truncation": True, "max_length": POSITIONS}
LABELS = ["film", "plot", "song", "电影", "a warm ending"]
QUESTIONS = [
    {"question": sentence, "context": context}
    for sentence, context in zip(sentences(14, seed=2, longest=5), TEXTS, strict=True)
]
QUERIES = [
    *({"query": query, "documents": TEXTS[:4] if at % 2 else TEXTS[3:]} for at, query in enumerate(sentences(6, seed=4))),
    {"query": "the film", "documents": sentences(100, seed=5)},
]


def masked(token: str) -> list[str]:
    """Each text with a mask in it, the last with two."""
    some = [f"{text.strip()} {token}." for text in TEXTS[:-1]]
    return [*some, f"the {token} was {token}"]


CASES = [
    *(
        Case("text-classification", family, with_head("ForSequenceClassification", ("LOW", "MIDDLE", "HIGH", "TOP")),
             of_transformers("text-classification", **CUT), TEXTS, ({}, {"top_k": None}))
        for family in ("bert", "distilbert", "roberta", "deberta", "albert", "electra", "mpnet", "xlm_roberta", "modernbert")
    ),
    *(
        Case("zero-shot-classification", family, with_head("ForSequenceClassification", NLI),
             of_transformers("zero-shot-classification"), TEXTS,
             [{"candidate_labels": LABELS}, {"candidate_labels": LABELS[:1]},
              {"candidate_labels": LABELS * 9, "multi_label": True, "hypothesis_template": "the {} was good"}])
        for family in ("bert", "deberta")
    ),
    *(
        Case("token-classification", family, with_head("ForTokenClassification", ENTITIES),
             of_transformers("token-classification"), TEXTS,
             [{}, *({"aggregation_strategy": name} for name in ("simple", "first", "average", "max"))])
        for family in ("electra", "xlm_roberta")
    ),
    *(
        Case("question-answering", family, with_head("ForQuestionAnswering"), of_span_search, QUESTIONS,
             ({}, {"top_k": 5, "max_answer_len": 4}, {"handle_impossible_answer": True, "top_k": 3}),
             bad={"question": "what", "context": " "})
        for family in ("distilbert", "roberta")
    ),
    *(
        Case("fill-mask", family, with_head("ForMaskedLM"), of_transformers("fill-mask"), masked(token),
             ({}, {"top_k": 2}), bad="no mask here")
        for family, token in (("bert", "[MASK]"), ("roberta", "<mask>"))
    ),
    Case("feature-extraction", "mpnet", embedder("mean", normalized=True), of_sentence_transformers(), TEXTS,
         ({}, {"prompt_name": "query"})),
    Case("feature-extraction", "electra", embedder("max"), of_sentence_transformers(truncate_dim=10), TEXTS,
         ({}, {"prompt_name": "passage"}), spec="[output]\ntruncate_dim = 10\n"),
    Case("feature-extraction", "xlm_roberta", embedder("lasttoken"), of_sentence_transformers(), TEXTS),
    Case("feature-extraction", "bert", embedder("cls", normalized=True), of_sentence_transformers(truncate_dim=7), TEXTS,
         spec="[output]\ntruncate_dim = 7\n"),
    *(
        Case("text-ranking", family, with_head("ForSequenceClassification", ("SCORE",)), of_cross_encoder, QUERIES,
             ({}, {"top_k": 3, "return_documents": True}), bad={"query": "what", "documents": ["good", ""]})
        for family in ("bert", "xlm_roberta")
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All models, and a repository for each task."""
    folder = tmp_path_factory.mktemp("parity")
    for seed, case in enumerate(CASES):
        case.make(folder / "models" / case.name, case.family, seed)
        spec = f'task = "{case.task}"\n[source]\npath = "models/{case.name}"\n{case.spec}'
        (folder / f"{case.name}.toml").write_text(spec)
    built_at_once([folder / f"{case.name}.toml" for case in CASES], folder / "repository")
    return folder


@pytest.fixture(scope="module", params=dict.fromkeys(case.task for case in CASES))
def served(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[Served, list[Case]]]:
    """A server with all pipelines of one task."""
    cases = [case for case in CASES if case.task == request.param]
    names = ",".join(case.name for case in cases)
    with serving(folder / "repository", folder / "log", "--no-cache", f"--pipelines={names}") as own:
        yield own, cases


def assert_same(actual: Any, wanted: Any) -> None:
    """The same lists of the same dictionaries; labels, places and texts exact, scores and vectors nearly."""
    if isinstance(wanted, np.ndarray):
        np.testing.assert_allclose(actual, wanted.reshape(actual.shape), atol=1e-4)
    elif isinstance(wanted, list):
        assert isinstance(actual, list)
        assert len(actual) == len(wanted)
        for one, other in zip(actual, wanted, strict=True):
            assert_same(one, other)
    elif isinstance(wanted, dict):
        assert isinstance(actual, dict)
        assert actual.keys() == wanted.keys()
        for key, value in wanted.items():
            assert_same(actual[key], value)
    elif isinstance(wanted, float | np.floating):
        assert actual == pytest.approx(float(wanted), rel=1e-3, abs=1e-5)
    else:
        assert actual == wanted


@pytest.mark.filterwarnings("ignore")
def test_answers_are_those_of_the_library(served: tuple[Served, list[Case]], folder: Path) -> None:
    own, cases = served
    for case in cases:
        reference = case.reference(folder / "models" / case.name)
        with Client(own.grpc) as client:
            pipe = client.pipeline(case.name)
            for options in case.options:
                wanted = reference(list(case.items), **options)
                assert_same(pipe(list(case.items), **options), wanted)
                assert_same(pipe(case.items[1], **options), reference(case.items[1], **options))
                with pytest.raises(AssertionError):  # the answers tell the items apart
                    assert_same(pipe(list(case.items[::-1]), **options), wanted)


def test_a_bad_item_fails_alone_and_its_neighbours_are_answered_as_ever(served: tuple[Served, list[Case]]) -> None:
    own, cases = served
    for case in cases:
        items, options = [*case.items[:6], case.bad, *case.items[6:12]], case.options[-1]
        with Client(own.http) as client, ThreadPoolExecutor(len(items)) as pool:
            pipe = client.pipeline(case.name)
            alone = [pipe(item, **options) for item in items if item is not case.bad]
            together = list(pool.map(asked, repeat(pipe), items, repeat(options)))
            error = together.pop(6)
        assert isinstance(error, InvalidInputError)
        assert error.item in (0, None)
        assert_same(together, alone)


def asked(pipe: Pipeline, item: Any, options: dict[str, Any]) -> Any:
    """The answer, or the error that refuses the item."""
    try:
        return pipe(item, **options)
    except InvalidInputError as error:
        return error


def test_the_command_line_shows_and_prints_an_answer(served: tuple[Served, list[Case]]) -> None:
    own, cases = served
    case, options = cases[0], cases[0].options[-1]
    item = case.items[1] if isinstance(case.items[1], str) else json.dumps(case.items[1], ensure_ascii=False)
    asked = [f"--option={name}={json.dumps(value, ensure_ascii=False)}" for name, value in options.items()]
    command = [sys.executable, "-m", "tritonsmith_build", "infer", case.name, item, f"--url={own.grpc}", *asked]
    printed = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout
    (answer,) = map(json.loads, printed.splitlines())
    assert answer.pop("text") == item
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.split()[1] in answer
    assert flattened(answer) == pytest.approx(flattened(ask_alone(own, case, options)), abs=1e-6)


def ask_alone(own: Served, case: Case, options: dict[str, Any]) -> Any:
    with Client(own.grpc) as client:
        return client.pipeline(case.name)(case.items[1], **options)


def flattened(answer: Any) -> list[float]:
    """Every number in it."""
    if isinstance(answer, dict):
        return [number for value in answer.values() for number in flattened(value)]
    if isinstance(answer, list | np.ndarray):
        return [number for value in answer for number in flattened(value)]
    return [float(answer)] if isinstance(answer, int | float | np.floating) else []


FAMILIES = {
    "bert": "BERT",
    "distilbert": "DistilBERT",
    "roberta": "RoBERTa",
    "xlm_roberta": "XLM-RoBERTa",
    "deberta": "DeBERTa-v2",
    "albert": "ALBERT",
    "electra": "ELECTRA",
    "mpnet": "MPNet",
    "modernbert": "ModernBERT",
}


def test_the_readme_names_the_families_and_tasks_that_are_tested_here() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"answer as transformers does:\n(.*?)\.\n", readme, flags=re.DOTALL)
    assert re.split(r", | and ", said) == list(FAMILIES.values())
    assert {case.family for case in CASES} == FAMILIES.keys()
    assert {case.task for case in CASES} == TASKS.keys()


def test_the_example_of_the_page_on_tasks_runs(served: tuple[Served, list[Case]]) -> None:
    own, cases = served
    (section,) = re.findall(rf"^## {cases[0].task}\n(.*?)(?=^## )", PAGE, flags=re.DOTALL | re.MULTILINE)
    (fence,) = re.findall(r"^```python\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)
    ours = re.sub(r'client\.pipeline\("\w+"\)', f'client.pipeline("{cases[0].name}")', fence)
    assert ours != fence
    with Client(own.http) as client:
        exec(ours, {"client": client})


def test_lint_has_nothing_to_complain_of(folder: Path) -> None:
    """The engines of other targets are not built, and that is all it notes."""
    command = [sys.executable, "-m", "tritonsmith_build", "lint", str(folder / "repository"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    findings = json.loads(done.stdout)
    assert {finding["rule"] for finding in findings} == {"artefact-not-built"}
