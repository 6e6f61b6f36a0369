"""One request, one trace: the caller's span, the ensemble's and each step's, at a real OTLP receiver."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from collecting import Collector
from opentelemetry import trace
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from served import UNASKED, Served, serving
from tritonsmith import Client, InvalidInputError
from waiting import until

STEPS = ("tokenize", "engine", "classify")
SECRET = "canary-5b1e delight"


@pytest.fixture(scope="module")
def traced(fp32_repository: Path, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    options = ("--pipelines=sentiment", "--no-cache", UNASKED, f"--otlp={collector.url}", "--otlp-every=1")
    with serving(fp32_repository, tmp_path_factory.mktemp("traced") / "log", *options) as served:
        yield served


@pytest.fixture(scope="module")
def exported() -> InMemorySpanExporter:
    """The caller's own spans."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_request_is_one_trace_through_every_step(
    traced: Served, collector: Collector, exported: InMemorySpanExporter, protocol: str
) -> None:
    exported.clear()
    with Client(traced.grpc if protocol == "grpc" else traced.http) as client:
        client.pipeline("sentiment")(SECRET)
    (asked,) = [span for span in exported.get_finished_spans() if span.name == "infer sentiment"]
    assert asked.context is not None
    of_trace = asked.context.trace_id
    steps = tuple(f"sentiment_{step}" for step in STEPS)
    until(lambda: complete(collector.spans(of_trace), steps), "spans are missing")
    spans = {span.name: span for span in collector.spans(of_trace)}
    begin, end = spans["sentiment"].start_time_unix_nano, spans["sentiment"].end_time_unix_nano
    # Until a step had its answer. Its span ends when its books are closed, while the next step may be at work.
    times = [
        (spans[step].start_time_unix_nano, computed(collector.spans(of_trace), spans[step])["COMPUTE_OUTPUT_START"])
        for step in steps
    ]
    # One after the other, inside of the pipeline's, inside of the caller's.
    in_order = [begin, *itertools.chain.from_iterable(times), end]
    assert in_order == sorted(in_order)
    assert asked.start_time is not None
    assert asked.end_time is not None
    assert asked.start_time <= begin <= asked.end_time
    # And what they took adds up to what it took, but for the way from one to the next.
    assert sum(stop - start for start, stop in times) > 0.5 * (end - begin)


def complete(spans: list[Span], steps: tuple[str, ...]) -> bool:
    """Whether the pipeline's span is there, its cached inner one's, and each step's with what it computed."""
    named = {span.name: span for span in spans}
    return {"sentiment", "sentiment_cached", *steps} <= set(named) and all(computed(spans, named[step]) for step in steps)


def computed(spans: list[Span], of: Span) -> dict[str, int]:
    """A step's times of computation: Triton's name of each, and its nanoseconds since 1970. Empty before it came."""
    return {
        event.name: event.time_unix_nano
        for span in spans
        if span.name == "compute" and span.parent_span_id == of.span_id
        for event in span.events
    }


def test_no_trace_holds_what_was_sent_or_answered(traced: Served, collector: Collector, exported: InMemorySpanExporter) -> None:
    exported.clear()
    with Client(traced.grpc) as client:
        pipe = client.pipeline("sentiment")
        (answer,) = pipe([SECRET])
        with pytest.raises(InvalidInputError):
            pipe(SECRET * 5000)
    asked = exported.get_finished_spans()
    assert [span.status.status_code for span in asked][-1] == trace.StatusCode.ERROR
    until(lambda: len(collector.spans(last(asked))) > 0, "no span of the last request")
    everything = b"".join(collector.bodies) + "".join(span.to_json() for span in asked).encode()
    assert SECRET.encode() not in everything
    assert str(answer["score"]).encode() not in everything


def last(spans: tuple[ReadableSpan, ...]) -> int:
    context = spans[-1].context
    assert context is not None
    return context.trace_id
