# Every command of the template, for a person and for CI. Needs only Python 3.11, git and make:
# uv is installed into .uv/ where the machine does not have it.
DATA ?=# folder with Fashion-MNIST's official files, for `make bench`
# The installed uv, if it knows the system's certificates (0.11); else one of this folder's own
UV := $(or $(shell uv sync --help 2>/dev/null | grep -q system-certs && command -v uv),.uv/bin/uv)
ifdef PIP_INDEX_URL # a mirror, which uv does not look for there
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench picture

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.uv/bin/uv:
	python3 -m venv .uv
	.uv/bin/pip install --quiet --retries 1 uv 2>/dev/null || .uv/bin/pip install --quiet uv \
		--cert "$$(python3 -c 'import ssl; print(ssl.get_default_verify_paths().cafile)')"

demo: $(filter .uv/%,$(UV)) ## generate a project into build/, train its model and ask it for a prediction
	$(UV) run python -m scripts.demo

test: $(filter .uv/%,$(UV)) ## generate projects with every option and use them as their users would
	$(UV) run pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder

lint: $(filter .uv/%,$(UV)) ## check style and types of the template's own code
	$(UV) run ruff check .
	$(UV) run ruff format --check .
	$(UV) run mypy

bench: $(filter .uv/%,$(UV)) ## measure what the README quotes (Docker, wrk, Java); DATA=folder adds Fashion-MNIST
	$(UV) run python -m benchmarks.first_run
	$(UV) run python -m benchmarks.act
	$(UV) run python -m benchmarks.memory
	$(if $(DATA),$(UV) run python -m benchmarks.fashion_mnist --data $(DATA))
	$(if $(DATA),$(UV) run python -m benchmarks.training --data $(DATA))
	$(if $(DATA),$(UV) run python -m benchmarks.serving --data $(DATA))
	$(if $(DATA),$(UV) run python -m benchmarks.drift --data $(DATA))
	$(UV) run python -m benchmarks.containers

picture: $(filter .uv/%,$(UV)) ## take the README's picture again; needs Chromium
	$(UV) run python -m scripts.screenshot
