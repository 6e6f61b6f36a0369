"""How a model is served: batches, instances, warmup, cache, and its other configurations."""

from __future__ import annotations

from typing import Any

from lintfaults import BOUNDED, CHAIN, DELAY, QUEUE, TYPE_INT64, Fault, sent, warmup
from lintmodels import IO, chain, joined, lone, plain
from lintplace import CLASSIFY, CPU, ENSEMBLE, ONNXRUNTIME, TENSORRT, TOKENIZE, added, both, edited, replaced

BATCHES = [
    Fault("error", "preferred-batch-size", CLASSIFY, "dynamic_batching.preferred_batch_size[1]",
          edited(CLASSIFY, lambda config: config.dynamic_batching.preferred_batch_size.extend([8, 64])),
          "a batch of 64 is preferred, max_batch_size is 32", "from 1 to 32"),
    Fault("warning", "batching-without-batches", "lone/config.pbtxt", "dynamic_batching",
          lone('backend: "python" dynamic_batching { }'),
          "max_batch_size is 0", "write max_batch_size"),
    Fault("warning", "no-dynamic-batching", CLASSIFY, "dynamic_batching",
          edited(CLASSIFY, lambda config: config.ClearField("dynamic_batching")),
          "each request runs by itself", "add dynamic_batching { }"),
    Fault("warning", "queue-delay-long", TENSORRT, DELAY,
          edited(TENSORRT, lambda config: setattr(config.dynamic_batching, "max_queue_delay_microseconds", 5_000_000)),
          "may wait 5 s", "the unit is microseconds"),
    Fault("warning", "queue-delay-useless", "lone/config.pbtxt", DELAY,
          lone(f'backend: "python" max_batch_size: 1 dynamic_batching {{ max_queue_delay_microseconds: 500 {BOUNDED} }}'),
          "wait 500 µs for company", "delete the delay"),
    Fault("note", "unbounded-queue", TOKENIZE, QUEUE,
          replaced(TOKENIZE, "max_queue_size: 256", "max_queue_size: 0"),
          "no limit", "write max_queue_size"),
    Fault("note", "unbounded-queue", CLASSIFY, QUEUE,
          both(replaced(CLASSIFY, "max_queue_size: 256", "max_queue_size: 0"), added(chain(("X", "Y")))),
          "no limit", "write max_queue_size"),
    Fault("note", "unbounded-queue", "works/config.pbtxt", QUEUE,
          added(joined("pads", "works") | plain("pads", "[2]", "[2]", "max_batch_size: 32 sequence_batching { }")
                | plain("works", "[2]", "[2]", "max_batch_size: 32 dynamic_batching { }")),
          "no limit", "write max_queue_size"),
    Fault("note", "unbounded-queue", "lone/config.pbtxt", QUEUE,
          lone('backend: "python" max_batch_size: 8 dynamic_batching { }'),
          "no limit", "write max_queue_size"),
    Fault("warning", "rows-do-not-merge", CPU, "dynamic_batching",
          edited(CPU, lambda config: setattr(config.input[1], "allow_ragged_batch", False)),
          "only where attention_mask have equal shapes", "allow_ragged_batch: true"),
]  # fmt: skip

INSTANCES = [
    Fault("error", "gpus-without-gpu", CLASSIFY, "instance_group[0].gpus",
          edited(CLASSIFY, lambda config: config.instance_group[0].gpus.append(0)),
          "KIND_CPU lists gpus [0]", "write kind: KIND_GPU"),
    Fault("warning", "instance-count", CLASSIFY, "instance_group[0].count",
          replaced(CLASSIFY, "count: 1", "count: 0"),
          "does not switch the model off", "write how many"),
    Fault("warning", "instance-count", CLASSIFY, "instance_group[0].count",
          replaced(CLASSIFY, "count: 1", "count: -2"),
          "does not switch the model off", "write how many"),
    Fault("error", "tensorrt-without-gpu", TENSORRT, "instance_group[0].kind",
          replaced(TENSORRT, "KIND_GPU", "KIND_CPU"),
          "TensorRT runs on GPUs only", "write kind: KIND_GPU"),
    Fault("error", "profile-on-other-backend", ONNXRUNTIME, "instance_group[0].profile",
          edited(ONNXRUNTIME, lambda config: config.instance_group[0].profile.append("0")),
          "the backend is onnxruntime", "delete profile"),
    Fault("error", "profile-not-a-number", TENSORRT, "instance_group[0].profile[4]",
          edited(TENSORRT, lambda config: config.instance_group[0].profile.append("long")),
          "'long' is not a number", 'as texts, ["0", "1"]'),
    Fault("warning", "profiles-not-listed", TENSORRT, "instance_group.profile",
          edited(TENSORRT, lambda config: config.instance_group[0].ClearField("profile")),
          "sentiment_tokenize/1/step.json speaks of 4 lengths, but no instance uses profiles 1, 2, 3",
          'write profile: ["0", "1", "2", "3"]'),
    Fault("warning", "profiles-not-listed", TENSORRT, "instance_group.profile",
          edited(TENSORRT, lambda config: config.instance_group[0].profile.pop(2)),
          "no instance uses profiles 2", 'write profile: ["0", "1", "2", "3"]'),
    Fault("warning", "profile-beyond-known", TENSORRT, "instance_group.profile",
          edited(TENSORRT, lambda config: config.instance_group[0].profile.append("4")),
          "profiles 4 are listed", "0 to the last"),
]  # fmt: skip

