# make install | test | lint | check | bench | doctor
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install test lint check bench doctor

install: $(INSTALLED)

$(INSTALLED): pyproject.toml tools/install.sh
	@tools/install.sh

test: $(INSTALLED)
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

check: lint test

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

doctor: $(INSTALLED)
	$(BIN)/fiftyone-ssa doctor
