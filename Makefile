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
	.venv/bin/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev,docs]'
	touch $@

# The pages of docs/ and a reference of the public names, as a site in site/; a link that leads nowhere stops it.
docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet
	@echo "site/index.html"

# Single mutations of the source, drawn at random, and which of them no test notices: make mutants MUTANTS='--sample 200 heads'
mutants: .venv/ready
	OMP_NUM_THREADS=1 .venv/bin/python benchmarks/mutants.py $(MUTANTS)

.PHONY: demo docs mutants test
