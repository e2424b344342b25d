# Every command sets up what it needs: a virtual environment in .venv, the dependencies, the native core.
# Nothing outside this directory is touched. docs/development.md explains the choices.

PYTHON ?= python3
ARGS   ?=

FUZZ_SECONDS ?= 600

VENV  := .venv
BIN   := $(VENV)/bin
READY := $(VENV)/.ready
RUST  := $(wildcard Cargo.toml Cargo.lock) $(shell find rust -name '*.rs')

# maturin installs into the active environment and refuses when there are two: it gets ours, whichever the caller is in.
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
unexport CONDA_PREFIX PYTHONHOME PYTHONPATH
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# PyO3's build script looks for a Python: the same one for every cargo command, else each would rebuild what the last one built.
export PYO3_PYTHON := $(VIRTUAL_ENV)/bin/python

# Whatever names no core is run once: tests/core and tests/fuzz compare both by themselves; fetching is the network's, exact limits and shared
# revocations are Redis's, a trail is written and read without either, and the rest of these are about servers, clients and suites that others
# wrote, and about whom a gate asks through them. What it records and what it makes of an answer is tested over both
# (tests/audit/test_every_way_out.py, tests/test_gate_confirmation.py).
ONCE := $(addprefix --ignore=tests/,core fuzz interop conformance servers store \
	cli/test_audit.py cli/test_tokens.py cli/test_init.py cli/test_rules.py \
	tokens/test_fetch.py tokens/test_discovery.py tokens/test_introspection.py tokens/test_introspection_flights.py \
	tokens/test_shared_revocations.py tokens/test_revoking_processes.py tokens/test_memory.py \
	adapters/test_transparent.py adapters/test_places.py adapters/test_mounted_apps.py adapters/test_workers.py \
	adapters/test_list_answers.py adapters/test_streams.py adapters/test_early_refusals.py \
	adapters/test_running.py adapters/test_traced.py adapters/test_approver.py adapters/test_confirmation.py \
	adapters/test_confirmation_mounted.py adapters/test_confirmation_places.py adapters/test_confirmation_state.py \
	adapters/test_confirmation_binding.py adapters/test_ended_calls.py \
	audit/reading audit/test_killed_rotating.py audit/test_ended.py audit/test_kill.py audit/test_faults.py \
	audit/test_mounts.py audit/test_intact.py audit/test_durable.py limits/test_redis_script.py \
	remote/test_exact.py remote/test_leased.py remote/test_topologies.py remote/test_connection.py \
	remote/test_promises.py remote/test_confirmation_redis.py)

# A test that hangs says where, and ends the run: waiting for it would take as long as whoever waits has.
PATIENCE := -o faulthandler_timeout=300 -o faulthandler_exit_on_timeout=true

# The first Python of a version that runs; pyenv's shims answer only for the versions that are selected, so its folder is searched too.
interpreter = $(firstword $(shell for each in python$(1) $(HOME)/.pyenv/versions/$(1).*/bin/python$(1); do $$each -c '' 2>/dev/null && echo $$each; done))

comma := ,
space := $(subst ,, )
EXTRAS := dev mcp fastmcp cli pure redis report otel

# A second environment: its name, its interpreter, options of uv. The extension is built for it from the same target folder.
environment = $(BIN)/uv venv --quiet --allow-existing --python $(2) $(VENV)/.$(1) && \
	$(BIN)/uv pip install --quiet --python $(VENV)/.$(1)/bin/python $(3) --requirement pyproject.toml $(EXTRAS:%=--extra %) && \
	PATH="$(CURDIR)/$(BIN):$$PATH" VIRTUAL_ENV="$(CURDIR)/$(VENV)/.$(1)" $(BIN)/maturin develop --uv --release --quiet

say = @printf '==> %s\n'

.DEFAULT_GOAL := help
.PHONY: help demo test test-floors test-pythons audit prove fuzz bench lint test-rust test-python format build clean

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(READY) ## a protected MCP server and what it refuses, as a table (ARGS=--serve leaves it running)
	@$(BIN)/doorward demo $(ARGS)

test: lint test-rust test-python ## formatters, linters, types, and all tests over both implementations
	$(say) 'all passed'

test-floors: $(READY) ## the tests of adapters, stores and telemetry, with the oldest releases that pyproject.toml allows
	$(say) 'pytest, oldest allowed dependencies'
	@$(call environment,floors,$(PYTHON),--resolution lowest-direct)
	@DOORWARD_CORE=rust $(VENV)/.floors/bin/python -m pytest --quiet $(PATIENCE) -p no:warnings \
		tests/adapters tests/telemetry tests/store tests/limits tests/remote tests/tokens tests/test_testing.py $(ARGS)

test-pythons: test-python-3.12 test-python-3.13 ## the tests of the core, the gate and the adapters on every other Python

