"""Configuration text, read back with the protobuf that Triton itself reads it with."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2
from tritonsmith_build.errors import SmithError
from tritonsmith_build.pbtxt import Word, config_from_text, pbtxt

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def read_back(message: dict[str, Any]) -> Any:
    """What Triton would understand."""
    return config_from_text(pbtxt(message), where="test")


@given(TEXT)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    config = read_back({"name": text, "parameters": [{"key": text, "value": {"string_value": text}}]})
    assert config.name == text
    assert {key: value.string_value for key, value in config.parameters.items()} == {text: text}


@given(st.lists(TEXT))
def test_any_list_of_texts_comes_back_as_it_was(texts: list[str]) -> None:
    assert list(read_back({"instance_group": {"profile": texts}}).instance_group[0].profile) == texts


@given(st.lists(st.integers(min_value=-(2**63), max_value=2**63 - 1)))
def test_any_list_of_numbers_comes_back_as_it_was(numbers: list[int]) -> None:
    assert list(read_back({"input": {"dims": numbers}}).input[0].dims) == numbers


@given(st.booleans(), st.integers(min_value=0, max_value=2**63 - 1))
def test_booleans_and_numbers_come_back_as_they_were(flag: bool, number: int) -> None:
    queue = {"allow_timeout_override": flag, "default_timeout_microseconds": number}
    policy = read_back({"dynamic_batching": {"default_queue_policy": queue}}).dynamic_batching.default_queue_policy
    assert (policy.allow_timeout_override, policy.default_timeout_microseconds) == (flag, number)


def test_a_message_is_written_in_its_own_order_with_two_spaces_a_level() -> None:
    message = {
        "name": "moods",
        "max_batch_size": 8,
        "input": [{"name": "TEXT", "data_type": Word("TYPE_STRING"), "dims": [1]}, {"name": "B", "dims": [-1, 2]}],
        "dynamic_batching": {"preserve_ordering": True},
    }
    assert pbtxt(message) == (
        'name: "moods"\n'
        "max_batch_size: 8\n"
        'input {\n  name: "TEXT"\n  data_type: TYPE_STRING\n  dims: [1]\n}\n'
        'input {\n  name: "B"\n  dims: [-1, 2]\n}\n'
        "dynamic_batching {\n  preserve_ordering: true\n}\n"
    )


def test_an_enum_is_written_by_its_name() -> None:
    config = read_back({"instance_group": {"kind": Word("KIND_CPU")}})
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_CPU


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ('name: "a"\nmax_bach_size: 3\n', "2", "max_bach_size"),
        ('name: "a"\ninput {\n  data_typ: TYPE_FP32\n}\n', "3", "data_typ"),
        ("instance_group {\n  kind: KIND_TPU\n}\n", "2", "KIND_TPU"),
        ('max_batch_size: "eight"\n', "1", "eight"),
    ],
    ids=["field", "inner-field", "enum", "type"],
)
def test_text_that_triton_would_not_read_is_refused_with_line_and_field(text: str, line: str, field: str) -> None:
    with pytest.raises(SmithError) as caught:
        config_from_text(text, where="moods/config.pbtxt")
    said = str(caught.value)
    assert said.startswith(f"moods/config.pbtxt: not a Triton model configuration: {line}:")
    assert field in said
    assert said.endswith("; correct that field")
