# make quickstart | install | test | lint | check | bench | scores | doctor
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: quickstart install test lint check bench scores doctor

install: $(INSTALLED)

$(INSTALLED): pyproject.toml tools/install.sh
	@tools/install.sh

# ARGS=--no-app prints the scores and ends
quickstart: $(INSTALLED)
	$(BIN)/fiftyone-ssa quickstart $(ARGS)

test: $(INSTALLED)
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

check: lint test

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

scores: $(INSTALLED)
	$(BIN)/python -m benchmarks.quality --write docs/quickstart.md

doctor: $(INSTALLED)
	$(BIN)/fiftyone-ssa doctor
