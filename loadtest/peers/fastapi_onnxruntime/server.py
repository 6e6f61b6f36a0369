"""ONNX Runtime behind FastAPI, written by hand and without torch."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import orjson
from fastapi import FastAPI, Response
from onnxruntime import InferenceSession, SessionOptions
from pydantic import BaseModel
from tokenizers import Tokenizer

CHUNK = 2  # texts a run; larger batches are slower a text on a CPU, by their padding and by leaving its caches

folder = os.environ["MODEL"]
tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
tokenizer.enable_truncation(256)
tokenizer.enable_padding()  # to a chunk's longest; the file itself asks for a fixed length
options = SessionOptions()
options.intra_op_num_threads = int(os.environ["THREADS"])
session = InferenceSession(f"{folder}/onnx/{os.environ['FILE']}", options, providers=["CPUExecutionProvider"])
pool = ThreadPoolExecutor(int(os.environ["RUNS"]))
app = FastAPI()


class Texts(BaseModel):
    """What a client sends."""

    texts: list[str]


def embed(texts: list[str]) -> np.ndarray:
    """A vector a text: the mean over its tokens, scaled to length 1."""
    encoded = tokenizer.encode_batch_fast(texts)
    ids = np.array([text.ids for text in encoded], np.int64)
    mask = np.array([text.attention_mask for text in encoded], np.int64)
    inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
    hidden = session.run(["last_hidden_state"], inputs)[0]
    sums = np.einsum("bsh,bs->bh", hidden, mask.astype(np.float32))
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


@app.get("/health")
async def health() -> None:
    """200 once the model is loaded."""


@app.post("/embed")
async def answer(request: Texts) -> Response:
    """Computes in the pool, so that the event loop stays free, with texts of like length together."""
    run = asyncio.get_running_loop().run_in_executor
    order = sorted(range(len(request.texts)), key=lambda i: len(request.texts[i]))
    chunks = [[request.texts[i] for i in order[start : start + CHUNK]] for start in range(0, len(order), CHUNK)]
    vectors = np.concatenate(await asyncio.gather(*(run(pool, embed, chunk) for chunk in chunks)))[np.argsort(order)]
    return Response(orjson.dumps({"embeddings": vectors}, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json")
