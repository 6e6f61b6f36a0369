# Rendered from sentiment.toml and sentiment.lock.toml; change those and run: tritonsmith render
from tritonsmith_steps.serve import triton_model

TritonPythonModel = triton_model("tokenize")
