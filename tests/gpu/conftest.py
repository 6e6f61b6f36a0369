"""What needs a GPU with TensorRT is skipped elsewhere, with the reason that the command line gives."""

from __future__ import annotations

import pytest
from tritonsmith_build.errors import SmithError
from tritonsmith_build.gpu.host import NO_GPU, GpuHost, gpu_host
from tritonsmith_build.server.plans import gpus


@pytest.fixture(scope="session")
def host() -> GpuHost:
    """This machine's GPU."""
    if not gpus():
        pytest.skip(NO_GPU)
    try:
        return gpu_host()
    except SmithError as lacking:
        pytest.skip(lacking.what)
