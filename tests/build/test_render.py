"""The rendered repository: word for word, and as Triton will understand it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from tritonsmith_build.facts import TextFacts
from tritonsmith_build.messages import ensembles
from tritonsmith_build.render import ROWS, overlay, rendered
from tritonsmith_build.tables import PipelineSpec
from tritonsmith_build.task import Tensor
from workbench import some_facts, write_spec

GOLDEN = Path(__file__).parent.parent / "golden"
TARGETS = {
    "ensemble": "moods/config.pbtxt",
    "cached": "moods_cached/config.pbtxt",
    "tokenize": "moods_tokenize/config.pbtxt",
    "tokenize.cpu": "moods_tokenize/configs/cpu.pbtxt",
    "engine.tensorrt": "moods_engine/config.pbtxt",
    "engine.onnxruntime": "moods_engine/configs/onnxruntime.pbtxt",
    "engine.cpu": "moods_engine/configs/cpu.pbtxt",
    "classify": "moods_classify/config.pbtxt",
}
EMBEDDING = some_facts(width=48, labels=(), activation="none", inputs=("input_ids", "attention_mask"), normalize=True)
HEADER = "# Rendered from moods.toml and moods.lock.toml; change those and run: tritonsmith render\n"


@pytest.fixture
def spec(tmp_path: Path) -> PipelineSpec:
    """A small classifier's, with a queue of its own."""
    return write_spec(tmp_path, engine={"max_batch_size": 4}, serving={"max_queue_delay_us": 500, "timeout_ms": 2000})


def configs(spec: PipelineSpec, facts: TextFacts) -> dict[str, Any]:
    """Every rendered configuration as Triton's own message."""
    files = {path: text for path, text in rendered(spec, facts).items() if path.endswith(".pbtxt")}
    return {path: text_format.Parse(text, model_config_pb2.ModelConfig()) for path, text in files.items()}


