# Rendered from imagenet.toml and imagenet.lock.toml; change those and run: tritonsmith render
from tritonsmith_steps.serve import triton_model

TritonPythonModel = triton_model("classify")
