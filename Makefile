# make quickstart | install | format | lint | test | test-app | test-dist | app-pictures | js | check | test-lowest | bench | scores
#      doctor | docs | serve-docs | notebooks | dist | try-dist
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: docs serve-docs notebooks dist test-dist try-dist quickstart install format lint test test-app app-pictures js check test-lowest bench scores doctor

install: $(INSTALLED)

$(INSTALLED): pyproject.toml tools/install.sh
	@tools/install.sh

# ARGS=--no-app prints the scores and ends
quickstart: $(INSTALLED)
	$(BIN)/fiftyone-ssa quickstart $(ARGS)

format: $(INSTALLED)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(INSTALLED)
	$(BIN)/pytest -rs -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --durations 25 --durations-min 5 --ignore tests/app $(ARGS)

check: lint test

# the browser tests alone, with their pictures in SSA_SCREENSHOTS (.screenshots); a skipped one says why
WORKERS ?= 2
test-app: export SSA_SCREENSHOTS ?= $(CURDIR)/.screenshots
test-app: $(INSTALLED)
	$(BIN)/pytest -rs -n $(WORKERS) --dist loadfile $(or $(ARGS),tests/app)

# docs/app's pictures, made by the browser tests
app-pictures: $(INSTALLED)
	$(BIN)/python tools/app_pictures.py

# the App's panel "Review masks": its parts are tested, its bundle is built anew; needs node 20 or later
js: js/node_modules
	node --test tests/js/
	cd js && node build.mjs

js/node_modules: js/package-lock.json
	cd js && npm ci --no-audit --no-fund
	touch $@

# the tests with the lowest versions that pyproject.toml allows; ARGS go to pytest
test-lowest:
	tools/test_lowest.sh $(ARGS)

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

scores: $(INSTALLED)
	$(BIN)/python -m benchmarks.quality --write docs/quickstart.md

doctor: $(INSTALLED)
	$(BIN)/fiftyone-ssa doctor

# the documentation as a site, in site/: built strictly, and with no network
docs: export NO_MKDOCS_2_WARNING = 1
docs: $(INSTALLED)
	$(BIN)/python -m mkdocs build --strict --quiet
	@echo "open site/index.html (its search works where it is served: make serve-docs)"

serve-docs: $(INSTALLED)
	$(BIN)/python -m mkdocs serve

# runs both notebooks offline, and stores what they answer without machine paths
notebooks: $(INSTALLED)
	$(BIN)/python -m tools.notebooks $(ARGS)

# wheel and sdist, in dist/
dist: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .

# what the wheel and the sdist hold, and the quickstart from the wheel alone, with the requirements of .venv
test-dist: $(INSTALLED)
	$(BIN)/pytest -rs -m dist tests/test_dist.py

# the wheel in an environment of its own with all that it asks for (minutes, 7 GB), and the quickstart there, timed
try-dist: dist
	tools/try_dist.sh
