# Every target sets up what it needs; a second call is instant.
PY := .venv/bin/python
STAMP := .venv/.stamp
NODE := node_modules/.stamp

.PHONY: setup demo test check bench guard-report lock clean

setup: $(STAMP) $(NODE)

$(STAMP): requirements.lock pyproject.toml
	python3 -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What pages are served with, and the published descriptions that tests hold our doubles to.
$(NODE): package.json package-lock.json
	npm ci --silent
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
