# Everything that users and developers of langplug need to run. It takes only python3 (3.11 or newer) and make.
# Each step reports one line on stderr; stdout is for the step's own output.

PYTHON ?= python3
WEIGHTS := smollm2
VENV := .venv
PEERS := .venv-peers
OLDEST := .venv-oldest
CLIENTS := .venv-clients
FUZZ := .venv-fuzz
OTHERS := .venv-others
ENGINES := .venv-engines
TRACING := .venv-tracing
PLAYGROUND := .venv-playground
DOCS := .venv-docs
RAY := .venv-ray
AGENTS := .node-agents
SERVERS := dasllama langgraph litellm litserve
BIN := $(VENV)/bin
LOCK := requirements

SHELL := /bin/sh
MAKEFLAGS += --no-print-directory --no-builtin-rules
.SUFFIXES:
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The prompt goes to the command through the environment, exactly as typed: neither make nor the shell expands it.
override PROMPT := $(value PROMPT)
export PROMPT

say = @echo 'langplug: $(1)' >&2
check_python = import sys; sys.version_info >= (3, 11) or sys.exit("langplug needs Python 3.11 or newer, but $(PYTHON) is " \
	+ sys.version.split()[0] + ". Choose another, as in: make $(or $(firstword $(MAKECMDGOALS)),chat) PYTHON=python3.13")
# Installs from the locks only. What has to be built is built with the tools in build.txt, so nothing unpinned is fetched.
install = $(BIN)/uv pip install --quiet --no-build-isolation --python $(BIN)/python
compile = $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	--custom-compile-command "make lock" $(UPGRADE)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

# `set -m` gives the conversation its own process group in the terminal, so that Ctrl-C stops an answer and not make.
# Ctrl-Z is ignored, because make could not bring the conversation back.
.PHONY: chat
chat: $(VENV)/.chat ## Talk to the embedded model; PROMPT="..." asks one question and prints the answer
	@$(BIN)/langplug pull $(WEIGHTS) >&2 </dev/null
	@if [ -t 0 ]; then set -m; trap "" TSTP; fi; $(BIN)/langplug chat $${PROMPT:+--prompt="$$PROMPT"}; exit $$?

.PHONY: serve
serve: $(VENV)/.chat ## Serve the embedded model at http://127.0.0.1:8000/v1, with a playground at http://127.0.0.1:8000
	@$(BIN)/langplug pull $(WEIGHTS) >&2 </dev/null
	@$(BIN)/langplug serve

# Every core works, each on a file or class of tests, so that what these share is made once. Bytecode is written even if
# the environment says not to: a hundred tests start a Python of their own, and each would compile LangChain.
unexport PYTHONDONTWRITEBYTECODE
pytest = python -m pytest --numprocesses auto --dist loadscope

.PHONY: test
test: lint type $(VENV)/.dev ## Check style, types, docs, and a sample of the tests' parameters; this is what CI runs
	@$(BIN)/langplug pull $(WEIGHTS) >&2 </dev/null
	$(call say,tests)
	@$(BIN)/$(pytest)

.PHONY: test-all
test-all: lint type $(VENV)/.dev ## The same with every combination of parameters, and more examples of each property
	@$(BIN)/langplug pull $(WEIGHTS) >&2 </dev/null
	$(call say,all tests)
	@$(BIN)/$(pytest) --all

# What a version of LangChain can break: neither the bytes of a stream nor the backend, and of the kit its standard.
ON_LANGCHAIN := answer bridge contract messages models tools check/test_standard.py check/test_subject.py

.PHONY: test-oldest
test-oldest: $(OLDEST)/.oldest ## Test what depends on LangChain with the oldest version of it that is supported
	$(call say,tests on the oldest LangChain)
	@$(OLDEST)/bin/$(pytest) $(addprefix tests/,$(ON_LANGCHAIN)) $(filter-out %/test_typing.py,$(wildcard tests/test_*.py))

.PHONY: test-clients
test-clients: $(CLIENTS)/.clients ## Test real clients (boto3, google-genai, openai, redis and others), in models and of served ones
	$(call say,tests with real clients)
	@$(CLIENTS)/bin/$(pytest) --all tests/identity tests/serve

.PHONY: test-engines
test-engines: $(ENGINES)/.engines ## Test models of local weights with the engines that are too large for every developer
	@$(ENGINES)/bin/langplug pull $(WEIGHTS) >&2 </dev/null
	$(call say,tests with large engines)
	@$(ENGINES)/bin/$(pytest) --all $(wildcard tests/engines tests/models/test_gguf*.py)

.PHONY: test-fuzz
test-fuzz: $(FUZZ)/.fuzz ## Ask a served model whatever its /openapi.json allows and forbids, 5,000 times
	$(call say,fuzzing a served model)
	@$(FUZZ)/bin/python -m pytest --all -rP tests/fuzz

.PHONY: test-tracing
test-tracing: $(TRACING)/.tracing ## Compare what tracing tools say of our models and of ChatOpenAI
	$(call say,tests with tracing tools)
	@$(TRACING)/bin/$(pytest) --all tests/tracing

