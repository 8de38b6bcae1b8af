# Two commands do everything: `make demo` and `make test`. Each makes .venv when it is needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test quick hooks venv lint

venv: $(BIN)/.installed

# The demo needs far less than the tests, which is for whoever pays for what is downloaded.
$(BIN)/.demo: EXTRAS := compress
$(BIN)/.installed: EXTRAS := compress,openvino,ray,test
$(BIN)/.demo $(BIN)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

demo: $(BIN)/.demo
	$(BIN)/dinku demo

test: venv lint
	$(BIN)/python -m pytest --numprocesses 2

# What neither trains nor starts processes.
QUICK := tests/data tests/scoring tests/claims tests/report tests/study/test_definition.py tests/study/test_recipe.py tests/test_law.py
quick: venv
	$(BIN)/python -m pytest --numprocesses 2 $(QUICK)

hooks: venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check pre-commit
	$(BIN)/pre-commit install

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
