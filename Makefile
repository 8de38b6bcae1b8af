# Two commands do everything: `make demo` and `make test`. Each makes .venv when it is needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test venv lint

venv: $(BIN)/.installed

$(BIN)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[compress,openvino,ray,test]'
	touch $@

demo: venv
	$(BIN)/dinku demo

test: venv lint
	$(BIN)/python -m pytest --numprocesses 2

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
