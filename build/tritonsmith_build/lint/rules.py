"""Every rule of the linter: its level and, in a line, what it says. Nothing else decides how bad a finding is."""

from __future__ import annotations

from tritonsmith_build.lint.finding import Finding, Level

RULES: dict[str, tuple[Level, str]] = {
    # the configuration's text
    "config-unreadable": ("error", "Triton's protobuf cannot read the configuration"),
    "two-schedulers": ("error", "dynamic_batching, sequence_batching and ensemble_scheduling exclude each other"),
    "config-missing": ("warning", "a folder without config.pbtxt that Triton cannot complete by itself"),
    "config-left-to-triton": ("note", "a folder without config.pbtxt whose model file lets Triton write one"),
    # which model, which backend
    "name-differs": ("error", "the name is not the folder's"),
    "backend-missing": ("error", "no backend, and nothing from which Triton could tell it"),
    "backend-guessed": ("warning", "no backend; Triton takes it from the files it finds"),
    "legacy-platform": ("warning", "an old platform name instead of a backend"),
    "platform-for-backend": ("error", "a platform that Triton does not know, mostly a backend's name"),
    "platform-contradicts-backend": ("error", "platform and backend do not belong together"),
    "batch-size-negative": ("error", "max_batch_size below 0"),
    # versions and files
    "version-folder-missing": ("error", "a model without any version folder"),
    "version-not-there": ("error", "version_policy names a version that has no folder"),
    "no-version-served": ("error", "version_policy leaves no version to serve"),
    "model-file-missing": ("error", "the file that the backend loads is not there"),
    "artefact-not-built": ("note", "an engine's file has not been built yet"),
    "cc-plan-not-built": ("note", "the plan for one compute capability has not been built yet"),
    "python-unreadable": ("error", "model.py is not valid Python"),
    "python-class-missing": ("error", "model.py has no TritonPythonModel"),
    "step-json-unreadable": ("error", "step.json is not JSON"),
    "manifest-unreadable": ("error", "manifest.json is not JSON"),
    "manifest-file-missing": ("error", "the manifest names a file that is not there"),
    "manifest-size-differs": ("error", "a file is not the one that its manifest speaks of"),
    # tensors
    "tensor-name-missing": ("error", "an input or output without a name"),
    "tensor-name-twice": ("error", "two inputs or two outputs of one name"),
    "dtype-missing": ("error", "an input or output without a data type"),
    "dims-missing": ("error", "an input or output without dims"),
    "dims-invalid": ("error", "a dimension that is 0 or below -1"),
    "tensors-left-to-triton": ("note", "no inputs or no outputs: Triton must complete them"),
    # the ONNX file behind a configuration
    "onnx-unreadable": ("error", "the .onnx file does not read as ONNX"),
    "onnx-data-missing": ("error", "the file that holds an ONNX model's weights is not there"),
    "onnx-input-unknown": ("error", "the ONNX graph has no input of this name"),
    "onnx-input-missing": ("error", "an input of the ONNX graph is not in the configuration"),
    "onnx-output-unknown": ("error", "the ONNX graph has no output of this name"),
    "onnx-output-unlisted": ("note", "an output of the ONNX graph that nobody can ask for"),
    "onnx-dtype-differs": ("error", "data type is not the ONNX graph's"),
    "onnx-rank-differs": ("error", "the number of dimensions is not the ONNX graph's"),
    "onnx-dim-differs": ("error", "a dimension is not the ONNX graph's"),
    "onnx-batch-fixed": ("error", "the ONNX graph takes one batch size only"),
    # batching and queues
    "preferred-batch-size": ("error", "a preferred batch size outside 1 to max_batch_size"),
    "batching-without-batches": ("warning", "dynamic_batching with max_batch_size 0"),
    "no-dynamic-batching": ("warning", "max_batch_size above 1, but requests never share a batch"),
    "queue-delay-long": ("warning", "a request may wait over a second for company"),
    "queue-delay-useless": ("warning", "requests wait for company that cannot join them"),
    "unbounded-queue": ("note", "the queue has no limit"),
    "rows-do-not-merge": ("warning", "variable-size inputs that are neither ragged nor padded to buckets"),
    # instances
    "gpus-without-gpu": ("error", "gpus listed for a kind that has none"),
    "instance-count": ("warning", "an instance count below 1"),
    "tensorrt-without-gpu": ("error", "a TensorRT model on the CPU"),
    "profile-on-other-backend": ("error", "profile on a model that is not TensorRT's"),
    "profile-not-a-number": ("error", "a profile that is not an index"),
    "profiles-not-listed": ("warning", "optimization profiles that no instance uses"),
    "profile-beyond-known": ("warning", "an optimization profile that the engine does not seem to have"),
    # warmup
    "warmup-unknown-input": ("warning", "warmup for an input that the model does not have"),
    "warmup-missing-input": ("error", "warmup without one of the model's inputs"),
    "warmup-dtype-differs": ("error", "warmup of another data type than the input's"),
    "warmup-dims-differ": ("error", "warmup of a shape that the input does not take"),
    "warmup-batch-size": ("error", "warmup with more rows than max_batch_size"),
    "warmup-skipped": ("warning", "warmup with batch_size 0, which Triton skips"),
    "warmup-no-data": ("error", "warmup that does not say which data to send"),
    "warmup-file-missing": ("error", "warmup from a file that is not there"),
    # the response cache
    "cache-forgets-outputs": ("warning", "the cache keeps of several outputs those that the first caller asks for"),
    "cache-on-python": ("error", "a Python model's answers are cached, a dead process's too"),
    "cache-on-step": ("warning", "the answers of an ensemble's step are cached"),
    "cache-refused": ("error", "Triton has no cache for this kind of model"),
    # configurations chosen with --model-config-name
    "alternative-interface-differs": ("error", "inputs or outputs are not config.pbtxt's"),
    "alternative-batch-size-differs": ("warning", "max_batch_size is below config.pbtxt's"),
    # ensembles
    "ensemble-field-refused": ("error", "a field that an ensemble must not have"),
    "ensemble-platform": ("error", 'an ensemble is platform "ensemble" and has no backend'),
    "ensemble-without-steps": ("error", "an ensemble without steps"),
    "ensemble-cycle": ("error", "ensembles that contain each other"),
    "ensemble-input-unused": ("error", "an input of the ensemble that no step takes"),
    "step-map-empty": ("error", "a step without input_map or output_map"),
    "step-model-unknown": ("error", "a step of a model that is not in the repository"),
    "step-version-unpinned": ("warning", "a step of whatever version is newest"),
    "step-version-not-served": ("error", "a step of a version that its model does not serve"),
    "step-batch-size": ("error", "a step takes fewer rows than its ensemble"),
    "step-input-unknown": ("error", "input_map names an input that the step's model does not have"),
    "step-input-unmapped": ("error", "an input of the step's model is not mapped"),
    "step-output-unknown": ("error", "output_map names an output that the step's model does not have"),
    "step-cycle": ("error", "steps that wait for each other"),
    "tensor-not-produced": ("error", "a step takes a tensor that nothing gives"),
    "tensor-produced-twice": ("error", "two givers of one tensor"),
    "tensor-unused": ("error", "a step gives a tensor that nothing takes"),
    "output-not-produced": ("error", "an output of the ensemble that no step gives"),
    "tensor-dtype-differs": ("error", "giver and taker of a tensor differ in data type"),
    "tensor-dims-differ": ("error", "giver and taker of a tensor differ in shape"),
}


def found(rule: str, file: str, field: str, message: str, fix: str) -> Finding:
    """A finding at its rule's level."""
    return Finding(RULES[rule][0], file, field, rule, message, fix)
