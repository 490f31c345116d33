# Everything happens in tools/setup.py, which works without make too: python tools/setup.py help
# ARGS go to the command (make test ARGS="-k nets"), SETUP to the set-up (make book SETUP=--no-constraints).

.DEFAULT_GOAL := help
.PHONY: setup book test fast notebooks serve data clean help

# The first Python that can make an environment, else the first of a right version (which then prints the
# line that mends it), else python3 (which says what it lacks). A name on the PATH may be a shim without
# a Python behind it, so each candidate has to run.
ifndef PYTHON
CANDIDATES := python3.13 python3.12 python3.11 python3 python
RIGHT := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
try = for python in $(CANDIDATES); do "$$python" -c "$(1)" >/dev/null 2>&1 && echo "$$python" && break; done
PYTHON := $(shell $(call try,import venv; import ensurepip; $(RIGHT)))
ifeq ($(PYTHON),)
PYTHON := $(shell $(call try,$(RIGHT)))
endif
ifeq ($(PYTHON),)
PYTHON := python3
endif
endif

# make book TIER=short: where there is a GPU, full-size runs are trained live too
ifdef TIER
export RESNET_LIB_TIER := $(TIER)
endif

# make book EDITION=student: without solutions and answers, in _build/student
ifdef EDITION
export EDITION
endif

setup book test fast notebooks serve data clean help:
	@"$(PYTHON)" tools/setup.py $(SETUP) $@ $(ARGS)
