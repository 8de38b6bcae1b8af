# Two commands do everything: `make demo` and `make test`. Each makes .venv when it is needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test quick docs hooks venv lint release

venv: $(BIN)/.installed

# The demo needs far less than the tests, which is for whoever pays for what is downloaded.
$(BIN)/.demo: EXTRAS := compress
$(BIN)/.installed: EXTRAS := compress,openvino,ray,test
TAGGER := packages/dinku-masakhaner
$(BIN)/.demo $(BIN)/.installed: pyproject.toml constraints.txt $(TAGGER)/pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]' --editable $(TAGGER)
	touch $@

demo: $(BIN)/.demo
	$(BIN)/dinku demo

test: venv lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# Tests without training, subprocesses, browsers, real corpora, simulations and whole reports, which take under a minute together.
QUICK := tests/data tests/scoring tests/claims tests/model tests/report/test_records.py tests/report/test_sections.py \
	tests/report/test_writers.py tests/cli/test_terminal.py tests/study/test_definition.py tests/study/test_recipe.py \
	tests/study/test_results.py tests/test_errors.py tests/test_files.py tests/test_law.py
quick: venv
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not shared and not slow" $(QUICK)

# The site in site/, from docs/ and from docstrings; a dead link or anchor is an error. Needs no network once it is installed.
docs: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

hooks: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pre-commit
	$(BIN)/pre-commit install

release: venv
	$(BIN)/python scripts/release.py

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
