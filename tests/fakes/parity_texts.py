"""The tasks on texts: their models, what they are asked, and who says what is right."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from parity import Case, of_transformers
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.models import Normalize, Pooling, Transformer
from tiny_images import save_images
from tiny_models import ENTITIES, FAMILIES, POSITIONS, WORDS, level_classifier, save, sentences
from transformers import AutoModel, AutoModelForQuestionAnswering, AutoTokenizer

WILD = ["😊 the film 😊", "电影 was good", "naïve café ending", "الفيلم was bad", "  The PLOT,\twas warm…  "]
TEXTS = [*sentences(8, seed=7), *WILD, " ".join(WORDS * 140)[:30_000]]  # the last of some 5,000 words
GRADES = ("LOW", "MIDDLE", "HIGH", "TOP")
NLI = ("contradiction", "neutral", "entailment")


def with_head(head: str, labels: Sequence[str] = (), *, leveled: bool = False) -> Callable[[Path, str, int], object]:
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: at for at, name in enumerate(labels)}} if labels else {}

    def make(folder: Path, family: str, seed: int) -> object:
        saved = save(folder, head, family, seed=seed, tokenizer={"model_max_length": POSITIONS}, **named)
        if leveled:
            level_classifier(saved, TEXTS)
        return saved

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


def of_sentence_transformers(**fixed: Any) -> Callable[[Path], Callable[..., Any]]:
    def reference(folder: Path) -> Callable[..., Any]:
        model = SentenceTransformer(str(folder), device="cpu", **fixed)
        return model.encode

    return reference


def clip(folder: Path, family: str, seed: int) -> object:
    """Both towers, an image processor and a tokenizer whose last token ends a text."""
    save_images(folder, "Model", family, seed=seed)
    return FAMILIES["bert"].tokenizer(model_max_length=POSITIONS).save_pretrained(folder)


def of_tower(folder: Path) -> Callable[..., Any]:
    """A model of texts and images, asked for its texts' vectors one by one: padding must not matter."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)

    def vector(text: str) -> Any:
        tokens = tokenizer(text, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            output = model.get_text_features(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"])
        return output.pooler_output[0].numpy()

    return lambda items: np.stack([vector(text) for text in ([items] if isinstance(items, str) else items)])


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


TEXT_CASES = [
    *(
        Case("text-classification", family, with_head("ForSequenceClassification", GRADES, leveled=True),
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
             ({}, {"top_k": 2}, {"targets": ["good", "bad", "plot", "brighter"]}), bad="no mask here")
        for family, token in (("bert", "[MASK]"), ("roberta", "<mask>"))
    ),
    Case("feature-extraction", "mpnet", embedder("mean", normalized=True), of_sentence_transformers(), TEXTS,
         ({}, {"prompt_name": "query"})),
    Case("feature-extraction", "electra", embedder("max"), of_sentence_transformers(truncate_dim=10), TEXTS,
         ({}, {"prompt_name": "passage"}), spec="[output]\ntruncate_dim = 10\n"),
    Case("feature-extraction", "xlm_roberta", embedder("lasttoken"), of_sentence_transformers(), TEXTS),
    Case("feature-extraction", "bert", embedder("cls", normalized=True), of_sentence_transformers(truncate_dim=7), TEXTS,
         spec="[output]\ntruncate_dim = 7\n"),
    Case("feature-extraction", "clip", clip, of_tower, TEXTS),
    *(
        Case("text-ranking", family, with_head("ForSequenceClassification", ("SCORE",)), of_cross_encoder, QUERIES,
             ({}, {"top_k": 3, "return_documents": True}), bad={"query": "what", "documents": ["good", ""]})
        for family in ("bert", "xlm_roberta")
    ),
]  # fmt: skip