.PHONY: test-ray
test-ray: $(RAY)/.ray ## Test batches on a Ray cluster of processes, whose nodes are killed (ten minutes)
	$(call say,tests on a Ray cluster)
	@$(RAY)/bin/python -m pytest --all tests/ray

.PHONY: test-playground
test-playground: $(PLAYGROUND)/.playground ## Test the playground of `langplug serve` in a real browser (needs chromium)
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit; done; \
		echo 'langplug: there is no chromium; install it, as in: apt-get install chromium' >&2; exit 1
	$(call say,tests in a browser)
	@$(PLAYGROUND)/bin/$(pytest) --all tests/playground

.PHONY: test-new
test-new: $(VENV)/.dev ## Make, install, check and test a package of each template, with pip and with uv (20 minutes)
	$(call say,packages from templates)
	@$(BIN)/python -m tests.new.installed

.PHONY: test-coding-agents
test-coding-agents: $(VENV)/.dev $(AGENTS)/.agents ## Test that Codex CLI, opencode and Claude Code finish a task with a served model (needs npm; 1.2 GB)
	$(call say,tests with coding agents)
	@PATH="$(CURDIR)/$(AGENTS)/node_modules/.bin:$$PATH" $(BIN)/$(pytest) tests/clients

# The links are looked at in what is built: between the two languages they lead from one site into the other.
.PHONY: docs
docs: $(DOCS)/.docs ## Build the documentation's site into site/, in English and in Chinese, and check it
	$(call say,site)
	@rm -rf site
	@for language in en zh; do \
		$(DOCS)/bin/zensical build --strict --clean --config-file zensical.$$language.toml >&2 || exit; done
	@cp docs/index.html site/
	@$(DOCS)/bin/python -m tests.docs.site site

.PHONY: lint
lint: $(VENV)/.dev ## Check style and format
	$(call say,lint)
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --quiet --check

.PHONY: type
type: $(VENV)/.dev ## Check types with mypy and pyright
	$(call say,types)
	@$(BIN)/mypy --no-error-summary & $(BIN)/pyright --pythonpath $(BIN)/python || failed=1; \
		wait $$! || failed=1; exit $${failed:-0}

.PHONY: bench
bench: $(VENV)/.dev ## Measure what langplug costs, compared with langchain-core alone
	@$(BIN)/python benchmarks/framework.py

.PHONY: bench-local
bench-local: $(VENV)/.dev ## Measure local engines beside each other, those that are installed; HF=FOLDER has transformers take part
	@$(BIN)/langplug pull $(WEIGHTS) >&2 </dev/null
	@$(BIN)/python benchmarks/local.py $(if $(HF),--hf "$(HF)") --write

.PHONY: peers
peers: $(PEERS)/.peers ## Install other packages' models, for versus and scoreboard

.PHONY: versus
versus: peers ## Compare ChatEndpoint with other packages' models (half an hour); writes docs/en/reference/performance.md
	@$(PEERS)/bin/python benchmarks/endpoint.py --write

.PHONY: servers
servers: $(OTHERS)/.servers ## Install other servers, for versus-servers

.PHONY: versus-servers
versus-servers: servers ## Compare langplug serve with other servers (ten minutes); writes docs/en/reference/performance.md
	@$(OTHERS)/bin/python benchmarks/serve.py --write

.PHONY: scoreboard
scoreboard: peers ## Check langplug's models and other packages'; writes docs/en/reference/scoreboard.md
	$(call say,scoreboard)
	@$(PEERS)/bin/python scoreboard/scoreboard.py

.PHONY: scoreboard-servers
scoreboard-servers: $(VENV)/.dev $(SERVERS:%=.venv-servers-%/.server) ## Check langplug's server and others (15 minutes); writes docs/en/reference/scoreboard-servers.md
	@$(BIN)/langplug pull $(WEIGHTS) >&2 </dev/null
	$(call say,scoreboard of servers)
	@$(BIN)/python scoreboard/servers.py

.PHONY: mutants
mutants: $(VENV)/.dev ## Run every check on models with deliberate faults; writes docs/en/reference/mutants.md
	@$(BIN)/python -m tests.check.table --standard --write

.PHONY: drift
drift: $(VENV)/.dev ## Record langchain-core's public names, once somebody has looked at the new ones
	@$(BIN)/python -m tests.drift

