# make demo    install, search on embedded data, confirm the result, write a report: five minutes
# make test    install, run the tests
# make test-ray    install, run the tests that start a Ray cluster on this machine
# make lint    install, check formatting, style, types, import directions, names
# make docs    install, build the documentation into site/, with warnings as errors
# make bench   install, run the benchmarks within two hours (MINUTES=30: in half an hour),
#              and mark the figures that are worse than the committed ones
# make bench-demo   repeat the demo and compare its claims with the truth: two hours
# make chaos   install, attack searches for half an hour: kills, full disks, hostile input

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DEMO := demo
SEED := 0
MINUTES := 120

# With Python's compiled files, the processes that tests and searches start begin sooner.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-ray test-slow lint docs bench bench-demo chaos clean
.DELETE_ON_ERROR:

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "attentune needs Python 3.11 or newer; use make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

# It continues where an interrupted call has stopped; after a finished one it shows the results again.
demo: $(VENV)/.installed
	@mkdir -p $(DEMO)
	@if $(BIN)/attentune show demo --db $(DEMO)/attentune.db >/dev/null 2>&1; then \
		$(BIN)/attentune resume demo --db $(DEMO)/attentune.db; \
	else \
		$(BIN)/attentune search demo --config examples/demo.toml --seed $(SEED) \
			--db $(DEMO)/attentune.db; \
	fi
	@$(BIN)/attentune confirm demo --top 2 --seeds 6 --epochs 5 --db $(DEMO)/attentune.db
	@$(BIN)/attentune report demo --db $(DEMO)/attentune.db --output $(DEMO)/report.html
	@echo "Open $(abspath $(DEMO))/report.html in a browser."

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --dist worksteal

# They share one cluster, so they run in one process.
test-ray: $(VENV)/.installed
	$(BIN)/python -m pytest -m "ray and not slow"

test-slow: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto -m slow

lint: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_package.py tests/test_vocabulary.py -k "vocabulary or import or folder"

# The variable silences a notice of the theme about its successor.
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open $(abspath site)/index.html in a browser."

# No benchmark needs a file of the hub, and none depends on whether it can be reached.
bench bench-demo: export HF_HUB_OFFLINE := 1

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/bench.py --minutes $(MINUTES)
	$(BIN)/python benchmarks/docs_tables.py

bench-demo: $(VENV)/.installed
	$(BIN)/python benchmarks/demo.py --json benchmarks/results/demo.json
	$(BIN)/python benchmarks/docs_tables.py

chaos: $(VENV)/.installed
	PYTHONPATH=tests $(BIN)/python -P -m chaos --json benchmarks/results/chaos.json
	$(BIN)/python benchmarks/docs_tables.py

clean:
	rm -rf $(VENV) build dist site *.egg-info $(DEMO)
