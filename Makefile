# Pinwarden: build, test, install. `make help` lists the targets.
VERSION := 0.1.0

prefix ?= /usr/local
bindir ?= $(prefix)/bin
libdir ?= $(prefix)/lib
mandir ?= $(prefix)/share/man
DESTDIR ?=

CC ?= gcc
CXX ?= g++
CFLAGS ?= -O2 -g
# SAN=address or SAN=undefined: the CLI and the unit tests under that sanitizer, in a build folder of their own.
SAN ?=
B := build$(if $(SAN),-$(SAN))

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wvla-larger-than=2048
BASE := -std=gnu11 -D_GNU_SOURCE -I. -DPINW_VERSION='"$(VERSION)"' -DPINW_LIBDIR='"$(libdir)"' $(WARN) -MMD -MP
SANFLAGS := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)

POLICY_SRC := \
  policy/mask.c

PRELOAD_SRC :=

PRELOAD_ASM :=

REPORTS_SRC :=

# Code of the shim that unit tests link without LD_PRELOAD.
UNIT_SRC := $(POLICY_SRC)

TEST_SRC := \
  tests/test_mask.c

REPORTS_LIBS := -ldw -lelf -liberty
TARGETS_C := $(wildcard tests/targets/*.c)
TARGETS_CXX := $(wildcard tests/targets/*.cpp)

obj = $(patsubst %,$(B)/$(1)/%.o,$(2))

all: $(B)/libpinwarden.so $(B)/pinwarden

help:
	@echo 'make            build libpinwarden.so and pinwarden into build/ (installs nothing)'
	@echo 'make demo       install missing packages, build, audit a real program, print the report'
	@echo 'make check      install missing packages, build, run the tests   [SAN=address|undefined]'
	@echo 'make faults     what breaks shims, bare and under this one, as a table'
	@echo 'make bench      costs as ratios of medians, taken side by side'
	@echo 'make install    into $$(DESTDIR)$$(prefix)'
	@echo 'make lint       clang-tidy and cppcheck;   make format   clang-format'
	@echo 'make clean'

.PHONY: all help check demo faults bench install lint format clean
