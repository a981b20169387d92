# Every command of the template, for a person and for CI. Needs only Python 3.11, git and make:
# uv is installed into .uv/ where the machine does not have it.
DATA ?=# folder with Fashion-MNIST's official files, for `make bench`
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench picture

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet uv

demo: $(filter .uv/%,$(UV)) ## generate a project into build/, train its model and ask it for a prediction
	$(UV) run python -m scripts.demo

test: $(filter .uv/%,$(UV)) ## generate projects with every option and use them as their users would
	$(UV) run pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder

lint: $(filter .uv/%,$(UV)) ## check style and types of the template's own code
	$(UV) run ruff check .
	$(UV) run ruff format --check .
	$(UV) run mypy

bench: $(filter .uv/%,$(UV)) ## measure what the README quotes; DATA=folder adds Fashion-MNIST
	$(UV) run python -m benchmarks.first_run
	$(UV) run python -m benchmarks.containers
	$(UV) run python -m benchmarks.act
	$(UV) run python -m benchmarks.memory
	$(if $(DATA),$(UV) run python -m benchmarks.fashion_mnist --data $(DATA))
	$(if $(DATA),$(UV) run python -m benchmarks.training --data $(DATA))
	$(if $(DATA),$(UV) run python -m benchmarks.serving --data $(DATA))

picture: $(filter .uv/%,$(UV)) ## take the README's picture again; needs Chromium
	$(UV) run python -m scripts.screenshot
