"""A step that takes people's data out of texts, in front of pipelines of several tasks, on the real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from parity import assert_same
from parity_texts import TEXT_CASES
from served import Served, built_at_once, serving
from telling import at_length, told
from test_cache_and_metrics import hits
from tritonsmith import Client, InvalidInputError
from tritonsmith_steps.personal import KINDS, personal, without
from waiting import until

TASKS = ("text-classification", "question-answering", "text-ranking")
CASES = {task: next(case for case in TEXT_CASES if case.task == task) for task in TASKS}
SECRET, OTHER = "canary7c1d@example.org", "someone7c1d@example.eu"
PHONE = "(415) 555-2671"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("redact")
    specs = [case.write(folder) for case in CASES.values()]
    for spec in specs:
        spec.write_text(spec.read_text() + "[redact]\n")
    built_at_once(specs, folder / "repository")
    return folder


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    with serving(folder / "repository", folder / "log", "--canary-every=1", "--request-log-every=1") as server:
        at_length(server)
        yield server


def clean(text: str) -> str:
    found = without(text, personal(text, list(KINDS), ["US"]))
    assert found != text
    return found


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_texts_and_pairs_are_answered_as_if_the_data_had_never_been_there(served: Served, folder: Path, protocol: str) -> None:
    case = CASES["text-classification"]
    texts = [f"{text} Ask {SECRET} or call {PHONE}." for text in case.items[:6]]
    pairs = [{"text": text, "text_pair": f"{PHONE} {text}"} for text in texts]
    reference = case.reference(folder / "models" / case.name)
    with Client(getattr(served, protocol)) as client:
        pipe = client.pipeline(case.name)
        for items, cleaned in (
            (texts, [clean(text) for text in texts]),
            (pairs, [{name: clean(text) for name, text in pair.items()} for pair in pairs]),
        ):
            assert_same(pipe(items, top_k=None), [reference(item, top_k=None) for item in cleaned])
            assert_same(pipe(items[0], top_k=None), reference(cleaned[0], top_k=None))


def test_answers_stand_where_they_stand_in_the_callers_own_text(served: Served, folder: Path) -> None:
    case = CASES["question-answering"]
    item = {name: f"{text} {SECRET} {text}" for name, text in case.items[1].items()}
    cleaned = {name: clean(text) for name, text in item.items()}
    with Client(served.grpc) as client:
        answer = client.pipeline(case.name)(item)
    assert_same(answer, case.reference(folder / "models" / case.name)(cleaned))
    assert cleaned["context"][answer["start"] : answer["end"]] == answer["answer"]
    assert len(cleaned["context"]) == len(item["context"])


def test_every_document_is_looked_through(served: Served, folder: Path) -> None:
    case = CASES["text-ranking"]
    item = {
        "query": f"{case.items[1]['query']} {SECRET}",
        "documents": [f"{text} {SECRET}" for text in case.items[1]["documents"]],
    }
    cleaned = {"query": clean(item["query"]), "documents": [clean(text) for text in item["documents"]]}
    with Client(served.http) as client:
        assert_same(client.pipeline(case.name)(item), case.reference(folder / "models" / case.name)(cleaned))


def test_the_cache_holds_what_is_left_and_cannot_tell_two_addresses_apart(served: Served) -> None:
    name = CASES["text-classification"].name
    with Client(served.grpc) as client:
        pipe = client.pipeline(name)
        first, before = pipe(f"Nobody but {SECRET} knows."), hits(served, f"{name}_cached")
        assert pipe(f"Nobody but {OTHER} knows.") == first
    assert hits(served, f"{name}_cached") == before + 1


def test_a_text_that_is_refused_is_its_own_callers_error(served: Served) -> None:
    with Client(served.grpc) as client:
        pipe = client.pipeline(CASES["text-classification"].name)
        with pytest.raises(InvalidInputError) as caught:
            pipe(["fine", "1 " * 1001])
        assert (caught.value.item, caught.value.reason.split(";")[0]) == (1, "the text has 1001 numbers")
        with pytest.raises(InvalidInputError, match="the text is empty"):
            pipe("")


def test_what_was_taken_out_is_counted_and_told_to_nobody(served: Served) -> None:
    name = CASES["text-classification"].name
    with Client(served.grpc) as client:
        client.pipeline(name)(f"Ask {SECRET} today.", request_id="asked")
    until(lambda: '"id": "asked"' in served.requests.read_text(), "no line of the request")
    until(lambda: f'tritonsmith_redacted_total{{kind="email",model="{name}_redact"' in told(served)["metrics"], "not counted")
    heard = told(served)
    assert '"steps": {"redact": ' in heard["requests"]
    assert {what: text.count(SECRET) + text.count(PHONE) for what, text in heard.items()} == dict.fromkeys(heard, 0)
