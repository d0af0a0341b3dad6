# `make demo` and `make test` set everything up first; nothing else has to be installed by hand.
PYTHON ?= python3

demo: .venv/ready
	.venv/bin/labelbeam demo

test: .venv/ready
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	OMP_NUM_THREADS=1 .venv/bin/pytest -n 2 --dist worksteal

# constraints.txt keeps torch and torchvision at versions that fit each other (docs/deployment.md).
.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $@

.PHONY: demo test
