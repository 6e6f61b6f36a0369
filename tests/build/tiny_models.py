"""Tiny models with random weights from fixed seeds, in folders as ``save_pretrained`` writes real ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import ByteLevelBPETokenizer, Tokenizer
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.models import Unigram, WordPiece
from tokenizers.normalizers import NFKC, Lowercase
from tokenizers.pre_tokenizers import Metaspace, Whitespace
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import UnigramTrainer, WordPieceTrainer
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging

logging.disable_progress_bar()

HIDDEN, FEED_FORWARD, LAYERS = 32, 48, 2  # unequal, so that the shape of a weight tells which layer it belongs to
POSITIONS = 64
SPREAD = 0.25  # of the weights: with BERT's 0.02 all texts would get nearly the same answer, and nothing could be wrong

_LEXICON = (
    "a the film plot actor ending song this was is were quite never truly good bad dull bright warm cold slow sharp "
    "lovely awful funny sad great weak strong and but yet then again still more less"
)
WORDS = _LEXICON.split()


def sentences(count: int, *, seed: int = 0, longest: int = 12) -> list[str]:
    """Texts of 2 to ``longest`` words, the same for the same seed."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.randint(2, longest))) + "." for _ in range(count)]


@cache
def _wordpiece_vocabulary() -> dict[str, int]:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = Lowercase(), Whitespace()
    tokenizer.train_from_iterator(sentences(200, seed=1), WordPieceTrainer(vocab_size=400, special_tokens=special))
    return tokenizer.get_vocab()


@cache
def _byte_level_model() -> Any:
    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(sentences(200, seed=1), vocab_size=320, special_tokens=special)
    return json.loads(tokenizer.to_str())["model"]


def _bert_tokenizer(**options: Any) -> PreTrainedTokenizerBase:
    return transformers.BertTokenizerFast(vocab=_wordpiece_vocabulary(), **options)


def _distilbert_tokenizer(**options: Any) -> PreTrainedTokenizerBase:
    return transformers.DistilBertTokenizerFast(vocab=_wordpiece_vocabulary(), **options)


def _roberta_tokenizer(**options: Any) -> PreTrainedTokenizerBase:
    model = _byte_level_model()
    return transformers.RobertaTokenizerFast(vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], **options)


def _modernbert_tokenizer(**options: Any) -> PreTrainedTokenizerBase:
    """Byte-level words between ``[CLS]`` and ``[SEP]``, and no token types."""
    tokenizer = ByteLevelBPETokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(sentences(200, seed=1), vocab_size=320, special_tokens=special)
    backend = Tokenizer.from_str(tokenizer.to_str())
    ends = [(name, special.index(name)) for name in ("[CLS]", "[SEP]")]
    backend.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {f"{name.strip('[]').lower()}_token": name for name in special}
    made: PreTrainedTokenizerBase = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, model_input_names=["input_ids", "attention_mask"], **(names | options)
    )
    return made


@cache
def _unigram_tokenizer_file() -> str:
    """Words that begin with a space, in pieces by their likelihood, as SentencePiece makes them."""
    tokenizer = Tokenizer(Unigram())
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = NFKC(), Metaspace(), MetaspaceDecoder()
    special = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"]
    trainer = UnigramTrainer(vocab_size=220, special_tokens=special, unk_token="<unk>")
    tokenizer.train_from_iterator(sentences(300, seed=1), trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B:1 </s>:1", special_tokens=[("<s>", 2), ("</s>", 3)]
    )
    return tokenizer.to_str()


def _unigram_tokenizer(**options: Any) -> PreTrainedTokenizerBase:
    names = {"pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"}
    made: PreTrainedTokenizerBase = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_unigram_tokenizer_file()), **(names | options)
    )
    return made


_ENDS: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}


def _sized(config: Any, vocabulary: int, **options: Any) -> Any:
    """A configuration of BERT's kin with this file's sizes."""
    return config(
        vocab_size=vocabulary,
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        initializer_range=SPREAD,
        **({"max_position_embeddings": POSITIONS} | options),
    )


