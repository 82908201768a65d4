# Front end to meson. `make help` lists what there is.
#
# Everything is built into build/, and then put together in build/root/{bin,lib} just as
# `make install` does it in ~/.microsandbox: programs find each other relative to themselves.

PREFIX ?= $(HOME)/.microsandbox
BUILD  ?= build
ROOT    = $(BUILD)/root
MESON_FLAGS ?=

.PHONY: all demo test bench lab lab-test lab-quick lint format install uninstall clean help sanitize fuzz setup

all: setup $(BUILD)/build.ninja ## Build everything
	@ninja -C $(BUILD) $(NINJA_FLAGS)
	@guest/kernel/build $(BUILD)/vmlinux
	@tools/stage $(BUILD) $(ROOT)

setup: # Installs the packages that are missing; does nothing when all are there.
	@tools/setup build

$(BUILD)/build.ninja:
	@meson setup $(BUILD) $(MESON_FLAGS) >/dev/null

$(BUILD)/.with-tests: | $(BUILD)/build.ninja
	@meson configure $(BUILD) -Dtests=true
	@touch $@

demo: all ## Build, make a small image, run commands in a sandbox
	@tools/demo $(ROOT)/bin/msb

test: ## Build and run all tests
	@tools/setup test
	@$(MAKE) --no-print-directory $(BUILD)/.with-tests all
	@tests/run $(BUILD)

bench: ## Compare boots, pulls, commands, network and shared directories with others and lower bounds
	@tools/setup bench
	@$(MAKE) --no-print-directory $(BUILD)/.with-tests all
	@tests/perf/boot $(ROOT)
	@tests/perf/pull $(ROOT)
	@tests/perf/erofs $(ROOT)
	@tests/perf/exec $(ROOT)
	@tests/perf/net -b $(BUILD)
	@tests/perf/share -b $(BUILD)

lab: lab-test ## Test and measure the KVM machine on an emulated machine with KVM
	@tests/lab/bench -b $(BUILD)

lab-test: # The tests alone
	@tools/setup lab
	@$(MAKE) --no-print-directory $(BUILD)/.with-tests all
	@tests/lab/suite -b $(BUILD)

# Those about the machine itself and what is attached to it: a few minutes instead of half an hour.
LAB_QUICK = test_machine or test_net_device or test_network_process or test_pause or test_share

lab-quick: # A selection of them, for continuous integration
	@tools/setup lab
	@$(MAKE) --no-print-directory $(BUILD)/.with-tests all
	@tests/lab/suite -b $(BUILD) -k "$(LAB_QUICK)"

sanitize: ## Build and run the unit tests with AddressSanitizer and UBSan
	@tools/setup test
	@test -f $(BUILD)-asan/build.ninja || meson setup $(BUILD)-asan -Dtests=true \
		-Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	@meson test -C $(BUILD)-asan --print-errorlogs

fuzz: ## Build the fuzz targets and run each for FUZZ_SECONDS (60)
	@tools/setup fuzz
	@test -f $(BUILD)-fuzz/build.ninja || CC=clang meson setup $(BUILD)-fuzz -Dfuzz=true \
		-Db_sanitize=address,undefined -Db_lundef=false >/dev/null
	@ninja -C $(BUILD)-fuzz $(NINJA_FLAGS) fuzz
	@tests/fuzz/run $(BUILD)-fuzz

lint: ## Check the formatting and run clang-tidy
	@tools/setup lint
	@tests/style/format
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@tests/style/tidy $(BUILD)

format: ## Format the sources
	@git ls-files '*.[ch]' | xargs clang-format -i

install: all ## Install into PREFIX (default ~/.microsandbox)
	@tools/stage $(BUILD) $(DESTDIR)$(PREFIX)
	@echo "installed $(DESTDIR)$(PREFIX)/bin/msb"

uninstall: ## Remove what install put there; images and sandboxes stay
	@tools/stage --remove $(DESTDIR)$(PREFIX)

clean: ## Remove build directories (the guest kernel's cache stays)
	@rm -rf $(BUILD) $(BUILD)-asan $(BUILD)-fuzz

help: ## This list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18
