"""sentence-transformers as a custom runtime of MLServer."""

import os

import torch
from mlserver import MLModel
from mlserver.types import InferenceRequest, InferenceResponse, ResponseOutput
from sentence_transformers import SentenceTransformer


class Embedder(MLModel):
    """One row is a request's list of texts, so that requests of any length batch; the answer's row is its vectors."""

    async def load(self) -> bool:
        """Load the model."""
        torch.set_num_threads(int(os.environ["THREADS"]))
        self.model = SentenceTransformer(os.environ["MODEL"], device="cpu")
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The vectors of the texts of all rows."""
        rows = payload.inputs[0].data.root
        texts = [text for row in rows for text in row]
        vectors = iter(self.model.encode(texts, batch_size=8, normalize_embeddings=True, show_progress_bar=False).tolist())
        answers = [[next(vectors) for _ in row] for row in rows]
        output = ResponseOutput(name="embeddings", shape=[len(rows)], datatype="FP32", data=answers)
        return InferenceResponse(model_name=self.name, outputs=[output])
