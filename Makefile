# make run      the suite with a sample catalogue on this machine, until Ctrl-C
# make test     everything that is tested, against real servers of its own
SHELL := /bin/bash
.DEFAULT_GOAL := help
SWIFT_FLAGS := --explicit-target-dependency-import-check error

.PHONY: help setup run build test smoke bench fault durability lint format clean

help:
	@sed -n 's/^# //p' Makefile; echo "also: build, smoke BASE_URL= KEY=, bench, fault, durability, lint, format, clean"

setup:
	@deploy/scripts/setup.sh test

run:
	@deploy/scripts/run.sh

build:
	@deploy/scripts/setup.sh run
	swift build -c release $(SWIFT_FLAGS)

test:
	@deploy/scripts/test.sh

# BASE_URL=http://127.0.0.1:8000 KEY=<API key>: checks a running suite end to end, through its public API only
smoke:
	@python3 deploy/scripts/smoke.py "$(BASE_URL)" "$(KEY)"

# The figures of the README: stub servers, 202,910 rows, every process' CPU and memory. BENCH="pipeline search" runs some.
bench: build
	@deploy/scripts/setup.sh test
	@venv=$$(deploy/scripts/venv.sh bench) && model=$$(deploy/scripts/fetch-model.sh || true) \
	  && env -u OPENBLAS_CORETYPE EMBEDDING_MODEL_DIR="$$model" "$$venv/bin/python" deploy/bench/bench.py $(BENCH)

# The long fault suite. SEED= repeats the random part, FAULTS= selects cases by name.
fault: build
	@deploy/scripts/setup.sh test
	@venv=$$(deploy/scripts/venv.sh) && SUITE_CONFIGURATION=release SUITE_SEED="$(SEED)" \
	  "$$venv/bin/python" -m pytest -q -x -m "fault or longfault" -k "$(FAULTS)" Tests/EndToEnd

# The store: 100 random kill -9 during mixed writes, a full disk. SEED= repeats.
durability: build
	@deploy/scripts/setup.sh test
	@venv=$$(deploy/scripts/venv.sh) && INDEXER_BINARY=.build/release/indexer SUITE_SEED="$(SEED)" \
	  "$$venv/bin/python" -m pytest -q -s Tests/Official/test_durability.py

lint:
	@deploy/scripts/lint.sh

format:
	swift format --in-place --recursive --parallel Package.swift Services Shared Tests

clean:
	rm -rf .build .run
