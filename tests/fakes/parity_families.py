"""The families of models that are compared with the libraries, as the README names them.

``make families`` writes them there.
"""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from parity import Case
from parity_images import IMAGE_CASES
from parity_sounds import SOUND_CASES
from parity_texts import TEXT_CASES

README = Path(__file__).parents[2] / "README.md"
CASES: list[Case] = [*TEXT_CASES, *IMAGE_CASES, *SOUND_CASES]
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
    "vit": "ViT",
    "deit": "DeiT",
    "swin": "Swin",
    "convnext": "ConvNeXt",
    "clip": "CLIP",
    "siglip": "SigLIP",
    "detr": "DETR",
    "yolos": "YOLOS",
    "segformer": "SegFormer",
    "wav2vec2": "wav2vec 2.0",
    "hubert": "HuBERT",
    "ast": "AST",
}
"""As their authors write them."""
_WRITTEN = re.compile(r"(?<=answer as transformers does:\n).*?(?=\n\n)", re.DOTALL)


def with_families(readme: str) -> str:
    """The README's text, with the families of all cases where it names them."""
    *names, last = (written for family, written in FAMILIES.items() if family in {case.family for case in CASES})
    written = textwrap.fill(f"{', '.join(names)} and {last}.", 120, break_on_hyphens=False)
    return _WRITTEN.sub(written, readme, count=1)


if __name__ == "__main__":
    README.write_text(with_families(README.read_text(encoding="utf-8")), encoding="utf-8")
