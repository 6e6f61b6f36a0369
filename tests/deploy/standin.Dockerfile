# Stands in for NVIDIA's image where a container engine is and that image is not: the wheel's Triton, laid out as NVIDIA lays
# out its own, on a system with the same Python packages. It has no GPU, no TensorRT and no ONNX Runtime backend.
ARG SYSTEM=ubuntu:24.04
FROM ${SYSTEM}
# NVIDIA's build script installs the same for its Python backend.
RUN apt-get update && \
    apt-get install --yes --no-install-recommends ca-certificates libgomp1 libpython3-dev python3 python3-pip python3-venv && \
    rm -rf /var/lib/apt/lists/*
ARG WHEEL=nvidia-pytriton==0.7.0
RUN pip install --break-system-packages --no-cache-dir 'numpy<2' && \
    pip install --no-cache-dir --no-deps --target /wheel "${WHEEL}" && \
    mv /wheel/pytriton/tritonserver /wheel/nvidia_pytriton.libs /opt && \
    mv "/opt/tritonserver/python_backend_stubs/$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')/"* \
       /opt/tritonserver/backends/python && \
    rm -r /wheel
ENV PATH=/opt/tritonserver/bin:${PATH} \
    LD_LIBRARY_PATH=/opt/nvidia_pytriton.libs
