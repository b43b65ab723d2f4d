# Pinwarden: build, test, install. `make help` lists the targets.
VERSION := 0.1.0

prefix ?= /usr/local
bindir ?= $(prefix)/bin
libdir ?= $(prefix)/lib
mandir ?= $(prefix)/share/man
bashcompdir ?= $(prefix)/share/bash-completion/completions
zshcompdir ?= $(prefix)/share/zsh/site-functions
fishcompdir ?= $(prefix)/share/fish/vendor_completions.d
docdir ?= $(prefix)/share/doc/pinwarden
DESTDIR ?=

CC ?= gcc
CXX ?= g++
CFLAGS ?= -O2 -g
# SAN=address or SAN=undefined: the CLI and the unit tests under that sanitizer, in a build folder of their own.
SAN ?=
B := build$(if $(SAN),-$(SAN))

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
BASE := -std=gnu11 -D_GNU_SOURCE -I. -DPINW_VERSION='"$(VERSION)"' -DPINW_LIBDIR='"$(libdir)"' $(WARN) -MMD -MP
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)

POLICY_SRC := \
  policy/assign.c \
  policy/check.c \
  policy/detect.c \
  policy/draft.c \
  policy/explain.c \
  policy/frames.c \
  policy/glob.c \
  policy/goname.c \
  policy/hold.c \
  policy/index.c \
  policy/keys.c \
  policy/leak.c \
  policy/mask.c \
  policy/match.c \
  policy/parse.c \
  policy/phrase.c \
  policy/policy.c \
  policy/predicate.c \
  policy/spell.c \
  policy/values.c

PRELOAD_SRC := \
  preload/arena.c \
  preload/clock.c \
  preload/crash.c \
  preload/elfsym.c \
  preload/enforce.c \
  preload/enforce_golock.c \
  preload/enforce_life.c \
  preload/given.c \
  preload/go/area.c \
  preload/go/find.c \
  preload/go/locks.c \
  preload/go/memo.c \
  preload/go/names.c \
  preload/go/patch_x86_64.c \
  preload/go/raw.c \
  preload/go/start.c \
  preload/go/stretch.c \
  preload/go/template.c \
  preload/go/stack.c \
  preload/image.c \
  preload/init.c \
  preload/intern.c \
  preload/ledger.c \
  preload/life.c \
  preload/lock.c \
  preload/log.c \
  preload/logtext.c \
  preload/module.c \
  preload/noalloc.c \
  preload/policy_load.c \
  preload/proc.c \
  preload/process.c \
  preload/real.c \
  preload/registry.c \
  preload/site.c \
  preload/stackrules.c \
  preload/trace.c \
  preload/trace_file.c \
  preload/unwind.c \
  preload/violation.c \
  preload/wrap_affinity.c \
  preload/wrap_attr.c \
  preload/wrap_create.c \
  preload/wrap_cred.c \
  preload/wrap_process.c \
  preload/wrap_thread.c

# Go's own tables, which the shim and the program read.
GO_SRC := \
  preload/go/goelf.c \
  preload/go/pclntab.c

PRELOAD_ASM := \
  preload/arch_x86_64.S \
  preload/go/hook_x86_64.S

