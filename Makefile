# The workflow, from a fresh clone to a release. `make help` lists it.
# Every target makes the virtual environment it needs, once.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
RUN    := $(VENV)/.installed-run
DEV    := $(VENV)/.installed-dev
BENCH  := $(VENV)/.installed-bench
LOOK   := $(VENV)/.installed-look
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help run-once daemon sandbox test test-fast daemon-day check format simulate crashtest mailtest mail-look spamtest mutants bench lock clean

help:           ## Show this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */  make \1|/' | column -t -s '|'

run-once: $(RUN)  ## One billing cycle: charge what is due, write the mail (ARGS="--dry-run")
	@$(BIN)/billing run-once $(ARGS)

daemon: $(RUN)    ## A cycle now and every schedule.every_minutes, until Ctrl-C
	@$(BIN)/billing daemon $(ARGS)

sandbox: $(RUN)   ## Serve the local Mileston sandbox, so that its checkout pages open in a browser
	@$(BIN)/billing sandbox serve --port 8788 --data var/sandbox.jsonl $(ARGS)

test: $(DEV)      ## Run the tests
	$(BIN)/pytest $(ARGS)

# Pure code and units: no server, no process of their own, and few examples of each property.
FAST := tests/core tests/config tests/test_layering.py tests/cycle/test_pipeline.py tests/cycle/test_report.py \
	tests/app/test_csv_rows.py tests/app/test_csv_rows_files.py tests/app/test_csv_rows_references.py \
	tests/app/test_csv_text.py tests/app/test_csv_rows_guard.py tests/app/test_permissions.py \
	tests/app/test_redaction.py tests/app/test_instrumentation.py tests/app/test_examples.py tests/gateway/test_addresses.py \
	tests/gateway/test_redact.py tests/gateway/test_resources.py tests/gateway/test_verdicts_echo.py \
	tests/mail/test_calendar.py tests/mail/test_console.py tests/mail/test_message.py tests/mail/test_message_bodies.py tests/mail/test_markup.py tests/mail/test_facts.py tests/mail/test_refusals.py tests/mail/test_samples.py \
	tests/mail/test_i18n.py tests/mail/test_i18n_formats.py tests/cycle/test_observation.py tests/daemon/test_scheduler.py tests/small_campaigns/test_mutants_fit.py
SLOW := --deselect tests/test_layering.py::test_everything_but_the_sandbox_loads_without_it \
	--deselect tests/core/test_markers.py::test_a_hundred_thousand_payments_have_as_many_markers \
	--deselect tests/core/test_coverage.py::test_lists_of_every_order_but_one_do_prove_something \
	--deselect tests/core/test_coverage.py::test_an_order_that_follows_nothing_is_never_believed \
	--deselect tests/core/test_coverage.py::test_it_costs_the_memory_of_a_few_numbers_however_long_the_list
test-fast: $(DEV)  ## Run the tests of the pure core and of units, in seconds
	$(BIN)/pytest -n 2 --hypothesis-profile fast $(FAST) $(SLOW) $(ARGS)

daemon-day: $(DEV)  ## Days of the daemon in which the API, the keys, the mail and it itself come and go (ARGS="--days 10")
	$(BIN)/python -m tests.campaigns.daemon_day.day $(ARGS)

check: $(DEV)     ## Lint, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.planted_typos

format: $(DEV)    ## Put the code into its standard form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

SEEDS ?= 500
STEPS ?= 8
simulate: $(DEV)  ## Live through SEEDS=500 worlds of faults and crashes in virtual time; SEED=N shows one of them
	$(BIN)/python -m tests.campaigns.simulation --steps $(STEPS) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) $(ARGS)

KILLS ?= 500
crashtest: $(DEV)  ## Kill real processes KILLS=500 times on each database; nothing may be charged twice or missed
	$(BIN)/python -m tests.campaigns.crash --database sqlite --kills $(KILLS) $(ARGS)
	$(BIN)/python -m tests.campaigns.crash --database postgresql --kills $(KILLS) $(ARGS)
	ACCEPTANCE=full $(BIN)/pytest -n 2 tests/processes/test_acceptance.py tests/cycle/test_cycle_leap_year.py

NOTICES ?= 10000
mailtest: $(DEV)  ## Send NOTICES=10000 notices to aiosmtpd and Postfix while they die, refuse and lose connections; nobody may get two
	$(BIN)/python -m tests.campaigns.mail --notices $(NOTICES) $(ARGS)

mail-look: $(LOOK)  ## Draw every mail into var/look/sheets, and ask the HTML checker, axe-core and SpamAssassin (ARGS="shots --language de")
	@$(VENV)/look/bin/python -m tests.campaigns.look $(ARGS)

spamtest: $(LOOK)  ## What SpamAssassin scores each kind of mail in each language; at most 0.2 is good
	@$(VENV)/look/bin/python -m tests.campaigns.look spam $(ARGS)

mutants: $(DEV)   ## Switch off each guard against charging twice, and see that a test notices
	$(BIN)/python -m tests.campaigns.mutants $(ARGS)

bench: $(BENCH)   ## Measure the program side by side with what you would use instead (ARGS="--quick")
	@$(VENV)/bench/bin/python -m benchmarks $(ARGS)

lock: $(VENV)/bin/python  ## Renew the lock files (hashes, no host names)
	$(BIN)/python -m pip install --quiet uv
	printf 'hatchling\neditables\n' > $(VENV)/build.in
	cd $(CURDIR) && $(BIN)/uv pip compile pyproject.toml $(VENV)/build.in --extra all $(LOCKED) -o requirements.lock
	cd $(CURDIR) && $(BIN)/uv pip compile pyproject.toml $(VENV)/build.in --extra test $(LOCKED) -o requirements-dev.lock
LOCKED = --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate

clean:          ## Remove the environment, the caches and var/ (the sandbox's data and mail)
	rm -rf $(VENV) var .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(RUN): requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "Setting up $(VENV) (once) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements-dev.lock $(RUN)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# What we measure against has an environment of its own, so that the program's stays as it is shipped.
$(BENCH): benchmarks/requirements.lock requirements.lock | $(VENV)/bin/python
	@echo "Setting up $(VENV)/bench (once) …"
	@$(PYTHON) -m venv $(VENV)/bench
	@$(VENV)/bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(VENV)/bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r benchmarks/requirements.lock
	@$(VENV)/bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Chromium, Java and SpamAssassin are the system's own; the command says which of them is missing.
$(LOOK): tests/campaigns/look/requirements.lock requirements.lock | $(VENV)/bin/python
	@command -v npm >/dev/null || { echo "npm is missing. Install it, for example with: apt-get install -y npm"; exit 1; }
	@echo "Setting up $(VENV)/look (once) …"
	@$(PYTHON) -m venv $(VENV)/look
	@$(VENV)/look/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(VENV)/look/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/campaigns/look/requirements.lock
	@$(VENV)/look/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@npm install --silent --no-audit --no-fund --no-save --prefix $(VENV)/look axe-core@4.14.1 vnu-jar@26.9.27
	@touch $@