def shape(tensors: Any) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and dims of tensors by name."""
    return {tensor.name: (model_config_pb2.DataType.Name(tensor.data_type), tuple(tensor.dims)) for tensor in tensors}


@pytest.mark.parametrize("name", TARGETS)
def test_text_is_word_for_word_as_it_should_be(spec: PipelineSpec, name: str) -> None:
    assert rendered(spec, some_facts())[TARGETS[name]] == (GOLDEN / f"moods.{name}.pbtxt").read_text(encoding="utf-8")


def test_exactly_these_files_are_rendered(spec: PipelineSpec) -> None:
    steps = [f"moods_{step}/1/{file}" for step in ("tokenize", "engine", "classify") for file in ("model.py", "step.json")]
    assert sorted(rendered(spec, some_facts())) == sorted(
        [*TARGETS.values(), *steps, "moods/1/.gitkeep", "moods_cached/1/.gitkeep"]
    )


def test_rendering_depends_on_nothing_but_spec_and_facts(spec: PipelineSpec, tmp_path: Path) -> None:
    elsewhere = write_spec(tmp_path / "elsewhere", engine={"max_batch_size": 4}, serving=spec.serving.model_dump())
    assert rendered(elsewhere, some_facts()) == rendered(spec, some_facts())


def test_every_file_that_can_hold_one_has_a_header_naming_its_spec(spec: PipelineSpec) -> None:
    files = rendered(spec, some_facts())
    assert {path for path, text in files.items() if not text.startswith(HEADER)} == {
        path for path in files if path.endswith((".json", ".gitkeep"))
    }


@pytest.mark.parametrize("step", ["tokenize", "engine", "classify"])
def test_the_served_model_is_a_shim_of_its_step(spec: PipelineSpec, step: str) -> None:
    assert rendered(spec, some_facts())[f"moods_{step}/1/model.py"] == (
        f'{HEADER}from tritonsmith_steps.serve import triton_model\n\nTritonPythonModel = triton_model("{step}")\n'
    )


@pytest.mark.parametrize(
    ("step", "settings"),
    [
        (
            "tokenize",
            {
                "inputs": ["input_ids", "attention_mask", "token_type_ids"],
                "max_length": 32,
                "buckets": [16, 32],
                "max_bytes": 65536,
                "pad": {"input_ids": 9, "token_type_ids": 0},
                "truncation_side": "right",
                "beside": ["TRUNCATED"],
            },
        ),
        ("engine", {"pad": {"input_ids": 9, "attention_mask": 0, "token_type_ids": 0}, "output": "logits"}),
        ("classify", {"labels": ["SAD", "CALM", "GLAD"], "activation": "softmax"}),
    ],
    ids=["tokenize", "engine", "classify"],
)
def test_what_a_step_reads_stands_in_its_version_folder(spec: PipelineSpec, step: str, settings: dict[str, Any]) -> None:
    assert json.loads(rendered(spec, some_facts(pad_id=9))[f"moods_{step}/1/step.json"]) == settings


def test_labels_of_any_script_are_written_as_they_are(spec: PipelineSpec) -> None:
    text = rendered(spec, some_facts(labels=("悲しい", 'so "so"', "größer")))["moods_classify/1/step.json"]
    assert json.loads(text)["labels"] == ["悲しい", 'so "so"', "größer"]
    assert "悲しい" in text


@pytest.mark.parametrize(
    ("task", "facts"),
    [("text-classification", some_facts()), ("feature-extraction", EMBEDDING)],
    ids=["classifier", "embedding"],
)
@pytest.mark.parametrize("target", ["config", "configs/cpu", "configs/onnxruntime"])
@pytest.mark.parametrize("name", ["moods", "moods_cached"])
def test_every_tensor_of_an_ensemble_fits_the_step_it_goes_through(
    tmp_path: Path, task: str, facts: TextFacts, name: str, target: str
) -> None:
    made = configs(write_spec(tmp_path, task=task), facts)
    ensemble = made[f"{name}/config.pbtxt"]
    flowing = shape(ensemble.input)
    for step in ensemble.ensemble_scheduling.step:
        config = made.get(f"{step.model_name}/{target}.pbtxt") or made[f"{step.model_name}/config.pbtxt"]
        assert list(config.version_policy.specific.versions) == [step.model_version] == [1]
        assert config.max_batch_size >= ensemble.max_batch_size
        assert {inner: flowing[outer] for inner, outer in step.input_map.items()} == shape(config.input)
        assert step.output_map.keys() == shape(config.output).keys()
        flowing |= {outer: shape(config.output)[inner] for inner, outer in step.output_map.items()}
    assert {name: flowing[name] for name in shape(ensemble.output)} == shape(ensemble.output)


def test_steps_that_callers_can_fill_have_an_end_to_their_queue_and_only_the_engine_waits_for_company(
    spec: PipelineSpec,
) -> None:
    made = {path: config for path, config in configs(spec, some_facts()).items() if config.platform != "ensemble"}
    delays = {path: config.dynamic_batching.max_queue_delay_microseconds for path, config in made.items()}
    assert delays == {path: 500 if "_engine/" in path else 0 for path in made}
    policies = {path: config.dynamic_batching.default_queue_policy for path, config in made.items()}
    limits = {path: (policy.default_timeout_microseconds, policy.max_queue_size) for path, policy in policies.items()}
    assert limits == {path: (0, 0) if "_classify/" in path else (2_000_000, 256) for path in made}


def test_what_is_optional_for_a_caller_is_optional_for_the_step_that_takes_it(tmp_path: Path) -> None:
    made = configs(write_spec(tmp_path), some_facts())
    optional = {
        path: {tensor.name for tensor in config.input if tensor.optional}
        for path, config in made.items()
        if "/configs/" not in path
    }
    assert optional == {
        "moods/config.pbtxt": {"TEXT_PAIR", "FUNCTION_TO_APPLY"},
        "moods_cached/config.pbtxt": {"TEXT_PAIR", "FUNCTION_TO_APPLY"},
        "moods_tokenize/config.pbtxt": {"TEXT_PAIR"},
        "moods_engine/config.pbtxt": set(),
        "moods_classify/config.pbtxt": {"FUNCTION_TO_APPLY"},
    }


@pytest.mark.parametrize("instances", [1, 3])
def test_every_target_runs_as_many_engines_as_the_spec_says(tmp_path: Path, instances: int) -> None:
    made = configs(write_spec(tmp_path, engine={"instances": instances}), some_facts())
    engines = {path: config for path, config in made.items() if "_engine/" in path}
    assert [group.count for config in engines.values() for group in config.instance_group] == [instances] * 3


@pytest.mark.parametrize("enabled", [True, False], ids=["on", "off"])
def test_callers_ask_an_ensemble_that_remembers_nothing_for_all_that_one_within_may_remember(
    tmp_path: Path, enabled: bool
) -> None:
    made = configs(write_spec(tmp_path, serving={"cache": enabled}), some_facts())
    assert [path for path, config in made.items() if config.response_cache.enable] == ["moods_cached/config.pbtxt"] * enabled
    first, *further = made["moods/config.pbtxt"].ensemble_scheduling.step
    assert first.model_name == ("moods_cached" if enabled else "moods_tokenize")
    assert (not further) is enabled
    if enabled:
        within = made["moods_cached/config.pbtxt"]
        assert [dict(first.input_map), dict(first.output_map)] == [
            {tensor.name: tensor.name for tensor in tensors} for tensors in (within.input, within.output)
        ]
        assert list(within.version_policy.specific.versions) == [first.model_version]
    # The client finds a pipeline by its task, and nobody is led to what is within.
    assert [path for path, config in made.items() if "task" in config.parameters] == ["moods/config.pbtxt"]


def test_one_output_cannot_be_asked_for_in_part_and_needs_no_ensemble_within(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, task="question-answering")
    answer = ensembles(spec, [], [], [Tensor("ANSWERS", "TYPE_STRING", (1,))], {})
    assert {name: message["response_cache"] for name, message in answer.items()} == {"moods": {"enable": True}}


@pytest.mark.parametrize("cached", [True, False])
def test_what_is_redacted_reaches_nothing_but_the_step_that_does_it(tmp_path: Path, cached: bool) -> None:
    plain, cleaned = (
        configs(write_spec(tmp_path / name, serving={"cache": cached}, **more), some_facts())
        for name, more in (("plain", {}), ("cleaned", {"redact": {"regions": ["GB"]}}))
    )
    assert cleaned.keys() - plain.keys() == {"moods_redact/config.pbtxt"}
    assert {path for path in plain if plain[path] != cleaned[path]} == {"moods/config.pbtxt"}
    first, *others = cleaned["moods/config.pbtxt"].ensemble_scheduling.step
    assert first.model_name == "moods_redact"
    assert dict(first.input_map) == {"TEXT": "TEXT", "TEXT_PAIR": "TEXT_PAIR"}
    assert dict(first.output_map) == {"TEXT": "TEXT_REDACTED", "TEXT_PAIR": "TEXT_PAIR_REDACTED"}
    assert others
    assert not {"TEXT", "TEXT_PAIR"} & {name for step in others for name in step.input_map.values()}
    files = rendered(write_spec(tmp_path / "again", redact={"kinds": ["email"]}), some_facts())
    settings = {"kinds": ["email"], "regions": ["US"], "max_bytes": 65536}
    assert json.loads(files["moods_redact/1/step.json"]) == settings


def test_one_answer_of_redacted_texts_is_remembered_within(tmp_path: Path) -> None:
    """Where the step stands outside of what a cache knows answers by."""
    made = configs(write_spec(tmp_path, task="feature-extraction", redact={}), EMBEDDING)
    assert [path for path, config in made.items() if config.response_cache.enable] == ["moods_cached/config.pbtxt"]


def test_tensorrt_gets_a_profile_for_every_bucket(tmp_path: Path) -> None:
    made = configs(write_spec(tmp_path), some_facts(buckets=(8, 16, 32)))
    assert list(made["moods_engine/config.pbtxt"].instance_group[0].profile) == ["0", "1", "2"]


def test_rows_are_ragged_on_the_cpu_alone(spec: PipelineSpec) -> None:
    made = configs(spec, some_facts())
    ragged = {path for path, config in made.items() if any(tensor.allow_ragged_batch for tensor in config.input)}
    assert ragged == {"moods_engine/configs/cpu.pbtxt"}


@pytest.mark.parametrize(
    ("target", "warmed"),
    [
        ("configs/cpu", [(1, 16), (1, 32)]),
        ("config", [(1, 16), (4, 16), (1, 32), (4, 32)]),
        ("configs/onnxruntime", [(1, 16), (4, 16), (1, 32), (4, 32)]),
    ],
    ids=["cpu", "tensorrt", "onnxruntime"],
)
def test_an_engine_is_warmed_in_the_shapes_it_will_see(spec: PipelineSpec, target: str, warmed: list[tuple[int, int]]) -> None:
    config = configs(spec, some_facts())[f"moods_engine/{target}.pbtxt"]
    assert [(warmup.batch_size, warmup.inputs["input_ids"].dims[0]) for warmup in config.model_warmup] == warmed
    assert all(warmup.inputs.keys() == shape(config.input).keys() for warmup in config.model_warmup)


TUNED = {
    "best_batch_size": 2,
    "cuda_graphs": True,
    "busy_wait_events": True,
    "output_copy_stream": True,
    "eager_batching": True,
}


def test_the_overlay_names_the_plans_of_a_host_and_is_not_committed(spec: PipelineSpec) -> None:
    ((path, text),) = overlay(spec, some_facts(), {"9.0": "model.sm90.plan", "8.9": "model.sm89.plan"}).items()
    assert path == "moods_engine/configs/host-tensorrt.pbtxt"
    assert path not in rendered(spec, some_facts())
    made = text_format.Parse(text, model_config_pb2.ModelConfig())
    assert dict(made.cc_model_filenames) == {"9.0": "model.sm90.plan", "8.9": "model.sm89.plan"}
    committed = configs(spec, some_facts())["moods_engine/config.pbtxt"]
    assert not committed.cc_model_filenames
    made.ClearField("cc_model_filenames")
    made.default_model_filename = committed.default_model_filename
    assert made == committed


def test_batches_are_preferred_as_the_profiles_are_tuned(tmp_path: Path) -> None:
    for engine, sizes in (({"max_batch_size": 32}, [8, 32]), ({"max_batch_size": 1}, [1]), ({"tensorrt": TUNED}, [2, 32])):
        made = configs(write_spec(tmp_path, engine=engine), some_facts())["moods_engine/config.pbtxt"]
        assert list(made.dynamic_batching.preferred_batch_size) == sizes


def test_without_wishes_the_backends_optimizations_are_tritons_own(spec: PipelineSpec) -> None:
    assert not configs(spec, some_facts())["moods_engine/config.pbtxt"].HasField("optimization")


def test_the_backends_optimizations_are_as_the_spec_wishes(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, engine={"max_batch_size": 6, "tensorrt": TUNED})
    made = configs(spec, some_facts())
    asked = made["moods_engine/config.pbtxt"].optimization
    assert (asked.eager_batching, asked.cuda.graphs, asked.cuda.busy_wait_events, asked.cuda.output_copy_stream) == (True,) * 4
    runs: dict[int, dict[int, int]] = {16: {}, 32: {}}
    for graph in asked.cuda.graph_spec:
        names = set(graph.input)
        assert names == set(some_facts().inputs) == set(graph.graph_lower_bound.input)
        ((length,),) = {tuple(shape.dim) for shape in (*graph.input.values(), *graph.graph_lower_bound.input.values())}
        for rows in range(graph.graph_lower_bound.batch_size, graph.batch_size + 1):
            assert rows not in runs[length], "two graphs would run the same batch"
            runs[length][rows] = graph.batch_size
    # Every batch has a graph, and none does twice its work.
    assert runs == {length: {1: 1, 2: 2, 3: 4, 4: 4, 5: 6, 6: 6} for length in (16, 32)}
    assert not any(config.HasField("optimization") for path, config in made.items() if path != "moods_engine/config.pbtxt")


def test_where_an_item_becomes_several_rows_steps_take_more_than_it_and_a_gpus_engine_as_many_as_it_can(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, task="text-ranking", engine={"max_batch_size": 8})
    made = configs(spec, some_facts(width=1))
    sizes = {path: config.max_batch_size for path, config in made.items()}
    assert {path for path, size in sizes.items() if size == ROWS} == {
        "moods_engine/configs/cpu.pbtxt",
        "moods_rank/config.pbtxt",
    }
    assert set(sizes.values()) == {ROWS, 8}
    told = {path: config.parameters["rows"].string_value for path, config in made.items() if "tokenize" in path}
    assert told == {"moods_tokenize/config.pbtxt": "8", "moods_tokenize/configs/cpu.pbtxt": str(ROWS)}
