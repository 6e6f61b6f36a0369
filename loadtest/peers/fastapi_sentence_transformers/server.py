"""sentence-transformers behind FastAPI; uvicorn is the server."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

torch.set_num_threads(int(os.environ["THREADS"]))
model = SentenceTransformer(os.environ["MODEL"], device="cpu")
pool = ThreadPoolExecutor(1)
app = FastAPI()


class Texts(BaseModel):
    """What a client sends."""

    texts: list[str]


class Embeddings(BaseModel):
    """A vector a text."""

    embeddings: list[list[float]]


def encode(texts: list[str]) -> list[list[float]]:
    """A vector a text."""
    return model.encode(texts, batch_size=8, normalize_embeddings=True, show_progress_bar=False).tolist()


@app.get("/health")
async def health() -> None:
    """200 once the model is loaded."""


@app.post("/embed")
async def embed(request: Texts) -> Embeddings:
    """Computes beside the event loop, always on the same thread: each thread that calls torch gets threads of its own."""
    return Embeddings(embeddings=await asyncio.get_running_loop().run_in_executor(pool, encode, request.texts))
