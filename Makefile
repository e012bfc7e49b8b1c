# The commands of this repository. Each sets up what it needs and is quick the second time.
.POSIX:
.PHONY: help demo test test-lab bench bench-net bench-sinks chaos ledger lint lock clean

help:
	@printf '%s\n' \
	  'make demo    simulator and daemon together; DEMO_SECONDS=20 ends it, VIDEO=file shows real footage' \
	  'make test    lint, types and all tests' \
	  'make test-lab  the tests that need a real kernel'"'"'s cameras, in the device lab (docs/lab.md); takes minutes' \
	  'make bench   CPU, bytes and latency against the bare SDK' \
	  'make bench-net  how long nothing arrives in each kind of trouble, beside the bare SDK; takes half an hour' \
	  'make bench-sinks  results a second, latency, bytes on the device, a backlog; QUICK=1 is shorter' \
	  'make ledger  every result that was received is delivered, whatever is killed or full: RUNS=20, SEED=number' \
	  'make chaos   random trouble in a network of its own: SEED=number, FAULTS=50' \
	  'make lint    lint and types only' \
	  'make lock    pin the newest versions that pyproject.toml allows' \
	  'make clean   remove everything that make made here'

demo:
	@tools/setup run
	@.venv/bin/overshootd demo $${DEMO_SECONDS:+--seconds "$$DEMO_SECONDS"} $${VIDEO:+--video "$$VIDEO"}

test:
	@tools/setup test
	@$(MAKE) -s lint
	@tools/livekit-server
	@tools/js-sdk
	@.venv/bin/python -m pytest --numprocesses $$(($$(nproc) + 1)) --maxprocesses 5 --dist loadfile \
	  --no-loadscope-reorder || \
	  { echo 'make test: once more, alone, what failed beside others'; \
	    .venv/bin/python -m pytest --last-failed --last-failed-no-failures none; }

test-lab:
	@tests/lab/run

bench:
	@tools/setup test
	@tools/livekit-server
	@.venv/bin/python -m bench

bench-net:
	@tools/setup test
	@tools/livekit-server
	@.venv/bin/python -m bench.net $${QUICK:+--quick}

bench-sinks:
	@tools/setup test
	@.venv/bin/python -m bench.sinks $${QUICK:+--quick}

ledger:
	@tools/setup test
	@.venv/bin/python -m tests.ledger $${SEED:+--seed "$$SEED"} $${RUNS:+--runs "$$RUNS"}

chaos:
	@tools/setup test
	@tools/livekit-server
	@.venv/bin/python -m tests.net.chaos $${SEED:+--seed "$$SEED"} $${FAULTS:+--faults "$$FAULTS"}

lint:
	@tools/setup dev
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy

lock:
	@tools/lock

clean:
	rm -rf .venv .tools .mypy_cache .pytest_cache .ruff_cache .hypothesis dist build
