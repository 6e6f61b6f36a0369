"""sentence-transformers behind Ray Serve."""

import argparse
import signal

import ray
import torch
from ray import serve
from sentence_transformers import SentenceTransformer
from starlette.requests import Request

ENDS = {signal.SIGTERM, signal.SIGINT}
QUIET = {"enable_access_log": False}


@serve.deployment(num_replicas=1, max_ongoing_requests=256, logging_config=QUIET)
class Embedder:
    """A request is a list of texts; the texts of up to 32 requests are encoded together."""

    def __init__(self, folder: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self.model = SentenceTransformer(folder, device="cpu")

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.002)
    async def embed(self, requests: list[list[str]]) -> list[list[list[float]]]:
        """A vector a text, for each request."""
        texts = [text for request in requests for text in request]
        vectors = iter(self.model.encode(texts, batch_size=8, normalize_embeddings=True, show_progress_bar=False).tolist())
        return [[next(vectors) for _ in request] for request in requests]

    async def __call__(self, request: Request) -> dict:
        """One request."""
        return {"embeddings": await self.embed((await request.json())["texts"])}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--cores", type=int, required=True)
    given = parser.parse_args()
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)  # in Ray's processes too, which this one ends
    ray.init(address="local", include_dashboard=False, num_cpus=given.cores, logging_level="warning")
    serve.start(http_options={"host": "127.0.0.1", "port": given.port}, logging_config=QUIET)
    serve.run(Embedder.bind(given.model, given.cores), route_prefix="/embed")
    signal.sigwait(ENDS)
    ray.shutdown()