def _electra_config(**options: Any) -> Any:
    return _sized(transformers.ElectraConfig, len(_wordpiece_vocabulary()), embedding_size=24, **options)


def _mpnet_config(**options: Any) -> Any:
    sizes = {"max_position_embeddings": POSITIONS + 2, "pad_token_id": 0}
    return _sized(transformers.MPNetConfig, len(_wordpiece_vocabulary()), **sizes, **options)


def _albert_config(**options: Any) -> Any:
    return _sized(transformers.AlbertConfig, _pieces(), embedding_size=24, **_ENDS, **options)


def _xlm_roberta_config(**options: Any) -> Any:
    sizes = {"max_position_embeddings": POSITIONS + 2, "type_vocab_size": 1}
    return _sized(transformers.XLMRobertaConfig, _pieces(), **_ENDS, **sizes, **options)


def _deberta_config(**options: Any) -> Any:
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 16, "share_att_key": True}
    kind = {"norm_rel_ebd": "layer_norm", "type_vocab_size": 0}
    return _sized(transformers.DebertaV2Config, _pieces(), **_ENDS, **relative, **kind, **options)


def _pieces() -> int:
    return Tokenizer.from_str(_unigram_tokenizer_file()).get_vocab_size()


def _bert_config(**options: Any) -> Any:
    return transformers.BertConfig(
        vocab_size=len(_wordpiece_vocabulary()),
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
        initializer_range=SPREAD,
        **options,
    )


def _distilbert_config(**options: Any) -> Any:
    return transformers.DistilBertConfig(
        vocab_size=len(_wordpiece_vocabulary()),
        dim=HIDDEN,
        hidden_dim=FEED_FORWARD,
        n_layers=LAYERS,
        n_heads=2,
        max_position_embeddings=POSITIONS,
        initializer_range=SPREAD,
        **options,
    )


def _roberta_config(**options: Any) -> Any:
    return transformers.RobertaConfig(
        vocab_size=len(_byte_level_model()["vocab"]),
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS + 2,  # the first two rows are for padding
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        initializer_range=SPREAD,
        **options,
    )


def _modernbert_config(**options: Any) -> Any:
    """One layer that attends to all tokens and one that attends to the four on each side."""
    return transformers.ModernBertConfig(
        vocab_size=320,
        hidden_size=HIDDEN,
        intermediate_size=FEED_FORWARD,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        max_position_embeddings=POSITIONS,
        local_attention=8,
        global_attn_every_n_layers=2,
        initializer_range=SPREAD,
        pad_token_id=0,
        bos_token_id=2,
        cls_token_id=2,
        eos_token_id=3,
        sep_token_id=3,
        **options,
    )


@dataclass(frozen=True)
class Family:
    """An architecture: how its configuration and its tokenizer are made, and what transformers calls its models."""

    config: Callable[..., Any]
    tokenizer: Callable[..., PreTrainedTokenizerBase]
    prefix: str


FAMILIES = {
    "bert": Family(_bert_config, _bert_tokenizer, "Bert"),
    "distilbert": Family(_distilbert_config, _distilbert_tokenizer, "DistilBert"),
    "roberta": Family(_roberta_config, _roberta_tokenizer, "Roberta"),
    "electra": Family(_electra_config, _bert_tokenizer, "Electra"),
    "mpnet": Family(_mpnet_config, _distilbert_tokenizer, "MPNet"),
    "albert": Family(_albert_config, _unigram_tokenizer, "Albert"),
    "xlm_roberta": Family(_xlm_roberta_config, _unigram_tokenizer, "XLMRoberta"),
    "deberta": Family(_deberta_config, _unigram_tokenizer, "DebertaV2"),
    "modernbert": Family(_modernbert_config, _modernbert_tokenizer, "ModernBert"),
}


def save(folder: Path, head: str, family: str = "bert", *, seed: int = 0, tokenizer: Any = None, **config: Any) -> Path:
    """``<Prefix><head>`` with random weights and a real tokenizer, in ``folder``."""
    row = FAMILIES[family]
    torch.manual_seed(seed)
    model: PreTrainedModel = getattr(transformers, row.prefix + head)(row.config(**config))
    model.save_pretrained(folder)
    row.tokenizer(**(tokenizer or {})).save_pretrained(folder)
    return folder


