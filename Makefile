# The front door. Every target is one call of flask-bench, or of a tool of the tests; before it,
# bench/bootstrap.py sets up what is missing, which takes a few hundredths of a second when nothing
# is. Works with GNU make from 3.81, macOS's own.

VARIABLES := WORKLOAD REQUESTS DURATION CONCURRENCY DELAY ROUNDS WORKERS THREADS ASYNC_CORES BACKLOG \
             RUNNER URL LOAD APP APP_DIR APP_PYTHON ENV_FILE SCENARIO URL_PATH METHOD BODY EXPECT_STATUS \
             EXPECT_BODY PORT DATABASE_URL SEED RESULTS RUN BASE NEW METRIC THRESHOLD

# flask-bench reads these from its environment. From make's command line they are handed on as they
# were typed: make itself would expand every `$` in them.
$(foreach name,$(VARIABLES),$(if $(filter command%,$(origin $(name))),\
  $(eval override $(name) := $$(value $(name)))$(eval export $(name))))

# `exec`, so that flask-bench is make's own child: make waits for its clean-up after Ctrl-C.
BENCH := exec .venv/bin/flask-bench
SETUP := python=.venv/bin/python; [ -x $$python ] || python=python3; \
         command -v $$python >/dev/null || { echo "python3 is needed, 3.11 or newer" >&2; exit 2; }; \
         exec $$python -IS bench/bootstrap.py

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help bench bench- compare calibrate report list setup test test-compose lint lock clean \
        setup-python setup-test setup-lint

## Which server should a Flask app run on, with what settings? Measure it:
##
bench-%: setup  ## one deployment: make bench-gevent-uwsgi
	@$(BENCH) run '$*'
bench: setup  ## all deployments that the workload concerns
	@$(BENCH) run
compare: setup-python  ## what got faster or slower: make compare BASE=<run> NEW=<run>
	@$(BENCH) compare $${BASE:+"$$BASE"} $${NEW:+"$$NEW"}
calibrate: setup  ## what comparisons on this machine can see: false alarms, smallest effect
	@$(BENCH) calibrate
report: setup-python  ## the latest run (or RUN=<run>), printed, as Markdown and as a page
	@$(BENCH) report
list: setup-python  ## the deployments and the workloads
	@$(BENCH) list
setup:  ## only set up what is missing (every target does it first)
	@$(SETUP)
test: setup-test  ## the tests, which start real servers
	@exec .venv/bin/python -m pytest -n auto --dist worksteal
test-compose: setup-test  ## the containers, on a real Docker engine
	@exec .venv/bin/python -m tests.compose.engine
lint: setup-lint  ## ruff and mypy, hadolint, the schema of Compose files
	@.venv/bin/ruff check . && .venv/bin/ruff format --check . \
	  && .venv/bin/hadolint flask_app/Dockerfile slow_api/Dockerfile \
	  && .venv/bin/check-jsonschema --builtin-schema vendor.compose-spec compose/*.yml \
	  && exec .venv/bin/mypy
clean:  ## remove .venv and caches; results/ stays
	@rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis && find . -name __pycache__ -prune -exec rm -rf {} +
lock:  ## maintainers: lock requirements/*.in anew; UPGRADE=1 takes the newest versions
	@requirements/lock $(if $(UPGRADE),--upgrade)
help:  ## this text
	@awk '/^##/ { sub(/^## ?/, ""); print; next } \
	      /^[a-z%-]+:.*  ## / { text = $$0; sub(/.*  ## /, "", text); sub(/:.*/, ""); \
	                            sub(/%/, "<deployment>"); printf "  make %-19s %s\n", $$0, text }' Makefile

## Variables, as in `make bench WORKLOAD=db ROUNDS=3` or `WORKLOAD=db make bench`; they override
## what the catalog says of the workload and the deployment (flask-bench run --help has the details):
##   WORKLOAD=api                 what a request does: api, db, busy, hello, cpu (make list)
##   REQUESTS=2000 | DURATION=10  how much load, in requests or in seconds
##   CONCURRENCY=200              how many requests at once
##   DELAY=1                      seconds that the slow API and the database take
##   ROUNDS=3                     passes over all deployments, each in an order of its own
##   WORKERS= THREADS= ASYNC_CORES= BACKLOG=   how the server is sized
##   RUNNER=local                 where it runs: local, compose (containers), local,compose (both, in
##                                one run) or external, with URL=http://127.0.0.1:8000
##   LOAD=ab                      what generates the load; builtin takes a scenario
##   APP=module:app               an app of your own instead of flask_app/app.py
##   APP_DIR=~/shop               where that app is imported from
##   APP_PYTHON=~/shop/.venv      its virtual environment; ENV_FILE=.env gives it variables
##   URL_PATH=/hello              the path to request; METHOD=POST BODY=@cart.json
##   SCENARIO=visitors.toml       several requests, and how often each of them comes
##   BASE=results/<one>           compare with this run afterwards; METRIC=cpu THRESHOLD=3%
##
## Examples:
##   make bench-gevent-uwsgi
##   make bench WORKLOAD=db
##   make bench-gevent-gunicorn REQUESTS=8000 CONCURRENCY=4000 DELAY=5
##   make compare BASE=results/<one> NEW=results/latest

# Without a name behind the dash: let flask-bench say what there is.
bench-: setup
	@$(BENCH) run ''
setup-python:
	@$(SETUP) --python-only
setup-test:
	@$(SETUP) --dev
setup-lint:
	@$(SETUP) --dev --python-only
