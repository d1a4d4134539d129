# Every target sets up what it needs; a second call is instant.
PY := .venv/bin/python
STAMP := .venv/.stamp
NODE := node_modules/.stamp
VENDOR := src/overnight/dashboard/static/vendor

.PHONY: setup demo test check bench screenshots guard-report lock clean

setup: $(STAMP) $(NODE) $(VENDOR)/.stamp

$(STAMP): requirements.lock pyproject.toml
	python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What pages are served with, and the published descriptions that tests hold our doubles to.
$(NODE): package.json package-lock.json
	npm ci --silent
	@touch $@

# What browsers are given; it is part of the wheel.
$(VENDOR)/.stamp: $(NODE)
	mkdir -p $(VENDOR)
	cp node_modules/htmx.org/dist/htmx.min.js node_modules/htmx.org/dist/ext/hx-sse.min.js $(VENDOR)/
	cp node_modules/uplot/dist/uPlot.iife.min.js node_modules/uplot/dist/uPlot.min.css $(VENDOR)/
	sed -i '/^\/\/# sourceMappingURL=/d' $(VENDOR)/*.js
	@touch $@

demo: $(STAMP)
	.venv/bin/overnight demo

test: setup
	$(PY) -m pytest -n 2 --dist worksteal

check: setup
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports
	.venv/bin/pyright

bench: setup
	$(PY) -m benchmarks

# Pictures of the pages and of the terminal for README and documentation; needs chromium.
screenshots: setup
	mkdir -p docs/images
	$(PY) tests/web/web_screenshots.py docs/images
	$(PY) tests/web/watch_screenshots.py docs/images

# How the guard does on labelled commands: make guard-report FILE=cases.jsonl
FILE ?= tests/guard/cases.jsonl
guard-report: setup
	$(PY) -m benchmarks.guard_report $(FILE)

# Pin every dependency by hash, without addresses. Needs `uv` on the PATH.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --group dev --generate-hashes \
	    --no-header --no-annotate --no-strip-extras pyproject.toml -o requirements.lock

clean:
	rm -rf .venv build dist