REPORTS_SRC := \
  reports/advice.c \
  reports/alerts.c \
  reports/borrow.c \
  reports/baseline.c \
  reports/breaches.c \
  reports/capacity.c \
  reports/census.c \
  reports/check_collect.c \
  reports/check_json.c \
  reports/check_junit.c \
  reports/check_sarif.c \
  reports/check_text.c \
  reports/child_env.c \
  reports/cmd_check.c \
  reports/cmd_diff.c \
  reports/cmd_info.c \
  reports/cmd_metrics.c \
  reports/cmd_policy.c \
  reports/cmd_report.c \
  reports/cmd_run.c \
  reports/cmd_top.c \
  reports/cmd_verify.c \
  reports/creations.c \
  reports/database.c \
  reports/demangle.c \
  reports/diff_collect.c \
  reports/diff_json.c \
  reports/diff_text.c \
  reports/elf_probe.c \
  reports/events.c \
  reports/evidence.c \
  reports/export.c \
  reports/export_chrome.c \
  reports/export_folded.c \
  reports/export_html.c \
  reports/export_jsonl.c \
  reports/export_pprof.c \
  reports/export_sqlite.c \
  reports/filter.c \
  reports/filter_index.c \
  reports/find_shim.c \
  reports/functions.c \
  reports/golocks.c \
  reports/growth.c \
  reports/gzip.c \
  reports/history.c \
  reports/idle.c \
  reports/idle_unwind.c \
  reports/inputs.c \
  reports/intern.c \
  reports/html_data.c \
  reports/html_tables.c \
  reports/json.c \
  reports/launch.c \
  reports/jitmap.c \
  reports/kept_names.c \
  reports/leaks.c \
  reports/listen.c \
  reports/lost_names.c \
  reports/live.c \
  reports/live_find.c \
  reports/main.c \
  reports/metrics.c \
  reports/metrics_count.c \
  reports/metrics_text.c \
  reports/markup.c \
  reports/model.c \
  reports/names.c \
  reports/notes.c \
  reports/output.c \
  reports/past.c \
  reports/pattern.c \
  reports/policy_explain.c \
  reports/policy_file.c \
  reports/policy_lint.c \
  reports/policy_test.c \
  reports/pprof.c \
  reports/procfs.c \
  reports/protobuf.c \
  reports/ranges.c \
  reports/rates.c \
  reports/reader.c \
  reports/reader_copy.c \
  reports/reader_decode.c \
  reports/reader_follow.c \
  reports/reader_walk.c \
  reports/rehearse.c \
  reports/rehearse_go.c \
  reports/rehearse_judge.c \
  reports/replay.c \
  reports/replay_rows.c \
  reports/report_json.c \
  reports/report_json_pins.c \
  reports/report_json_policy.c \
  reports/report_json_scorecard.c \
  reports/report_text.c \
  reports/rulestacks.c \
  reports/run_options.c \
  reports/run_policy.c \
  reports/samples.c \
  reports/say.c \
  reports/scorecard.c \
  reports/session.c \
  reports/settle.c \
  reports/stack_key.c \
  reports/sqlite.c \
  reports/stacks.c \
  reports/summary.c \
  reports/symbols.c \
  reports/symbols_find.c \
  reports/symbols_go.c \
  reports/symbols_worker.c \
  reports/sysroot.c \
  reports/table.c \
  reports/target.c \
  reports/term.c \
  reports/text_by.c \
  reports/text_format.c \
  reports/text_golocks.c \
  reports/text_lists.c \
  reports/text_policy.c \
  reports/text_process.c \
  reports/text_scorecard.c \
  reports/text_stack.c \
  reports/timeline.c \
  reports/top_look.c \
  reports/top_rows.c \
  reports/top_screen.c \
  reports/tree.c \
  reports/trial.c \
  reports/trial_words.c \
  reports/tty.c \
  reports/usage.c \
  reports/utf8.c \
  reports/violations.c \
  reports/watch.c \
  reports/watch_judge.c \
  reports/watch_log.c \
  reports/watch_names.c \
  reports/watch_proc.c \
  reports/watch_state.c \
  reports/watch_trace.c \
  reports/witness.c

# What goes into an HTML report as it is.
REPORTS_ASM := reports/html/assets.S

# Code that unit tests link: of the shim the recorder behind the wrappers, of the program all but main().
UNIT_SRC := $(POLICY_SRC) $(filter-out preload/wrap_% preload/go/raw.c,$(PRELOAD_SRC)) $(GO_SRC) $(PRELOAD_ASM) $(filter-out reports/main.c,$(REPORTS_SRC)) $(REPORTS_ASM)

