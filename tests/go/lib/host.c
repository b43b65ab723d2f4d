/* SPDX-License-Identifier: MIT
 *
 * A C program that has Go in shared libraries:  host THREADS TIMES LIBRARY...
 *
 * With HOST_LINKED it is linked with one, and the arguments name none. Threads that are there before a library is opened and
 * threads that come later, the main thread among them, lock themselves in all of them, and Go's own threads do. Prints what was
 * done as shell words.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define LIBRARIES_MAX 4
#define THREADS_MAX 64

struct library {
	void (*here)(int times, int depth);
	void (*goroutines)(int goroutines, int times);
	void (*destroyed)(void);
};

static struct library libraries[LIBRARIES_MAX];
static int library_count, times;
static pthread_barrier_t opened;

#ifdef HOST_LINKED
void golocks_here(int times, int depth);
void golocks_goroutines(int goroutines, int times);
void golocks_destroyed(void);

static void open_libraries(int count, char **paths)
{
	(void)count, (void)paths;
	libraries[library_count++] = (struct library){golocks_here, golocks_goroutines, golocks_destroyed};
}
#else
static void *find(void *library, const char *name)
{
	void *found = dlsym(library, name);

	if (!found)
		exit(3);
	return found;
}

/* Closes each once more than it opened it: Go's libraries stay. */
static void open_libraries(int count, char **paths)
{
	for (int i = 0; i < count && i < LIBRARIES_MAX; i++) {
		void *library = dlopen(paths[i], RTLD_NOW | RTLD_LOCAL);

		if (!library) {
			fprintf(stderr, "%s\n", dlerror());
			exit(2);
		}
		*(void **)&libraries[i].here = find(library, "golocks_here");
		*(void **)&libraries[i].goroutines = find(library, "golocks_goroutines");
		*(void **)&libraries[i].destroyed = find(library, "golocks_destroyed");
		library_count++;
		dlclose(library);
	}
}
#endif

static void lock_here(void)
{
	for (int i = 0; i < library_count; i++) {
		libraries[i].here(times, 1);
		libraries[i].here(times, 3);
	}
}

static void *early(void *unused)
{
	pthread_barrier_wait(&opened);
	lock_here();
	return unused;
}

static void *late(void *unused)
{
	lock_here();
	return unused;
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 2;
	pthread_t threads[2 * THREADS_MAX];

	times = argc > 2 ? atoi(argv[2]) : 10;
	if (count < 1 || count > THREADS_MAX || pthread_barrier_init(&opened, NULL, (unsigned)count + 1))
		return 1;
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, early, NULL) != 0)
			return 1;
	open_libraries(argc - 3, argv + 3);
	pthread_barrier_wait(&opened);
	lock_here();
	for (int i = 0; i < count; i++)
		if (pthread_create(&threads[count + i], NULL, late, NULL) != 0)
			return 1;
	for (int i = 0; i < library_count; i++) {
		libraries[i].goroutines(8, times);
		libraries[i].destroyed();
	}
	for (int i = 0; i < 2 * count; i++)
		pthread_join(threads[i], NULL);
	int unlocks = library_count * ((2 * count + 1) * 2 * times + 8 * times);
	printf("locks=%d nested=%d unlocks=%d lost=%d\n", unlocks + library_count,
	       library_count * (2 * count + 1) * 2 * times, unlocks, library_count);
	return 0;
}