.PHONY: lock
lock: $(VENV)/.build ## Renew the locks after a change of pyproject.toml; UPGRADE=--upgrade upgrades everything
	$(call say,locks)
	@$(compile) pyproject.toml --extra all --group dev --output-file $(LOCK)/dev.txt
	@$(compile) pyproject.toml --extra gguf --extra http --constraint $(LOCK)/dev.txt --output-file $(LOCK)/chat.txt
	@$(compile) pyproject.toml --extra all --group peers --constraint $(LOCK)/dev.txt --output-file $(LOCK)/peers.txt
	@$(compile) pyproject.toml --extra all --extra openvino --extra transformers --group engines --constraint $(LOCK)/peers.txt \
		--override $(LOCK)/without-torch.in --output-file $(LOCK)/engines.txt
	@$(compile) pyproject.toml --extra all --group tracing --constraint $(LOCK)/peers.txt --output-file $(LOCK)/tracing.txt
	@$(compile) pyproject.toml --extra all --extra ray --group ray --constraint $(LOCK)/peers.txt --output-file $(LOCK)/ray.txt
	@$(compile) pyproject.toml --extra all --group playground --constraint $(LOCK)/peers.txt --output-file $(LOCK)/playground.txt
	@$(compile) pyproject.toml --extra all --group servers --output-file $(LOCK)/servers.txt
	@$(compile) --group build --constraint $(LOCK)/dev.txt --output-file $(LOCK)/build.txt
	@$(compile) pyproject.toml --extra all --group oldest --output-file $(LOCK)/oldest.txt
	@$(compile) pyproject.toml --extra all --group clients --output-file $(LOCK)/clients.txt
	@$(compile) pyproject.toml --extra all --group fuzz --constraint $(LOCK)/peers.txt --output-file $(LOCK)/fuzz.txt
	@$(compile) --group docs --constraint $(LOCK)/peers.txt --output-file $(LOCK)/docs.txt
	@for server in $(SERVERS); do \
		$(compile) --group servers-$$server --output-file $(LOCK)/servers/$$server.txt || exit; done

.PHONY: clean
clean: ## Remove everything that make created here; downloaded weights stay in the user's cache
	@rm -rf $(VENV) $(PEERS) $(OLDEST) $(CLIENTS) $(ENGINES) $(FUZZ) $(TRACING) $(OTHERS) $(PLAYGROUND) $(DOCS) $(RAY) $(AGENTS) .venv-servers-* dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(AGENTS)/.agents: Makefile
	$(call say,installing coding agents)
	@npm install --silent --no-audit --no-fund --prefix $(AGENTS) \
		@openai/codex@0.171.0 opencode-ai@1.18.33 @anthropic-ai/claude-code@2.1.332
	@node $(AGENTS)/node_modules/opencode-ai/postinstall.mjs >/dev/null
	@touch $@

$(VENV)/.build: $(LOCK)/build.txt
	@$(PYTHON) -c '$(check_python)'
	$(call say,making $(VENV))
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes --requirement $(LOCK)/build.txt
	@touch $@

# Installs again if a lock or a pyproject.toml has changed; otherwise does nothing.
$(VENV)/.chat $(VENV)/.dev: $(VENV)/.%: $(LOCK)/%.txt pyproject.toml check/pyproject.toml $(VENV)/.build
	$(call say,installing $<)
	@$(install) --require-hashes --requirement $<
	@$(install) --no-deps --editable . --editable check
	@touch $@

# Each server needs its own versions of much, and the site's builder nothing of ours; none needs to be built.
$(SERVERS:%=.venv-servers-%/.server): .venv-servers-%/.server: $(LOCK)/servers/%.txt $(VENV)/.build
$(DOCS)/.docs: $(LOCK)/docs.txt $(VENV)/.build
$(SERVERS:%=.venv-servers-%/.server) $(DOCS)/.docs:
	$(call say,installing $<)
	@$(PYTHON) -m venv $(@D)
	@$(BIN)/uv pip install --quiet --no-build --python $(@D)/bin/python --require-hashes --requirement $<
	@touch $@

# The other packages' models, the large engines, the tracing tools, Ray and a browser's driver install much that few need, the
# oldest LangChain is not the newest one, and some clients need older versions than `dev` has: each lives in an environment
# of its own.
$(PEERS)/.peers: $(LOCK)/peers.txt
$(OLDEST)/.oldest: $(LOCK)/oldest.txt
$(CLIENTS)/.clients: $(LOCK)/clients.txt
$(ENGINES)/.engines: $(LOCK)/engines.txt
$(ENGINES)/.engines: first = $(@D)/bin/python -m pip install --quiet torch==2.13.0 # see requirements/without-torch.in
$(FUZZ)/.fuzz: $(LOCK)/fuzz.txt
$(TRACING)/.tracing: $(LOCK)/tracing.txt
$(PLAYGROUND)/.playground: $(LOCK)/playground.txt
$(RAY)/.ray: $(LOCK)/ray.txt
$(OTHERS)/.servers: $(LOCK)/servers.txt
$(PEERS)/.peers $(OLDEST)/.oldest $(CLIENTS)/.clients $(ENGINES)/.engines $(FUZZ)/.fuzz $(TRACING)/.tracing $(OTHERS)/.servers $(PLAYGROUND)/.playground $(RAY)/.ray: pyproject.toml check/pyproject.toml $(VENV)/.build
	$(call say,installing $(filter %.txt,$^))
	@$(PYTHON) -m venv $(@D)
	@$(BIN)/uv pip install --quiet --python $(@D)/bin/python --require-hashes --requirement $(LOCK)/build.txt
	@$(first)
	@$(BIN)/uv pip install --quiet --no-build-isolation --python $(@D)/bin/python --no-deps --require-hashes --requirement $(filter %.txt,$^)
	@$(BIN)/uv pip install --quiet --no-build-isolation --python $(@D)/bin/python --no-deps --editable . --editable check
	@touch $@
