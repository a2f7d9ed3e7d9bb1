# Everything a newcomer needs: `make sweep` runs the main job, `make test` the tests; both set up what is missing.
PYTHON ?= python3
BIN := .venv/bin
MODEL := .models/SmolLM2-135M-Instruct.Q4_1.gguf
# `results/` and `plots/` hold the reference run that the README shows; a run of yours goes to runs/.
RUN := runs/smollm2-arithmetic
REFERENCE := results/smollm2-arithmetic
SWEEP = $(BIN)/hyperscale sweep --model $(MODEL) --tasks arithmetic --dtype bfloat16 \
    --widths 1,2,4,8 --lengths 96,128,192,256 --max-batch 128

.PHONY: setup model sweep figures reference test lint format bench bench-attention docs clean clean-kernels

setup: .venv/.installed
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("hyperscale needs Python 3.11 or newer" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

model: $(MODEL)
$(MODEL): | .venv/.installed
	$(BIN)/python scripts/fetch_smollm2.py $@

# A small instruct model on a small task that the project wrote: minutes on two cores, no hub, no GPU, no key.
# Run it again and it goes on where it stood, or says that nothing is left to do.
sweep: setup $(MODEL)
	$(SWEEP) --output-dir $(RUN)
	$(BIN)/hyperscale figures $(RUN)

figures: setup
	$(BIN)/hyperscale figures $(REFERENCE) --out plots

reference: setup $(MODEL)
	$(SWEEP) --output-dir $(REFERENCE) --force
	$(BIN)/hyperscale figures $(REFERENCE) --out plots

test: setup $(MODEL)
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Ratios against a peer measured in the same run; see docs/benchmarks.md.
bench: setup $(MODEL)
	$(BIN)/python -m benchmarks.decode
	$(BIN)/python -m benchmarks.sweep
	$(BIN)/python -m benchmarks.grid

bench-attention: setup $(MODEL)
	$(BIN)/python -m benchmarks.attention
	$(BIN)/python -m benchmarks.backends

docs: setup
	$(BIN)/python -m hyperscale.results.docs > docs/results.md

# numba keeps machine code beside the sources; see hyperscale/floats.py for when it must go.
clean-kernels:
	find hyperscale -name '*.nb[ic]' -delete

clean: clean-kernels
	rm -rf .venv .models .pytest_cache .mypy_cache .ruff_cache