TEST_SRC := \
  tests/elfsym_rig.c \
  tests/export_story.c \
  tests/gotab_rig.c \
  tests/policy_rig.c \
  tests/policy_text.c \
  tests/reader_rig.c \
  tests/report_rig.c \
  tests/rig.c \
  tests/rig_enforce.c \
  tests/run_rig.c \
  tests/site_rig.c \
  tests/test_arena.c \
  tests/test_baseline.c \
  tests/test_cmd_report.c \
  tests/test_detect.c \
  tests/test_alerts.c \
  tests/test_elfsym.c \
  tests/test_elfsym_builds.c \
  tests/test_enforce.c \
  tests/test_enforce_life.c \
  tests/test_evidence.c \
  tests/test_scorecard.c \
  tests/test_example_policies.c \
  tests/test_follow.c \
  tests/test_export.c \
  tests/test_filter.c \
  tests/test_functions.c \
  tests/test_glob.c \
  tests/test_goelf.c \
  tests/test_goname.c \
  tests/test_gohook.c \
  tests/test_golocks.c \
  tests/test_history.c \
  tests/test_idle.c \
  tests/test_image.c \
  tests/test_launch.c \
  tests/test_ledger.c \
  tests/test_life.c \
  tests/test_live.c \
  tests/test_lock.c \
  tests/test_log.c \
  tests/test_mask.c \
  tests/test_match_caps.c \
  tests/test_match_frames.c \
  tests/test_match_leaks.c \
  tests/test_match_pins.c \
  tests/test_match_text.c \
  tests/test_jitmap.c \
  tests/test_kept_names.c \
  tests/test_model.c \
  tests/test_model_policy.c \
  tests/test_model_tree.c \
  tests/test_output.c \
  tests/test_pattern.c \
  tests/test_pclntab.c \
  tests/test_policy_check.c \
  tests/test_policy_explain.c \
  tests/test_policy_cmd.c \
  tests/test_policy_load.c \
  tests/test_policy_man.c \
  tests/test_policy_replay.c \
  tests/test_policy_parse.c \
  tests/test_policy_rules.c \
  tests/test_policy_values.c \
  tests/test_proc.c \
  tests/test_reader.c \
  tests/test_reader_damage.c \
  tests/test_recover.c \
  tests/test_registry.c \
  tests/test_report.c \
  tests/test_report_json.c \
  tests/test_report_policy.c \
  tests/test_run.c \
  tests/test_run_policy.c \
  tests/test_site.c \
  tests/test_site_objects.c \
  tests/test_site_stacks.c \
  tests/test_spell.c \
  tests/test_stackrules.c \
  tests/test_symbols.c \
  tests/test_target.c \
  tests/test_table.c \
  tests/test_timeline.c \
  tests/test_trace.c \
  tests/test_trace_growth.c \
  tests/test_unwind.c \
  tests/test_violation.c \
  tests/test_watch.c \
  tests/trace_builder.c \
  tests/trace_rig.c

# Tests that run programs as children, bare and audited.
E2E_SRC := \
  tests/e2e.c \
  tests/e2e_threads.c \
  tests/e2e_pins.c \
  tests/e2e_check.c \
  tests/e2e_children.c \
  tests/e2e_completions.c \
  tests/e2e_durable.c \
  tests/e2e_command.c \
  tests/e2e_enforce.c \
  tests/e2e_enforce_go.c \
  tests/e2e_enforce_leaks.c \
  tests/e2e_enforce_limits.c \
  tests/e2e_enforce_hostile.c \
  tests/e2e_enforce_modes.c \
  tests/e2e_examples.c \
  tests/e2e_formats.c \
  tests/e2e_go.c \
  tests/e2e_golibs.c \
  tests/e2e_golden.c \
  tests/e2e_golocks.c \
  tests/e2e_html.c \
  tests/e2e_jitmap.c \
  tests/e2e_metrics.c \
  tests/e2e_top.c \
  tests/live_rig.c \
  tests/e2e_goraw.c \
  tests/e2e_gonames.c \
  tests/e2e_gostack.c \
  tests/enforce_scene.c \
  tests/e2e_recover.c \
  tests/e2e_sysroot.c \
  tests/e2e_watch.c \
  tests/go_programs.c \
  tests/export_story.c \
  tests/trace_builder.c

# Programs a reader can run: examples/NAME.c; examples/common/ is shared by them.
EXAMPLES_SRC := \
  examples/dispatcher.c \
  examples/double_booking.c \
  examples/handler_pins.c \
  examples/inheriting_helper.c \
  examples/leaking_worker.c \
  examples/pool.c \
  examples/single_owner.c
# examples/go/ is one program, for which Go is needed; without it the others are built.
GO := $(shell command -v go)
EXAMPLES = $(patsubst examples/%.c,$(B)/examples/%,$(EXAMPLES_SRC)) $(if $(GO),$(B)/examples/go_service)