def save_classifier(
    folder: Path, family: str = "bert", labels: Sequence[str] = ("BAD", "GOOD"), *, seed: int = 0, **config: Any
) -> Path:
    """A sequence classifier whose classes have these names."""
    names = dict(enumerate(labels))
    ids = {name: index for index, name in names.items()}
    return save(folder, "ForSequenceClassification", family, seed=seed, id2label=names, label2id=ids, **config)


ENTITIES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def save_token_classifier(folder: Path, family: str = "bert", labels: Sequence[str] = ENTITIES, **options: Any) -> Path:
    """A classifier of tokens whose classes have these names."""
    names = dict(enumerate(labels))
    ids = {name: index for index, name in names.items()}
    return save(folder, "ForTokenClassification", family, id2label=names, label2id=ids, **options)


def save_encoder(folder: Path, family: str = "bert", **options: Any) -> Path:
    """A model without any head."""
    return save(folder, "Model", family, **options)


def level(layer: Any, logits: torch.Tensor) -> None:
    """Shift and scale a last layer, of whose answers ``[n, labels]`` are some: each label comes first as often as others.

    Most are decided clearly, so that an answer can be wrong.
    """
    with torch.no_grad():
        scale = 3 / logits.std(dim=0).clamp(min=1e-3)
        layer.weight *= scale.reshape(-1, *(1 for _ in layer.weight.shape[1:]))
        layer.bias.copy_((layer.bias - logits.mean(dim=0)) * scale)


def level_classifier(folder: Path, texts: Sequence[str]) -> None:
    """``level`` the head of a classifier of texts."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        logits = model(**tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")).logits
    linear = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    level([layer for layer in linear if layer.out_features == model.config.num_labels][-1], logits)
    model.save_pretrained(folder)


IMAGE = (3, 32, 32)
_SIZES: dict[str, Any] = {
    "hidden_size": HIDDEN,
    "intermediate_size": FEED_FORWARD,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "attn_implementation": "eager",
}
_PIXELS: dict[str, Any] = {"image_size": IMAGE[-1], "patch_size": 8}


def vit(*, seed: int = 0) -> PreTrainedModel:
    """An image classifier of three classes, for images of the shape ``IMAGE``."""
    config = transformers.ViTConfig(**_SIZES, **_PIXELS, num_labels=3, initializer_range=SPREAD)
    transformers.set_seed(seed)
    return transformers.ViTForImageClassification(config).eval()


def clip_vision(*, seed: int = 0) -> PreTrainedModel:
    """CLIP's image tower with its projection. CLIP's own spread of the weights tells images apart."""
    transformers.set_seed(seed)
    return transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**_SIZES, **_PIXELS, projection_dim=24)
    ).eval()


def clip_text(*, seed: int = 0) -> PreTrainedModel:
    """CLIP's text tower with its projection; ids below 200, a text ends at its first 3."""
    ends: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    config = transformers.CLIPTextConfig(**_SIZES, **ends, vocab_size=200, max_position_embeddings=POSITIONS, projection_dim=24)
    transformers.set_seed(seed)
    return transformers.CLIPTextModelWithProjection(config).eval()


def edit_json(file: Path, **changes: Any) -> None:
    """Set keys of a JSON file, which is made where there is none; None takes a key out."""
    content = json.loads(file.read_text()) if file.is_file() else {}
    content.update(changes)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def balance(folder: Path, texts: Sequence[str]) -> None:
    """Shift a two-class head's bias so that the classes share ``texts`` evenly: many decisions are close, none is a tie."""
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        logits = model(**tokenizer(list(texts), padding=True, return_tensors="pt")).logits
        margins = (logits[:, 1] - logits[:, 0]).sort().values
        middle = len(texts) // 2
        model.classifier.bias[1] -= (margins[middle - 1] + margins[middle]) / 2
    model.save_pretrained(folder)
