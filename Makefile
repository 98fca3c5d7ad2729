# SPDX-License-Identifier: BSD-2-Clause
# The few words a person types. Meson does the work, in build/.
#
#   make            builds build/ferry
#   make setup      installs the packages that are missing (root or sudo)
#   make demo       setup, build, then real pipelines beside plain pipes
#   make check      setup, build, then every test
#   make check-programs   installs what a list of everyday commands needs, runs each as a process and in a VM
#   make fuzz       fuzzers (tests/fuzz/), TIME=20 seconds in all, or those of FUZZ='decode rings' alone
#   make models     what runs at the same time, explored in all orders by SPIN (models/README.md)
#   make faults     every use of every function of the C library fails, in short runs
#   make soak       TIME=60 SEED=N: random VMs over the library and random pipelines, half of the time each, with
#                   kills and load; ROUND=N runs that pipeline again
#   make bench      Ferry beside pipes, sockets and shared memory: tables, JSON, plots
#   make bench-quick   the same in a minute, against floors that must hold
#   make lab        tries the lab: the build in an emulated machine with nested paging (lab/README.md)
#   make check-lab  every test of KVM there: each kernel, two processors (hostile guests: one), small pages
#   make install    PREFIX=/usr/local unless the build directory says otherwise; honours DESTDIR

BUILD ?= build
# Meson options for a fresh build directory, such as MESON_FLAGS=-Dwerror=true.
MESON_FLAGS ?=

SEED ?= $(shell date +%s)
ROUND ?=

.PHONY: all setup demo check check-programs with-tests fuzz models soak faults bench bench-quick lab check-lab install clean

# Empty, or make ends with one line.
need_build = $(if $(shell mkdir -p '$(BUILD)' 2>/dev/null && test -w '$(BUILD)' && echo yes),,\
    $(error ferry: '$(BUILD)' cannot be written; build elsewhere: make BUILD=/tmp/ferry-build))

# A line for each file only where somebody watches.
all: $(BUILD)/build.ninja
	$(need_build)
	@[ -t 1 ] || quiet=$$(ninja --quiet --version >/dev/null 2>&1 && echo --quiet); \
	    ninja -C $(BUILD) $$quiet

$(BUILD)/build.ninja:
	$(need_build)
	@command -v meson >/dev/null && command -v ninja >/dev/null || \
	    { echo "ferry: meson or ninja is missing: run 'make setup'" >&2; exit 1; }
	@said=$$(meson setup $(BUILD) $(if $(PREFIX),--prefix=$(PREFIX)) $(MESON_FLAGS) 2>&1) || { \
	    echo "$$said" >&2; \
	    echo "ferry: something the build needs is missing: run 'make setup'" >&2; exit 1; }

setup:
	@scripts/setup

demo: setup
	@$(MAKE) --no-print-directory all
	@scripts/demo $(BUILD)

check: setup
	@$(MAKE) --no-print-directory with-tests
	@scripts/check $(BUILD)

check-programs:
	@scripts/setup $$(sed -n 's/^\[\(.*\)\]$$/\1/p' tests/programs/list)
	@$(MAKE) --no-print-directory with-tests
	@FERRY_PROGRAMS=all scripts/check $(BUILD) --suite e2e programs recipes

with-tests:
	@$(MAKE) --no-print-directory all MESON_FLAGS="$(MESON_FLAGS) -Dtests=enabled"
	@test -d $(BUILD)/tests/unit || { \
	    meson configure $(BUILD) -Dtests=enabled && $(MAKE) --no-print-directory all; }

fuzz:
	@scripts/setup clang libclang-rt-dev
	@scripts/fuzz $(BUILD) $(if $(TIME),--time $(TIME)) $(FUZZ)

models:
	@scripts/setup spin
	@models/check

faults:
	@$(MAKE) --no-print-directory with-tests
	@ninja -C $(BUILD) faults

soak: with-tests
	@test -n '$(ROUND)' || FERRY_TEST_GUESTS=$(BUILD)/tests/guest $(BUILD)/tests/soak/stress \
	    $$(( $(or $(TIME),60) / 2 )) $(SEED)
	@FERRY=$(BUILD)/ferry FERRY_TEST_GUESTS=$(BUILD)/tests/guest FERRY_EXAMPLES=$(BUILD)/examples \
	    python3 tests/soak/soak.py $$(( $(or $(TIME),60) / 2 )) $(SEED) $(ROUND)

bench:
	@command -v gnuplot >/dev/null || scripts/setup gnuplot-nox || \
	    echo "ferry: no gnuplot: there will be no plots" >&2
	@$(MAKE) --no-print-directory all
	@$(BUILD)/ferry bench --json=$(BUILD)/bench.json --plots=$(BUILD)/plots

bench-quick: all
	@$(BUILD)/ferry bench --quick --floors=bench/floors.json

lab:
	@scripts/setup --lab
	@$(MAKE) --no-print-directory all
	@lab/self-test $(BUILD)

check-lab:
	@scripts/setup --lab
	@$(MAKE) --no-print-directory with-tests
	@lab/check $(BUILD)

# The prefix is also written into files, so another one than before has to be built in.
install: all
ifneq ($(PREFIX),)
	@grep -qxF 'prefix=$(PREFIX)' $(BUILD)/meson-private/ferry.pc || { \
	    meson configure $(BUILD) --prefix='$(PREFIX)' && $(MAKE) --no-print-directory all; }
endif
	@meson install -C $(BUILD) --no-rebuild

clean:
	@rm -rf $(BUILD)