REPORTS_LIBS := -lz -lsqlite3 -ldw -lelf -liberty -l:libinih.a
TARGETS_C := $(wildcard tests/targets/*.c)
TARGETS_CXX := $(wildcard tests/targets/*.cpp)

obj = $(patsubst %,$(B)/$(1)/%.o,$(2))

all: $(B)/libpinwarden.so $(B)/pinwarden

help:
	@echo 'make            build libpinwarden.so and pinwarden into build/ (installs nothing)'
	@echo 'make demo       install missing packages, build, audit a real program, print the report'
	@echo 'make examples   build the programs of examples/ (see examples/README.md)'
	@echo 'make check      install missing packages, build, run the tests   [SAN=address|undefined]'
	@echo 'make faults     what breaks shims, bare and under this one, as a table'
	@echo 'make bench      costs as ratios of medians, taken side by side'
	@echo 'make install    into $$(DESTDIR)$$(prefix)'
	@echo 'make lint       clang-tidy and cppcheck;   make format   clang-format'
	@echo 'make clean'

.PHONY: all help check demo examples faults bench install lint format clean tests
.DELETE_ON_ERROR:

# ---- flags per product ----------------------------------------------------------

# WERROR=1 (continuous integration): a warning is an error.
STRICT := $(if $(WERROR),-Werror)

# The shim lives in other people's processes: no sanitizer, no stack protector (16 KiB stacks,
# vfork children), TLS that needs no allocation, nothing exported but the interposed names,
# nothing needed but libc (make check reads the result with readelf); frame pointers, which the unwinder starts from.
PRELOAD_CFLAGS := -fPIC -fvisibility=hidden -fno-omit-frame-pointer -fno-stack-protector -fno-exceptions -ftls-model=initial-exec
PRELOAD_LDFLAGS := -shared -Wl,--version-script=preload/pinwarden.map -Wl,-soname,libpinwarden.so \
  -Wl,-z,defs -Wl,-z,now -Wl,-z,nodelete -Wl,-z,noexecstack -Wl,--exclude-libs,ALL -Wl,--as-needed
# Static: the demangler, to which malloc is what preload/noalloc.c makes of it.
PRELOAD_LIBS := -liberty -l:libinih.a -Wl,--wrap=malloc -Wl,--wrap=realloc -Wl,--wrap=free
CLI_CFLAGS := $(SANFLAGS)
TEST_CFLAGS := $(SANFLAGS)
TEST_LIBS := -lcriterion
TARGET_CFLAGS := -O2 -g -pthread -fno-optimize-sibling-calls $(WARN) $(STRICT) -D_GNU_SOURCE -I. -MMD -MP

PRELOAD_OBJ := $(call obj,preload,$(PRELOAD_SRC) $(GO_SRC) $(POLICY_SRC) $(PRELOAD_ASM))
CLI_OBJ := $(call obj,cli,$(REPORTS_SRC) $(GO_SRC) $(POLICY_SRC) $(REPORTS_ASM))
UNIT_OBJ := $(call obj,test,$(TEST_SRC) $(UNIT_SRC))
E2E_OBJ := $(call obj,test,$(E2E_SRC))

# Changed flags rebuild, as changed sources do.
ALL_FLAGS = $(CC) $(CXX) $(CFLAGS) $(BASE) $(STRICT) $(SANFLAGS) $(PRELOAD_CFLAGS) $(TARGET_CFLAGS)
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(ALL_FLAGS)' | cmp -s - $@ || echo '$(ALL_FLAGS)' >$@
FORCE:

# A missing header is said with the package that has it, before the compiler stumbles.
$(B)/headers: | $(B)/flags
	@CC='$(CC)' tests/install-packages --headers && touch $@

$(B)/preload/%.c.o: %.c $(B)/flags | $(B)/headers
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(BASE) $(STRICT) $(PRELOAD_CFLAGS) -c -o $@ $<

$(B)/preload/%.S.o: %.S $(B)/flags | $(B)/headers
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(BASE) $(STRICT) $(PRELOAD_CFLAGS) -c -o $@ $<

$(B)/cli/%.c.o: %.c $(B)/flags | $(B)/headers
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(BASE) $(STRICT) $(CLI_CFLAGS) -c -o $@ $<

# What hooks of Go code run, in the middle of functions that may have anything in vector registers.
$(call obj,preload,preload/clock.c preload/trace.c preload/go/locks.c preload/go/memo.c): PRELOAD_CFLAGS += -mgeneral-regs-only

$(B)/cli/%.S.o: %.S $(B)/flags | $(B)/headers
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(BASE) $(STRICT) -c -o $@ $<

$(call obj,cli,$(REPORTS_ASM)) $(call obj,test,$(REPORTS_ASM)): $(wildcard reports/html/page.* reports/html/vendor/*)

$(B)/test/%.c.o: %.c $(B)/flags | $(B)/headers
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(BASE) $(STRICT) $(TEST_CFLAGS) -c -o $@ $<

$(B)/test/%.S.o: %.S $(B)/flags | $(B)/headers
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(BASE) $(STRICT) $(TEST_CFLAGS) -DPINW_NO_ENTRIES -c -o $@ $<

# These read memory that is nobody's object: other threads' frames, an argument's bytes up to the end of its page.
$(call obj,test,preload/proc.c preload/unwind.c): TEST_CFLAGS := $(filter-out -fsanitize=address,$(SANFLAGS))

$(B)/libpinwarden.so: $(PRELOAD_OBJ) preload/pinwarden.map Makefile
	$(CC) $(CFLAGS) $(PRELOAD_LDFLAGS) -o $@ $(PRELOAD_OBJ) $(PRELOAD_LIBS)

$(B)/pinwarden: $(CLI_OBJ) Makefile
	$(CC) $(CFLAGS) $(CLI_CFLAGS) -o $@ $(CLI_OBJ) $(REPORTS_LIBS)

# ---- tests -----------------------------------------------------------------------

$(B)/test/unit: $(UNIT_OBJ) Makefile
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -o $@ $(UNIT_OBJ) $(TEST_LIBS) $(REPORTS_LIBS)

$(B)/test/e2e: $(E2E_OBJ) Makefile
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -o $@ $(E2E_OBJ) $(TEST_LIBS)

# Programs the tests run as children: tests/targets/NAME.c, and libNAME.c as a shared library.
TARGETS_LIB := $(filter tests/targets/lib%,$(TARGETS_C) $(TARGETS_CXX))
TARGETS := $(patsubst tests/targets/%.c,$(B)/targets/%,$(filter-out $(TARGETS_LIB),$(TARGETS_C))) \
  $(patsubst tests/targets/%.cpp,$(B)/targets/%,$(filter-out $(TARGETS_LIB),$(TARGETS_CXX))) \
  $(addprefix $(B)/targets/,$(addsuffix .so,$(basename $(notdir $(TARGETS_LIB))))) \
  $(B)/targets/static $(B)/targets/static_pie

$(B)/targets/common.o: tests/targets/common/common.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(TARGET_CFLAGS) -std=gnu11 -c -o $@ $<

$(B)/targets/%: tests/targets/%.c $(B)/targets/common.o
	$(CC) $(TARGET_CFLAGS) -std=gnu11 -MF $@.d -o $@ $< $(B)/targets/common.o $(TARGET_LIBS)

$(B)/targets/%: tests/targets/%.cpp $(B)/targets/common.o
	$(CXX) $(filter-out -Wstrict-prototypes -Wmissing-prototypes,$(TARGET_CFLAGS)) -MF $@.d -o $@ $< $(B)/targets/common.o

$(B)/targets/lib%.so: tests/targets/lib%.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(TARGET_CFLAGS) -std=gnu11 -MF $@.d -fPIC -shared -Wl,-soname,$(@F) -o $@ $<

$(B)/targets/lib%.so: tests/targets/lib%.cpp $(B)/flags
	@mkdir -p $(@D)
	$(CXX) $(filter-out -Wstrict-prototypes -Wmissing-prototypes,$(TARGET_CFLAGS)) -MF $@.d -fPIC -shared -Wl,-soname,$(@F) -o $@ $<

# A dependency whose constructor acts before the shim's, and programs no preload reaches.
$(B)/targets/early_call: $(B)/targets/libearly.so
$(B)/targets/early_call: TARGET_LIBS := -L$(B)/targets -learly -Wl,-rpath,'$$ORIGIN'

$(B)/targets/static: tests/targets/create_join.c $(B)/targets/common.o
	$(CC) $(TARGET_CFLAGS) -std=gnu11 -MF $@.d -static -o $@ $< $(B)/targets/common.o

$(B)/targets/static_pie: tests/targets/create_join.c $(B)/targets/common.o
	$(CC) $(TARGET_CFLAGS) -std=gnu11 -MF $@.d -fPIE -static-pie -o $@ $< $(B)/targets/common.o

# Go programs, by every Go that is found; none is fine.
$(B)/go/built: $(wildcard tests/go/*.go tests/go/lib/*) tests/go/build
	tests/go/build $(B)

# What `make check` runs, built and nothing more.
tests: all $(B)/test/unit $(B)/test/e2e $(TARGETS) $(EXAMPLES) $(B)/go/built $(B)/bench/make_trace

check:
	tests/install-packages build check
	$(MAKE) tests
	tests/consumers/install $(B)
	tests/run $(B)

# ---- faults ----------------------------------------------------------------------

# What breaks shims: tests/faults/NAME.c and .cpp are programs, libNAME.* shared libraries; these three are shared by them.
FAULTS_SHARED := $(patsubst %,$(B)/faults/%.o,common wander scan)
FAULTS_SRC := $(filter-out tests/faults/wander.c tests/faults/scan.c,$(wildcard tests/faults/*.c tests/faults/*.cpp))
FAULTS_MIXED := $(patsubst %,$(B)/faults/mixed_%,address thread undefined static_address static_thread)
FAULTS := $(patsubst tests/faults/%,$(B)/faults/%,$(basename $(filter-out tests/faults/lib%,$(FAULTS_SRC)))) \
  $(patsubst tests/faults/%,$(B)/faults/%.so,$(basename $(filter tests/faults/lib%,$(FAULTS_SRC)))) $(FAULTS_MIXED)
CXX_CFLAGS := $(filter-out -Wstrict-prototypes -Wmissing-prototypes,$(TARGET_CFLAGS))

$(B)/faults/common.o: tests/targets/common/common.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(TARGET_CFLAGS) -std=gnu11 -fPIC -c -o $@ $<

$(B)/faults/%.o: tests/faults/%.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(TARGET_CFLAGS) -std=gnu11 -fPIC -c -o $@ $<

$(B)/faults/lib%.so: tests/faults/lib%.c $(FAULTS_SHARED)
	$(CC) $(TARGET_CFLAGS) -std=gnu11 -MF $@.d -fPIC -shared -Wl,-soname,$(@F) -o $@ $(FAULTS_SHARED) $<

$(B)/faults/lib%.so: tests/faults/lib%.cpp $(FAULTS_SHARED)
	$(CXX) $(CXX_CFLAGS) -MF $@.d -fPIC -shared -Wl,-soname,$(@F) -o $@ $(FAULTS_SHARED) $<

# A compiler without some sanitizer builds the others; the row that wants it is skipped.
$(filter %_static_address %_static_thread,$(FAULTS_MIXED)): $(B)/faults/mixed_static_%: tests/faults/mixed.c $(B)/faults/common.o
	-$(CC) $(TARGET_CFLAGS) -std=gnu11 -MF $@.d -fsanitize=$* -static-lib$(patsubst address,asan,$(patsubst thread,tsan,$*)) -o $@ $< $(B)/faults/common.o

$(filter-out %_static_address %_static_thread,$(FAULTS_MIXED)): $(B)/faults/mixed_%: tests/faults/mixed.c $(B)/faults/common.o
	-$(CC) $(TARGET_CFLAGS) -std=gnu11 -MF $@.d -fsanitize=$* -fno-sanitize-recover=all -o $@ $< $(B)/faults/common.o

$(B)/faults/first: FAULT_LIBS := -L$(B)/faults -lfirst -Wl,-rpath,'$$ORIGIN'
$(B)/faults/first: $(B)/faults/libfirst.so

$(B)/faults/%: tests/faults/%.c $(FAULTS_SHARED)
	$(CC) $(TARGET_CFLAGS) -std=gnu11 -MF $@.d -Wl,-z,now -o $@ $< $(FAULTS_SHARED) $(FAULT_LIBS)

$(B)/faults/%: tests/faults/%.cpp $(FAULTS_SHARED)
	$(CXX) $(CXX_CFLAGS) -MF $@.d -o $@ $< $(FAULTS_SHARED)

faults: all $(FAULTS) $(TARGETS)
	tests/faults/run $(B)

# ---- costs -------------------------------------------------------------------------

BENCH := $(addprefix $(B)/bench/,cost make_trace spawn tally)
$(B)/bench/cost: $(B)/targets/common.o
$(B)/bench/make_trace: $(call obj,test,tests/trace_builder.c)
$(B)/bench/make_trace: private TARGET_CFLAGS += $(SANFLAGS)

$(B)/bench/%: tests/bench/%.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(TARGET_CFLAGS) -std=gnu11 -MF $@.d -o $@ $< $(filter %.o,$^)

bench: all $(BENCH) $(B)/targets/many_live $(B)/targets/live_scene
	tests/bench/run $(B)

# ---- examples ----------------------------------------------------------------------

EXAMPLES_SHARED := $(patsubst %,$(B)/examples/common/%.o,cpus loopback)
# Not inlined: stacks read as the source does, with every compiler.
EXAMPLES_CFLAGS := $(TARGET_CFLAGS) -O1 -fno-inline -std=gnu11

$(B)/examples/common/%.o: examples/common/%.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(EXAMPLES_CFLAGS) -c -o $@ $<

$(B)/examples/%: examples/%.c $(EXAMPLES_SHARED)
	$(CC) $(EXAMPLES_CFLAGS) -MF $@.d -o $@ $< $(EXAMPLES_SHARED)

# A Go that cannot build with cgo (no C compiler for it) leaves out its example alone; what was built before it goes too.
$(B)/examples/go_service: $(wildcard examples/go/*.go)
	@mkdir -p $(@D)
	-env GOCACHE=$(abspath $(B))/go/cache GOTOOLCHAIN=local GO111MODULE=off GOFLAGS= CGO_ENABLED=1 $(GO) build -o $@ ./examples/go || rm -f $@

examples: all $(EXAMPLES)

# ---- what people type --------------------------------------------------------------

demo:
	tests/install-packages build demo
	$(MAKE) all
	examples/demo $(B)

lint:
	tests/install-packages build check lint
	tests/lint $(filter %.c,$(sort $(POLICY_SRC) $(PRELOAD_SRC) $(GO_SRC) $(REPORTS_SRC) $(TEST_SRC) $(E2E_SRC) $(EXAMPLES_SRC)))

format:
	tests/install-packages lint
	clang-format -i $$(git ls-files '*.c' '*.h' '*.cpp')

install: all
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(libdir) $(DESTDIR)$(mandir)/man1 $(DESTDIR)$(mandir)/man5 \
	  $(DESTDIR)$(docdir) $(DESTDIR)$(bashcompdir) $(DESTDIR)$(zshcompdir) $(DESTDIR)$(fishcompdir)
	install -m 755 $(B)/pinwarden $(DESTDIR)$(bindir)/
	install -m 644 $(B)/libpinwarden.so $(DESTDIR)$(libdir)/
	install -m 644 LICENSE $(DESTDIR)$(docdir)/
	install -m 644 reports/completions/pinwarden.bash $(DESTDIR)$(bashcompdir)/pinwarden
	install -m 644 reports/completions/_pinwarden $(DESTDIR)$(zshcompdir)/
	install -m 644 reports/completions/pinwarden.fish $(DESTDIR)$(fishcompdir)/
	$(if $(wildcard reports/man/*.1),install -m 644 $(wildcard reports/man/*.1) $(DESTDIR)$(mandir)/man1/)
	$(if $(wildcard reports/man/*.5),install -m 644 $(wildcard reports/man/*.5) $(DESTDIR)$(mandir)/man5/)

clean:
	rm -rf build build-address build-undefined

-include $(wildcard $(PRELOAD_OBJ:.o=.d) $(CLI_OBJ:.o=.d) $(UNIT_OBJ:.o=.d) $(E2E_OBJ:.o=.d) $(B)/targets/*.d $(B)/faults/*.d $(B)/bench/*.d $(B)/examples/*.d $(B)/examples/common/*.d)
