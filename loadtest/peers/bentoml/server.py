"""sentence-transformers behind BentoML, with its adaptive batching."""

import os

import bentoml
import numpy as np
import torch
from sentence_transformers import SentenceTransformer


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Embedder:
    """The texts of the requests that wait are encoded together."""

    def __init__(self) -> None:
        torch.set_num_threads(int(os.environ["THREADS"]))
        self.model = SentenceTransformer(os.environ["MODEL"], device="cpu")

    @bentoml.api(batchable=True, max_batch_size=32)
    def embed(self, texts: list[str]) -> np.ndarray:
        """A vector a text."""
        return self.model.encode(texts, batch_size=8, normalize_embeddings=True, show_progress_bar=False)
