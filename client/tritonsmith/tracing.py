"""The caller's trace, where OpenTelemetry is installed: a span for each request, and the headers that take it to the server.

A span has the pipeline's name and, where the request failed, the kind of error; never what was sent or answered.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

try:
    from opentelemetry import propagate, trace
except ImportError:
    trace = None  # type: ignore[assignment]


@contextlib.contextmanager
def span(model: str, where: str, request_id: str) -> Iterator[None]:
    """A span around one request to a server; nothing where OpenTelemetry is not installed."""
    if trace is None:
        yield
        return
    about = {
        **{"rpc.system": "triton", "rpc.method": "infer", "server.address": where},
        **{"tritonsmith.pipeline": model, "tritonsmith.request_id": request_id},
    }
    tracer = trace.get_tracer("tritonsmith")
    # Errors of ours may repeat what a caller sent, a label for example: their kind is enough.
    started = tracer.start_as_current_span(
        f"infer {model}",
        kind=trace.SpanKind.CLIENT,
        attributes=about,
        record_exception=False,
        set_status_on_exception=False,
    )
    with started as made:
        try:
            yield
        except Exception as error:
            made.set_attribute("error.type", type(error).__name__)
            made.set_status(trace.StatusCode.ERROR)
            raise


def headers() -> dict[str, str]:
    """``traceparent`` and the like of the span that is open, by whatever propagators the process has."""
    carrier: dict[str, str] = {}
    if trace is not None:
        propagate.inject(carrier)
    return carrier
