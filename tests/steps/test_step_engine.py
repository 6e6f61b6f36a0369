from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from tally import Tally
from tritonsmith_steps.arrays import Arrays, Result
from tritonsmith_steps.engine import CpuEngine
from tritonsmith_steps.runtimes import session_from_file

Rows = list[list[int]]
FILL = 7


def masked_sums() -> onnx.ModelProto:
    """Per row: the sum of ids under the mask, the sum of the mask, the sum of all ids."""
    ids, mask = (
        helper.make_tensor_value_info(name, TensorProto.INT32, ["rows", "length"]) for name in ("input_ids", "attention_mask")
    )
    sums = helper.make_tensor_value_info("sums", TensorProto.FLOAT, ["rows", 3])
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["masked"]),
        *(
            helper.make_node("ReduceSum", [name, "axis"], [f"sum of {name}"])
            for name in ("masked", "attention_mask", "input_ids")
        ),
        helper.make_node("Concat", ["sum of masked", "sum of attention_mask", "sum of input_ids"], ["whole"], axis=1),
        helper.make_node("Cast", ["whole"], ["sums"], to=TensorProto.FLOAT),
    ]
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "masked sums", [ids, mask], [sums], [axis])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    onnx.save(masked_sums(), folder / "tiny.onnx")
    step = {"pad": {"input_ids": FILL, "attention_mask": 0}, "output": "sums"}
    (folder / "step.json").write_text(json.dumps(step))
    return folder


def engine_in(folder: Path, tally: Tally | None = None) -> CpuEngine:
    return CpuEngine.load(folder, {"artefact": "tiny.onnx"}, tally if tally is not None else Tally())


def request_from(rows: Rows) -> Arrays:
    ids = np.array(rows, dtype=np.int32)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def sums_of(results: list[Result]) -> list[list[list[float]]]:
    made = []
    for result in results:
        assert isinstance(result, dict)
        assert result.keys() == {"sums"}
        made.append(result["sums"].tolist())
    return made


@st.composite
def ragged_requests(draw: st.DrawFn) -> list[Rows]:
    shapes = draw(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 8)), min_size=1, max_size=5))
    return [[[draw(st.integers(1, 99)) for _ in range(length)] for _ in range(rows)] for rows, length in shapes]


@settings(deadline=None)
@given(many=ragged_requests())
def test_each_request_of_a_ragged_batch_gets_its_own_rows(folder: Path, many: list[Rows]) -> None:
    longest = max(len(rows[0]) for rows in many)
    expected = [[[sum(row), len(row), sum(row) + FILL * (longest - len(row))] for row in rows] for rows in many]
    tally = Tally()
    assert sums_of(engine_in(folder, tally)([request_from(rows) for rows in many])) == expected
    assert tally == {"padding": sum(longest - len(row) for rows in many for row in rows)}


def test_a_batch_gives_what_single_calls_give(folder: Path) -> None:
    engine = engine_in(folder)
    requests = [request_from(rows) for rows in ([[1, 2, 3]], [[4], [5]], [[6, 7], [8, 9]])]
    together = sums_of(engine(requests))
    alone = [sums_of(engine([request]))[0] for request in requests]
    under_the_mask = slice(0, 2)
    assert [[row[under_the_mask] for row in rows] for rows in together] == [
        [row[under_the_mask] for row in rows] for rows in alone
    ]


def test_the_engine_takes_as_many_threads_as_the_process_may_use_cores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5, 6})
    assert session_from_file(folder / "tiny.onnx").get_session_options().intra_op_num_threads == 3
    assert session_from_file(folder / "tiny.onnx", threads=1).get_session_options().intra_op_num_threads == 1
