from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tally import Tally
from tritonsmith_steps.arrays import Arrays
from tritonsmith_steps.embed import Embed, EmbedSettings

vectors = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.just(5)),
    elements=st.one_of(st.just(0.0), st.floats(-1e6, 1e6, width=32).filter(lambda x: abs(x) > 1e-6)),
)


def requests_from(*pooled: np.ndarray) -> list[Arrays]:
    return [{"pooled": rows} for rows in pooled]


@given(st.lists(vectors, min_size=1, max_size=5))
def test_normalized_vectors_are_torchs(pooled: list[np.ndarray]) -> None:
    results = Embed(EmbedSettings(normalize=True))(requests_from(*pooled))
    for result, rows in zip(results, pooled, strict=True):
        assert isinstance(result, dict)
        assert result["EMBEDDING"].dtype == np.float32
        expected = torch.nn.functional.normalize(torch.from_numpy(rows), dim=-1).numpy()
        np.testing.assert_allclose(result["EMBEDDING"], expected, rtol=1e-5, atol=1e-7)


def test_a_zero_vector_stays_zero_beside_others() -> None:
    (result,) = Embed(EmbedSettings(normalize=True))(requests_from(np.array([[0, 0], [3, 4]], dtype=np.float32)))
    assert isinstance(result, dict)
    np.testing.assert_allclose(result["EMBEDDING"], [[0, 0], [0.6, 0.8]], rtol=1e-6)


def test_vectors_that_need_no_scaling_are_passed_on_bit_for_bit() -> None:
    pooled = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    first, second = Embed(EmbedSettings(normalize=False))(requests_from(pooled[:1], pooled[1:]))
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert first["EMBEDDING"].tobytes() == pooled[:1].tobytes()
    assert second["EMBEDDING"].tobytes() == pooled[1:].tobytes()


@pytest.mark.parametrize(("normalize", "length"), [(True, 1.0), (False, 5.0)], ids=["scaled", "as they are"])
def test_step_json_says_whether_to_scale(tmp_path: Path, normalize: bool, length: float) -> None:
    (tmp_path / "step.json").write_text(json.dumps({"normalize": normalize}))
    (result,) = Embed.load(tmp_path, {}, Tally())(requests_from(np.array([[3, 4]], dtype=np.float32)))
    assert isinstance(result, dict)
    assert np.linalg.norm(result["EMBEDDING"]) == pytest.approx(length)
