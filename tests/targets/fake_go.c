/* SPDX-License-Identifier: MIT
 *
 * A C program that says it is Go's, with a table of functions that look like the runtime's and lie anywhere but in its code. To it
 * they mean nothing; whoever takes them for addresses falls.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FUNCTIONS 7

struct table {
	uint32_t magic;
	uint8_t zero[2], quantum, pointer;
	uint64_t count, file_count, text, names_at, units_at, files_at, deltas_at, functions_at;
	char names[192];
	uint32_t units[4];
	char files[48];
	char deltas[16];
	struct {
		uint32_t entry, function;
	} index[FUNCTIONS + 1];
	struct {
		uint32_t entry, name, other[10];
	} functions[FUNCTIONS];
};

static void *thread(void *arg)
{
	return arg;
}

#define FUNCTION(i) (sizeof(((struct table *)0)->index) + (i) * sizeof(((struct table *)0)->functions[0]))

/* Aligned as Go's linker aligns it; the first and the last address are code, in between it is beyond all. */
struct table table __attribute__((aligned(32), used)) = {
    .magic = 0xfffffff1,
    .quantum = 1,
    .pointer = 8,
    .count = FUNCTIONS,
    .file_count = 1,
    .text = (uint64_t)(uintptr_t)thread,
    .names_at = offsetof(struct table, names),
    .units_at = offsetof(struct table, units),
    .files_at = offsetof(struct table, files),
    .deltas_at = offsetof(struct table, deltas),
    .functions_at = offsetof(struct table, index),
    .names = "\0main.go1\0runtime.LockOSThread\0runtime.mexit\0runtime.exit\0runtime.templateThread\0"
             "runtime.ensureSigM.func1\0runtime/internal/syscall.Syscall6",
    .files = "/usr/lib/go/src/runtime/proc.go",
    .index = {{0, FUNCTION(0)},
              {0x7fffffff, FUNCTION(1)},
              {0x60000000, FUNCTION(2)},
              {0x70000000, FUNCTION(3)},
              {0x7ffffff0, FUNCTION(4)},
              {0x50000000, FUNCTION(5)},
              {0x40000000, FUNCTION(6)},
              {1, 0}},
    .functions =
        {{.name = 1}, {.name = 10}, {.name = 31}, {.name = 45}, {.name = 58}, {.name = 81}, {.name = 106}},
};

__attribute__((section(".note.go.buildid"), used, aligned(4))) static const struct {
	uint32_t name_bytes, bytes, type;
	char name[4], id[4];
} note = {4, 4, 4, "Go", "abc"};

int main(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, thread, NULL) != 0 || pthread_join(t, NULL) != 0)
		return 1;
	puts("ran");
	return 0;
}
