"""Call pipelines served by Triton as you would call ``transformers.pipeline``."""

from tritonsmith.client import AsyncClient, AsyncPipeline, Client, Pipeline
from tritonsmith.errors import (
    InvalidInputError,
    ModelNotFoundError,
    NotAllowedError,
    OverloadedError,
    RequestTimeoutError,
    ServerError,
    ServerUnreachableError,
    TritonsmithError,
)
from tritonsmith.retrying import Retry

__all__ = [
    "AsyncClient",
    "AsyncPipeline",
    "Client",
    "InvalidInputError",
    "ModelNotFoundError",
    "NotAllowedError",
    "OverloadedError",
    "Pipeline",
    "RequestTimeoutError",
    "Retry",
    "ServerError",
    "ServerUnreachableError",
    "TritonsmithError",
]