WARMUPS = [
    Fault("warning", "warmup-unknown-input", TENSORRT, "model_warmup[0].inputs[segments]",
          warmup(lambda sample: sample.inputs["segments"].CopyFrom(sample.inputs["input_ids"])),
          "the model has no input segments; it has input_ids, attention_mask, token_type_ids", "correct the key"),
    Fault("error", "warmup-missing-input", TENSORRT, "model_warmup[0].inputs",
          warmup(lambda sample: sample.inputs.pop("token_type_ids")),
          "warmup '1 x 16 tokens' sends nothing for token_type_ids", "add inputs for token_type_ids"),
    Fault("error", "warmup-dtype-differs", TENSORRT, "model_warmup[0].inputs[input_ids].data_type",
          sent(lambda data: setattr(data, "data_type", TYPE_INT64)),
          "warmup sends TYPE_INT64, the input is TYPE_INT32", "write data_type: TYPE_INT32"),
    Fault("error", "warmup-dims-differ", TENSORRT, "model_warmup[0].inputs[input_ids].dims",
          sent(lambda data: data.dims.insert(0, 1)),
          "warmup sends [1, 16], the input is [-1]", "the size of one row"),
    Fault("error", "warmup-dims-differ", TENSORRT, "model_warmup[0].inputs[input_ids].dims",
          sent(lambda data: data.dims.__setitem__(0, -1)),
          "warmup sends [-1]", "a number for every -1"),
    Fault("error", "warmup-batch-size", TENSORRT, "model_warmup[0].batch_size",
          warmup(lambda sample: setattr(sample, "batch_size", 64)),
          "sends 64 rows, the model takes 32", "write batch_size: 32 at most"),
    Fault("warning", "warmup-skipped", TENSORRT, "model_warmup[0].batch_size",
          warmup(lambda sample: sample.ClearField("batch_size")),
          "Triton skips it", "write batch_size: 1"),
    Fault("error", "warmup-no-data", TENSORRT, "model_warmup[0].inputs[input_ids]",
          sent(lambda data: data.ClearField("zero_data")),
          "does not say which data to send", "zero_data: true"),
    Fault("error", "warmup-file-missing", TENSORRT, "model_warmup[0].inputs[input_ids].input_data_file",
          sent(lambda data: setattr(data, "input_data_file", "rows.bin")),
          "sentiment_engine/warmup/rows.bin is not there", "into the folder sentiment_engine/warmup"),
]  # fmt: skip


def remember(config: Any) -> None:
    config.response_cache.enable = True


CACHES = [
    Fault("error", "cache-on-python", CLASSIFY, "response_cache.enable",
          edited(CLASSIFY, remember),
          "its empty answers are cached", "cache the ensemble alone"),
    Fault("warning", "cache-on-step", TENSORRT, "response_cache.enable",
          edited(TENSORRT, remember),
          "a step of sentiment", "cache the ensemble alone"),
    Fault("warning", "cache-forgets-outputs", ENSEMBLE, "response_cache.enable",
          edited(ENSEMBLE, remember),
          "one of its 3 outputs", "an ensemble without response_cache"),
    Fault("error", "cache-refused", CHAIN, "response_cache.enable",
          both(added(chain(("X", "Y"))), edited(CHAIN, remember),
               edited(CLASSIFY, lambda config: setattr(config.model_transaction_policy, "decoupled", True))),
          "step sentiment_classify is decoupled", "delete response_cache"),
    Fault("error", "cache-refused", "lone/config.pbtxt", "response_cache.enable",
          lone('backend: "mine" response_cache { enable: true } model_transaction_policy { decoupled: true }'),
          "a model with decoupled", "delete response_cache"),
    Fault("error", "cache-refused", "lone/config.pbtxt", "response_cache.enable",
          lone('backend: "mine" response_cache { enable: true } sequence_batching { }'),
          "a model with sequence_batching", "delete response_cache"),
]  # fmt: skip

ALTERNATIVES = [
    Fault("error", "alternative-interface-differs", "lone/configs/cpu.pbtxt", "output[0]",
          lone('backend: "mine"', cpu=IO.replace("FP32", "FP64").replace("FP64", "FP32", 1) + 'backend: "mine"'),
          "OUT is TYPE_FP64 [2], in lone/config.pbtxt it is TYPE_FP32 [2]", "make them equal"),
    Fault("error", "alternative-interface-differs", "lone/configs/cpu.pbtxt", "input[0].name",
          lone('backend: "mine"', cpu=IO.replace('"IN"', '"INN"') + 'backend: "mine"'),
          "lone/config.pbtxt has no input INN; it has IN", "make them equal"),
    Fault("error", "alternative-interface-differs", "lone/configs/cpu.pbtxt", "input",
          lone('backend: "mine" input { name: "MORE" data_type: TYPE_FP32 dims: [1] }', cpu=IO + 'backend: "mine"'),
          "MORE of lone/config.pbtxt is not here", "make them equal"),
    Fault("warning", "alternative-batch-size-differs", "lone/configs/cpu.pbtxt", "max_batch_size",
          lone('backend: "mine"', cpu=IO + 'backend: "mine" max_batch_size: 1'),
          "max_batch_size is 1, in lone/config.pbtxt it is 0", "make them equal"),
]  # fmt: skip