test-python-%: $(READY)
	@if [ -z '$(call interpreter,$*)' ]; then \
		echo '==> skipped: Python $* is not installed; put python$* on PATH, or install it with pyenv'; \
	else \
		echo '==> pytest, Python $*'; \
		$(call environment,python-$*,$(call interpreter,$*)) && \
		DOORWARD_CORE=rust $(VENV)/.python-$*/bin/python -m pytest --quiet $(PATIENCE) \
			tests/core tests/config tests/tokens tests/adapters $(wildcard tests/test_*.py) $(ARGS); \
	fi

audit: $(READY) ## known advisories in the installed packages and in Cargo.lock (docs/development.md)
	$(say) 'pip-audit'
	@$(BIN)/uv tool run --quiet pip-audit --strict --requirement <($(BIN)/uv pip freeze --exclude-editable) --disable-pip --no-deps
	$(say) 'cargo audit'
	@cargo audit --deny warnings

prove: $(READY) ## the same tests with large counts, optimised; takes long
	$(say) 'cargo test, large counts'
	@DOORWARD_PROVE=1 cargo test --release --quiet
	$(say) 'pytest, large counts, native core'
	@DOORWARD_PROVE=1 DOORWARD_CORE=rust $(BIN)/python -m pytest $(ARGS)
	$(say) 'pytest, large counts, pure Python'
	@DOORWARD_PROVE=1 DOORWARD_CORE=python $(BIN)/python -m pytest $(ONCE) $(ARGS)

fuzz: $(READY) ## damaged tokens, key sets and claims to both cores for ten minutes (FUZZ_SECONDS=600)
	$(say) 'fuzz'
	@cd tests && ../$(BIN)/python -m fuzz.fuzz --seconds $(FUZZ_SECONDS) $(ARGS)

bench: $(READY) $(VENV)/.bench ## criterion and pytest-benchmark: the native core, the fallback and the peers
	$(say) 'cargo bench'
	@cargo bench --quiet
	$(say) 'pytest benches'
	@$(BIN)/python -m pytest --benchmark-enable --benchmark-only --benchmark-group-by=group benches $(ARGS)
	$(say) 'whole servers over loopback'
	@$(BIN)/python -m benches.server

lint: $(READY) ## cargo fmt, clippy, ruff, mypy, stubtest: every warning is an error
	$(say) 'cargo fmt'
	@cargo fmt --check
	$(say) 'ruff'
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	$(say) 'mypy --strict'
	@$(BIN)/mypy
	$(say) 'mypy: tests and benches'
	@$(BIN)/mypy --config-file tests/mypy.ini tests benches
	$(say) 'stubtest: the native core against its contract'
	@$(BIN)/python -m mypy.stubtest doorward._rust
	$(say) 'clippy'
	@cargo clippy --quiet --all-targets --all-features -- --deny warnings

test-rust: ## cargo test alone: the core, without Python
	$(say) 'cargo test'
	@cargo test --quiet

# Both at once, as neither keeps a processor busy for long; the second says nothing before the first has ended.
test-python: $(READY) ## pytest alone: tests/core and tests/fuzz run over both implementations at once, the rest once over each
	$(say) 'pytest, native core; pure Python beside it'
	@DOORWARD_CORE=python $(BIN)/python -m pytest --quiet $(PATIENCE) $(ONCE) $(ARGS) >$(VENV)/pure.log 2>&1 & beside=$$!; \
	trap 'kill $$beside 2>/dev/null' EXIT; \
	DOORWARD_CORE=rust $(BIN)/python -m pytest --quiet $(PATIENCE) $(ARGS); native=$$?; \
	wait $$beside; pure=$$?; trap - EXIT; \
	printf '==> pytest, pure Python\n'; cat $(VENV)/pure.log; \
	test $$native -eq 0 -a $$pure -eq 0

format: $(READY) ## rewrite what cargo fmt and ruff would complain about
	@cargo fmt
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

build: $(READY) ## only set up: environment, dependencies, native core

clean: ## remove the environment and everything built
	rm -rf $(VENV) target dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks tests/interop/node_modules
	rm -f python/doorward/_rust*.so python/doorward/_rust*.pyd

# maturin also installs the dependencies, so this runs again when pyproject.toml or any Rust source is newer than the stamp.
$(READY): pyproject.toml $(RUST) | $(VENV)/.made
	@command -v cargo >/dev/null || { echo 'cargo is missing: install Rust 1.88 or newer, https://rustup.rs' >&2; exit 1; }
	$(say) 'building the native core and installing dependencies (the first time takes a few minutes)'
	@PIP_QUIET=1 $(BIN)/maturin develop --release --quiet --extras $(subst $(space),$(comma),$(EXTRAS))
	@touch $@

$(VENV)/.made:
	$(say) 'creating the virtual environment in $(VENV)'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo 'this Python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet 'maturin>=1.16,<2' 'uv>=0.13,<1'
	@touch $@

$(VENV)/.bench: pyproject.toml | $(READY)
	$(say) 'installing the peers to measure against'
	@PIP_QUIET=1 $(BIN)/maturin develop --release --quiet --extras $(subst $(space),$(comma),$(EXTRAS) bench)
	@touch $@
