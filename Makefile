# The two commands of this project: `make demo` and `make test`. `make help` lists the rest.
PYTHON ?= python3
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
# One stage after the other, whatever -j says: they share one lab.
.NOTPARALLEL:

venv := .venv
collection := $(venv)/collections/ansible_collections/bulkhead/tiers
export PATH := $(CURDIR)/$(venv)/bin:$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
# Python that finds the collection itself and what tests share; pytest has the same from pyproject.toml.
python := PYTHONPATH=$(venv)/collections:tests/support python
# What a run of the unit or integration tests is narrowed to: make unit ARGS="-k limit"
ARGS ?=

# $(call stage,NAME,COMMAND): run COMMAND and print how long it took.
define stage
@printf '\n\033[1m== %s\033[0m\n' '$(1)'; start=$$SECONDS; { $(2); } || exit; printf '== %s: %d s\n' '$(1)' "$$((SECONDS - start))"
endef

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 12

.PHONY: setup
setup: $(venv)/ready ## install what the project needs into .venv
$(venv)/ready: requirements.txt
	$(call stage,setup,tests/tools/setup $(PYTHON) $(venv))

.PHONY: plan
plan: setup ## print what every tier would get; needs no host and no engine
	@ansible-playbook playbooks/plan.yml

.PHONY: demo
demo: lab site ## bring the lab up, converge it, prove its isolation
	@status=0; $(MAKE) --no-print-directory prove || status=$$?; python tests/tools/verdict.py reports/proof.json; exit $$status

.PHONY: lab
lab: setup ## hosts on this machine, as containers
	$(call stage,lab,ansible-playbook playbooks/lab.yml tests/support/maas_server/lab.yml)

.PHONY: lab-down
lab-down: setup ## remove the lab; nothing stays behind
	$(call stage,lab-down,ansible-playbook playbooks/lab.yml -e lab_state=absent)

.PHONY: site
site: setup ## apply the site to the lab
	$(call stage,site,ansible-playbook playbooks/site.yml)

.PHONY: prove
prove: setup ## prove with real packets that the lab is what the site declares
	$(call stage,prove,ansible-playbook playbooks/prove.yml)

.PHONY: test
test: peers-begin lint sanity unit integration molecule ## everything that must be green before a change lands

# What needs them waits for them, and says what went wrong.
.PHONY: peers-begin
peers-begin:
	@mkdir -p build; nohup nice sh -c 'tests/support/tailnet/build-peers; tests/support/mesh/build-mesh' >build/peers.log 2>&1 </dev/null &

.PHONY: peers
peers: ## build the real Tailscale, Headscale and receptor that tests run against, once for this machine
	$(call stage,peers,tests/support/tailnet/build-peers && tests/support/mesh/build-mesh)

.PHONY: lint
lint: setup
	$(call stage,lint,tests/tools/lint)

.PHONY: sanity
sanity: setup
	$(call stage,sanity,tests/tools/sanity)

.PHONY: unit
unit: setup ## the unit tests; some of them: make unit ARGS="-k limit"
	$(call stage,unit,python -m pytest -q -n auto tests/unit $(ARGS))

.PHONY: engine
engine: ## a Docker Engine on this machine, and the tools that come with it
	@roles/lab/files/ensure-engine

.PHONY: integration
integration: setup engine
	$(call stage,integration,tests/tools/commands && python -m pytest -q -n 4 --no-loadscope-reorder -m "not whole" tests/integration $(ARGS))

.PHONY: molecule
molecule: setup
	$(call stage,molecule,tests/tools/molecule)

.PHONY: bench
bench: setup ## speed, beside the peers, on hosts of the lab that belong to no tier
	$(call stage,bench,tests/tools/bench)

.PHONY: fault
fault: setup engine ## break engines, connections and hosts under the modules: each recovers
	$(call stage,fault,for fault in tests/fault/[a-z]*_*.py; do printf '\n-- %s\n' "$$fault"; $(python) "$$fault" || exit; done; python -m pytest -q -m whole tests/integration)

.PHONY: systems
systems: setup engine ## the reference systems with real services, deployed and tested one after the other
	$(call stage,systems,tests/systems/run)

.PHONY: awx
awx: setup engine ## AWX from code, twice, and site.yml in slices over a real mesh whose nodes die: make awx ARGS="--kills 10"
	$(call stage,awx,$(python) tests/awx/show.py $(ARGS))

.PHONY: ee
ee: setup engine ## the image that AWX runs jobs in, without a registry: bulkhead/ee
	$(call stage,ee,tests/awx/build-ee bulkhead/ee:$$(sed -n 's/^version: //p' galaxy.yml))

.PHONY: vagrant
vagrant: setup ## two virtual machines with Debian's own kernel: VLANs, ingress, WireGuard, reboots; docs/vagrant.md
	$(call stage,vagrant,tests/vagrant/run)

.PHONY: mutants
mutants: setup ## small changes of the code, one at a time: do the tests notice? make mutants ARGS="FILE --count 60"
	$(call stage,mutants,python tests/tools/mutants.py $(ARGS))

.PHONY: changelog
changelog: setup ## write CHANGELOG.md anew from changelogs/fragments
	@antsibull-changelog release --refresh --update-existing

.PHONY: lock
lock: ## write each requirements.txt anew from its requirements.in, with the hash of every file
	@python -m venv build/lock && build/lock/bin/pip install --quiet uv==0.13.9
	@for place in . tests/support/mesh; do \
	  { echo "# Made by 'make lock' from requirements.in. pip installs no file whose hash is not here."; \
	    build/lock/bin/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate $$place/requirements.in; } >build/requirements.txt; \
	  mv build/requirements.txt $$place/requirements.txt; \
	done
