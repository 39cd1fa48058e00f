# make run: install, build everything with DVC, print the results.   make test: install, then test.
# make torture: the tests that take half an hour: kills, floods, hostile files, rebuilding.
# Another interpreter: make run PYTHON=python3.12. A GPU or a Mac: make run REQUIREMENTS=requirements_gpu.txt

PYTHON ?= python3
REQUIREMENTS ?= requirements.txt
VENV := .venv
INSTALLED := $(VENV)/.installed-$(REQUIREMENTS)
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: run test torture lint plots

run: $(INSTALLED)
	dvc repro
	@python -m stages.report

test: $(INSTALLED)
	python -m pytest

torture: $(INSTALLED)
	python -m pytest tests/torture

lint: $(INSTALLED)
	black --check --quiet . || (black --diff --quiet .; exit 1)
	ruff check .

plots: $(INSTALLED)
	dvc plots show

$(INSTALLED): $(REQUIREMENTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11, 5) <= v[:3] < (3, 14) else "error: Python 3.11.5 to 3.13 is needed and $(PYTHON) is %d.%d.%d: name another, as in make $(MAKECMDGOALS) PYTHON=python3.12" % v[:3])'
	@$(PYTHON) -c 'import shutil, sys; free = shutil.disk_usage(".").free / 1e9; sys.exit(None if free > 8 else "error: the packages and the data need 8 GB of disk and %.1f GB are free in $(CURDIR): make room there" % free)'
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(REQUIREMENTS)
	@$(VENV)/bin/python -m tools.offline_plots
	@rm -f $(VENV)/.installed-*
	@touch $@
