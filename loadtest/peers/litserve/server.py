"""sentence-transformers behind LitServe."""

import argparse
import signal

import litserve
import torch
from sentence_transformers import SentenceTransformer


class Embedder(litserve.LitAPI):
    """A request is a list of texts; the texts of up to 32 requests are encoded together."""

    def __init__(self, folder: str, threads: int) -> None:
        super().__init__(max_batch_size=32, batch_timeout=0.002, api_path="/embed")
        self.folder, self.threads = folder, threads

    def setup(self, device: str) -> None:
        """Load the model in the worker's process."""
        torch.set_num_threads(self.threads)
        self.model = SentenceTransformer(self.folder, device=device)

    def decode_request(self, request: dict) -> list[str]:
        """The texts of one request."""
        return request["texts"]

    def batch(self, inputs: list[list[str]]) -> list[list[str]]:
        """Requests stay apart, because they differ in how many texts they have."""
        return inputs

    def predict(self, requests: list[list[str]]) -> list[list[list[float]]]:
        """A vector a text, for each request."""
        texts = [text for request in requests for text in request]
        vectors = iter(self.model.encode(texts, batch_size=8, normalize_embeddings=True, show_progress_bar=False).tolist())
        return [[next(vectors) for _ in request] for request in requests]

    def unbatch(self, output: list[list[list[float]]]) -> list[list[list[float]]]:
        """One answer a request."""
        return output

    def encode_response(self, output: list[list[float]]) -> dict:
        """What a client gets."""
        return {"embeddings": output}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    given = parser.parse_args()
    server = litserve.LitServer(Embedder(given.model, given.threads), accelerator="cpu", workers_per_device=1)
    server.uvicorn_graceful_timeout = 3
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # LitServe stops its workers on SIGINT alone
    server.run(host="127.0.0.1", port=given.port, generate_client_file=False, log_level="warning")
