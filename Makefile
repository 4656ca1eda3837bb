.DEFAULT_GOAL := help
.PHONY: help demo test check lint setup lock clean
BIN := .venv/bin

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## set everything up and show the whole loop on real data
	$(BIN)/playhead demo

test: setup ## set everything up and run all tests, those against a real Kafka included
	@scripts/setup.sh --tests
	$(BIN)/python -m pytest --numprocesses 2 --durations 12 --ignore tests/system
	@# Two processes halve the time; what fails is tried once more, by itself.
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations 12 -m "not alone" tests/system || \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none tests/system
	$(BIN)/python -m pytest -m alone tests/system || \
		$(BIN)/python -m pytest --last-failed --last-failed-no-failures none tests/system

check: lint test ## what a change must pass: linters, type checkers, import rules, all tests

lint: setup ## linters, type checkers and import rules, without the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright
	$(BIN)/lint-imports --no-cache

setup: ## install what is missing: Python packages, Redis, Kafka's jars
	@scripts/setup.sh

lock: ## resolve the Python dependencies anew
	uv lock --upgrade

clean: ## stop local services and remove all that setup and runs made
	-@[ ! -x $(BIN)/playhead ] || $(BIN)/playhead down
	rm -rf .venv .playhead .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
