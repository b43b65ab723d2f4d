/* SPDX-License-Identifier: MIT
 *
 * The leaked pin as it is written in practice: the release is there, at the end of the function, and an error path
 * returns before it. Workers take files to index from a list; a file that cannot be indexed ends its worker with
 * the pin open, and the worker that takes over is the next to leak. Two of six files are bad: two exit-while-pinned
 * leaks, both pinned in index_file, and four pins that were released.
 *
 *   make examples
 *   build/pinwarden run -p examples/policies/leaking_worker.ini -- build/examples/leaking_worker     a block for each
 *   build/pinwarden run -- build/examples/leaking_worker cured                                        none
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/cpus.h"

static const char *const files[] = {"a.txt", "b.txt", "c.bin", "d.txt", "e.bin", "f.txt"};
#define FILES (sizeof(files) / sizeof(files[0]))

static struct {
	pthread_mutex_t lock;
	size_t next; /* first file that nobody took */
	size_t indexed;
} work = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool cured;

/* The next file, NULL when none is left. */
static const char *take(void)
{
	const char *file = NULL;

	pthread_mutex_lock(&work.lock);
	if (work.next < FILES)
		file = files[work.next++];
	pthread_mutex_unlock(&work.lock);
	return file;
}

static bool is_text(const char *file)
{
	size_t len = strlen(file);

	return len > 4 && strcmp(file + len - 4, ".txt") == 0;
}

/* The hot part wants a warm cache, hence the pin. */
static int index_file(const char *file)
{
	cpu_set_t before;
	int error = cpus_pin(cpus_nth(0), &before);

	if (error)
		return error;
	if (!is_text(file)) {
		if (cured)
			cpus_release(&before);
		return EILSEQ; /* the bug: this way out forgets the pin */
	}
	pthread_mutex_lock(&work.lock);
	work.indexed++;
	pthread_mutex_unlock(&work.lock);
	return cpus_release(&before);
}

/* Works until the list is empty (NULL) or a file could not be indexed (that file). */
static void *index_files(void *unused)
{
	const char *file;

	(void)unused;
	pthread_setname_np(pthread_self(), "indexer");
	while ((file = take()) != NULL)
		if (index_file(file) != 0)
			return (void *)file;
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t worker;
	void *failed;

	cured = argc > 1 && strcmp(argv[1], "cured") == 0;
	cpus_need(2);
	do {
		/* A worker that gave up is replaced. */
		int error = pthread_create(&worker, NULL, index_files, NULL);

		if (!error)
			error = pthread_join(worker, &failed);
		if (error) {
			fprintf(stderr, "no worker: %s\n", strerror(error));
			return 1;
		}
		if (failed)
			printf("%s: not a text, its worker gave up\n", (const char *)failed);
	} while (failed);
	printf("%zu of %zu files indexed\n", work.indexed, FILES);
	return 0;
}
