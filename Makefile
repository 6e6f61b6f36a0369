# make run    build the sentiment pipeline, serve it, ask it, stop
# make serve  the same, and stay up
# make test   everything that must hold; make test-full adds what takes long
# make bench  measure this server beside its peers and its own engine, and write docs/benchmarks.md;
#             make bench-quick: a few figures in under 3 minutes, nothing written. Both need wrk
# make loadtest  30 s of load on a server of its own, the report in .tritonsmith/load: docs/loadtest.md
# make faults kill and halt steps and server under load, ten times each, and write docs/reliability.md
# make monitor  a server, Prometheus and light load here: whether every rule and panel finds data, and what watching costs
# make redaction  what the redacting step finds of what Presidio's generator writes about people, into docs/redaction.md
# make gpu    on a GPU host: build, prove, verify and measure the TensorRT engines, and write docs/gpu-report.md
# make families  write the families of models that the tests compare with the libraries into the README
# Another Python: make PYTHON=python3.12 run

SHELL := /bin/sh
BIN := .venv/bin
# Everything this project makes stays in its own folder.
export TRITONSMITH_CACHE ?= $(CURDIR)/.tritonsmith/cache
# A version this project runs on: the given one, else the first that is here.
FITS = import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do "$$p" -c '$(FITS)' 2>/dev/null && echo "$$p" && break; done)

# TensorRT's Python bindings without its libraries: what the tests read its API from, of each version that must fit.
BINDINGS := .venv/tensorrt-bindings
BINDINGS_10.16 := tensorrt-cu12-bindings==10.16.1.11
BINDINGS_11 := tensorrt-cu13-bindings==11.2.1.2

# Three files of tests at a time, for two cores: most wait for one core's work, torch's or Triton's start.
BESIDE := --numprocesses 3 --dist loadfile

.PHONY: run serve test test-full bench bench-quick loadtest faults monitor redaction gpu families lint

run: .venv/run.stamp
	$(BIN)/python -m tritonsmith_build render
	$(BIN)/python -m tritonsmith_build demo sentiment

serve: .venv/run.stamp
	$(BIN)/python -m tritonsmith_build build sentiment embeddings imagenet
	$(BIN)/python -m tritonsmith_build serve

test: lint .venv/bindings.stamp
	$(BIN)/python -m pytest $(BESIDE) -m "not full and not alone"
	$(BIN)/python -m pytest -m "alone and not full"

test-full: lint .venv/bindings.stamp
	$(BIN)/python -m pytest $(BESIDE) -m "not alone"
	$(BIN)/python -m pytest -m alone

# What is given in LOAD goes to the run: make loadtest LOAD="loadtest/scenarios/ramp.toml --url grpc://host:8001"
LOAD ?= loadtest/scenarios/steady.toml
loadtest: .venv/bench.stamp
	$(BIN)/python -m tritonsmith_build build sentiment embeddings
	PYTHONPATH=loadtest $(BIN)/python -m load run $(LOAD)

# What is given in FAULTS goes to the run: make faults FAULTS="--repeats 1 --only Triton"
faults: .venv/bench.stamp
	$(BIN)/python -m tritonsmith_build build sentiment --precision fp32 --repository .tritonsmith/faults
	PYTHONPATH=loadtest $(BIN)/python -m faults --repository .tritonsmith/faults --document docs/reliability.md $(FAULTS)

# What is given in MONITOR goes to the run: make monitor MONITOR="--seconds 60 --json"
monitor: .venv/bench.stamp
	$(BIN)/python -m tritonsmith_build build sentiment
	PYTHONPATH=loadtest $(BIN)/python -m monitor $(MONITOR)

# Presidio's generator brings spaCy and more, and stays by itself.
redaction: .venv/run.stamp .venv/presidio/bin/python
	.venv/presidio/bin/python loadtest/redaction/sentences.py 5000 .tritonsmith/sentences.jsonl
	PYTHONPATH=loadtest $(BIN)/python -m redaction .tritonsmith/sentences.jsonl --document docs/redaction.md

.venv/presidio/bin/python: | .venv/bin/python
	$(BIN)/python -m venv .venv/presidio
	.venv/presidio/bin/pip install --quiet presidio-evaluator==0.3.2 || { rm -rf .venv/presidio; exit 1; }

# What is given in BENCH goes to the run: make bench BENCH="--only litserve --rounds 1"
bench: .venv/bench.stamp
	PYTHONPATH=loadtest $(BIN)/python -m bench run $(BENCH)

bench-quick: .venv/bench.stamp
	PYTHONPATH=loadtest $(BIN)/python -m bench quick

# The tests run whatever the report says; either's failure is the command's.
gpu:
	@if command -v nvidia-smi >/dev/null; then \
		$(MAKE) --no-print-directory .venv/gpu.stamp || exit 1; failed=0; \
		$(BIN)/python -m tritonsmith_build gpu-report sentiment embeddings || failed=1; \
		$(BIN)/python -m pytest tests/gpu || failed=1; exit $$failed; \
	else echo "no GPU here (nvidia-smi shows none): nothing to measure"; fi

families: .venv/test.stamp
	PYTHONPATH=tests/fakes:tests/build $(BIN)/python -m parity_families

lint: .venv/test.stamp
	$(BIN)/python -m ruff check
	$(BIN)/python -m ruff format --check
	$(BIN)/python -m mypy
	$(BIN)/python -m tritonsmith_build render --check
	$(BIN)/python -m tritonsmith_build lint

.venv/run.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[build,server,samples,openvino]'
	@touch $@

.venv/test.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/run.stamp

.venv/bench.stamp: pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[build,server,samples,openvino,loadtest]'
	@touch $@

.venv/gpu.stamp: .venv/test.stamp
	$(BIN)/python -m pip install --quiet --editable '.[dev,gpu]'
	@touch $@

.venv/bindings.stamp: Makefile | .venv/bin/python
	@rm -rf $(BINDINGS)
	$(BIN)/python -m pip install --quiet --no-deps --target $(BINDINGS)/10.16 $(BINDINGS_10.16)
	$(BIN)/python -m pip install --quiet --no-deps --target $(BINDINGS)/11 $(BINDINGS_11)
	@touch $@

.venv/bin/python:
	@"$(PYTHON)" -c '$(FITS)' 2>/dev/null || { echo "error: Python 3.11 or 3.12 is needed; run: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	@"$(PYTHON)" -m venv .venv || { rm -rf .venv; echo "error: no virtual environment could be made; on Debian or Ubuntu run: apt-get install python3-venv"; exit 1; }
