# make run: install, build everything with DVC, print the results.   make test: install, then test.
# make torture: the tests that take an hour: kills, floods, hostile files and requests, rebuilding.
# make serve: answer over HTTP with models/best; make serve MODEL=... PORT=...
# make sweep: run experiments and say which is best on validation.
# make review BASE=main: say in review.md and review.html what a change does to the results.
# make lint: format, lint, types.   make requirements: compile the pins from pyproject.toml.
# Another interpreter: make run PYTHON=python3.12. Other packages: make run REQUIREMENTS=...

PYTHON ?= python3
REQUIREMENTS ?= $(if $(filter Darwin,$(shell uname)),requirements_mac.txt,requirements.txt)
MODEL ?= models/best
PORT ?= 8000
BASE ?= main
VENV := .venv
PARALLEL ?= --numprocesses 2 --max-worker-restart 2 --dist loadfile --no-loadscope-reorder
INSTALLED := $(VENV)/.installed-$(REQUIREMENTS)
COMPILE := uv pip compile --quiet $(UPGRADE) --no-annotate --no-strip-extras \
	--python-version 3.11.5 --python-platform linux --custom-compile-command "make requirements"
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
# What is imported is compiled then, and kept: pip would compile all, which takes minutes.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run serve test torture review sweep lint plots requirements interpreter programs

# Another processor rounds differently, so a first run there changes dvc.lock, metrics/ and plots/ in Git.
run: $(INSTALLED)
	@python -m json.tool .dvc/tmp/rwlock > /dev/null 2>&1 || rm -f .dvc/tmp/rwlock  # of which a kill may leave a part
	dvc repro
	@cat metrics/results.txt

serve: $(INSTALLED)
	python -m serving.server --model $(MODEL) --port $(PORT)

# Two processes share the cores: threads of OpenMP that wait for each other would take them both.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 python -m pytest $(PARALLEL)

torture: $(INSTALLED)
	python -m pytest tests/torture

review: $(INSTALLED)
	python -m tools.review --base $(BASE)

sweep: $(INSTALLED)
	python -m tools.sweep

lint: $(INSTALLED)
	black --check --quiet . || (black --diff --quiet .; exit 1)
	ruff check .
	mypy

plots: $(INSTALLED)
	dvc plots show

# Pins stay as they are where they fit: make requirements UPGRADE=--upgrade moves them all.
requirements: $(INSTALLED)
	$(COMPILE) pyproject.toml --extra dev --extra cpu --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra dev --extra mac --constraint requirements.txt --output-file requirements_mac.txt
	$(COMPILE) --group serving --constraint requirements.txt --output-file requirements_serving.txt

# A program in .venv names the interpreter there by its path.
run review sweep lint plots: programs
programs: $(INSTALLED)
	@test ! -e $(VENV)/bin/dvc || test -x "$$(sed -n '1s/^#! *\([^ ]*\).*/\1/p' $(VENV)/bin/dvc)" || { echo "error: $(VENV)/bin/dvc names an interpreter that is not there, as where the project was moved: remove $(VENV) and try again"; exit 1; }

# A .venv that is there keeps the interpreter that it was made with.
interpreter:
	@test ! -x $(VENV)/bin/pip || $(VENV)/bin/python -c 'import pip' 2>/dev/null || { echo "error: $(VENV) has packages that its Python cannot import, as where that was upgraded or removed: remove $(VENV) and try again"; exit 1; }
ifeq ($(origin PYTHON),command line)
	@test ! -x $(VENV)/bin/python || test "$$($(PYTHON) -V)" = "$$($(VENV)/bin/python -V)" || { echo "error: $(PYTHON) is not the $$($(VENV)/bin/python -V) that is in $(VENV): remove $(VENV) and try again, or leave out PYTHON"; exit 1; }
endif

$(INSTALLED): $(REQUIREMENTS) | interpreter
	@git rev-parse --is-inside-work-tree >/dev/null 2>&1 || { echo "error: $(CURDIR) is in no Git repository, which DVC needs: clone the repository, or run git init, git add --all and git commit here"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11, 5) <= v[:3] < (3, 14) else "error: Python 3.11.5 to 3.13 is needed and $(PYTHON) is %d.%d.%d: name another, as in make $(MAKECMDGOALS) PYTHON=python3.12" % v[:3])'
	@$(PYTHON) -c 'import shutil, sys; free = shutil.disk_usage(".").free / 1e9; sys.exit(None if free > 8 else "error: the packages and the data need 8 GB of disk and %.1f GB are free in $(CURDIR): make room there" % free)'
	@test -x $(VENV)/bin/pip || $(PYTHON) -m venv $(VENV)  # which puts pip there last
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check 'pip>=25'
	$(VENV)/bin/python -m pip install --quiet --no-compile --requirement $(REQUIREMENTS)
	@$(VENV)/bin/python -m tools.offline_plots
	@rm -f $(VENV)/.installed-*
	@touch $@
