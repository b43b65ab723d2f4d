/* SPDX-License-Identifier: MIT
 *
 * The cure of handler_pins.c, and the single-owner pattern in C: one thread, pinned once at its start, owns what
 * must not change its thread. Handlers submit jobs to its bounded queue and wait for the reply, unpinned.
 *
 *   start      the owner pins itself, then makes its per-thread state, then says that it is ready
 *   submit     waits while the queue is full (backpressure), refused once the owner is closing
 *   reply      each job has a condition of its own: only the one who asked is woken
 *   shutdown   what was accepted is answered (drain), the state is torn down on the thread that owns it, then the
 *              pin is released, then the thread ends
 *
 *   make examples
 *   build/pinwarden run -p examples/policies/single_owner.ini --enforce -- build/examples/single_owner
 *
 * The audit counts one pin opened and one released, whatever the number of requests; no rule is broken.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/cpus.h"
#include "examples/common/loopback.h"

#define CLIENTS 4
#define REQUESTS_EACH 25
#define QUEUE_LENGTH 8

/* ---- the thread-affine library ------------------------------------------------------- */

/* State that only the thread that made it may use, as a GL or CUDA context is. */
static _Thread_local struct library {
	bool ready;
	unsigned long calls;
} library;

static int library_open(void)
{
	library = (struct library){.ready = true};
	return 0;
}

/* -1 on any other thread than the one that opened it. */
static long long library_sum_of_squares(unsigned long n)
{
	long long sum = 0;

	if (!library.ready)
		return -1;
	library.calls++;
	for (unsigned long i = 0; i < n; i++)
		sum += (long long)(i * i);
	return sum;
}

static unsigned long library_close(void)
{
	library.ready = false;
	return library.calls;
}

/* ---- the owner ----------------------------------------------------------------------- */

/* Lives on its submitter's stack: the submitter always waits for the answer. */
struct job {
	struct job *next;
	unsigned long n;
	long long result;
	bool done;
	pthread_cond_t answered;
};

struct owner {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t has_work; /* the owner waits: queue not empty, or closing */
	pthread_cond_t has_room; /* submitters wait: queue not full, or closing */
	pthread_cond_t started; /* the starter waits */
	struct job *first, **last;
	unsigned length;
	bool closing;
	int cpu;
	int error; /* of the start: -1 while it is under way */
	unsigned long calls; /* what the library counted, after shutdown */
};

/* The next job, NULL when the owner is closing and everything accepted has been answered. */
static struct job *next_job(struct owner *o)
{
	struct job *job;

	pthread_mutex_lock(&o->lock);
	while (!o->first && !o->closing)
		pthread_cond_wait(&o->has_work, &o->lock);
	job = o->first;
	if (job) {
		o->first = job->next;
		if (!o->first)
			o->last = &o->first;
		o->length--;
		pthread_cond_signal(&o->has_room);
	}
	pthread_mutex_unlock(&o->lock);
	return job;
}

static void answer(struct owner *o, struct job *job, long long result)
{
	pthread_mutex_lock(&o->lock);
	job->result = result;
	job->done = true;
	/* Signalled under the lock: once it is released the submitter may return and the job be gone. */
	pthread_cond_signal(&job->answered);
	pthread_mutex_unlock(&o->lock);
}

static void say_started(struct owner *o, int error)
{
	pthread_mutex_lock(&o->lock);
	o->error = error;
	pthread_cond_signal(&o->started);
	pthread_mutex_unlock(&o->lock);
}

static void *own(void *arg)
{
	struct owner *o = arg;
	cpu_set_t before;
	struct job *job;
	int error;

	/* The name first: the policy allows the pin to a thread of this name. */
	pthread_setname_np(pthread_self(), "owner");
	error = cpus_pin(o->cpu, &before);
	if (!error && (error = library_open()) != 0)
		cpus_release(&before);
	say_started(o, error);
	if (error)
		return NULL;
	while ((job = next_job(o)) != NULL)
		answer(o, job, library_sum_of_squares(job->n));
	o->calls = library_close();
	cpus_release(&before);
	return NULL;
}

/* Returns once the owner is ready to work. 0 or an errno value. */
static int owner_start(struct owner *o, int cpu)
{
	int error;

	*o = (struct owner){.cpu = cpu, .error = -1};
	o->last = &o->first;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->has_work, NULL);
	pthread_cond_init(&o->has_room, NULL);
	pthread_cond_init(&o->started, NULL);
	error = pthread_create(&o->thread, NULL, own, o);
	if (error)
		return error;
	pthread_mutex_lock(&o->lock);
	while (o->error == -1)
		pthread_cond_wait(&o->started, &o->lock);
	error = o->error;
	pthread_mutex_unlock(&o->lock);
	if (error)
		pthread_join(o->thread, NULL);
	return error;
}

/* Has the owner compute. Returns 0, or ESHUTDOWN when it takes no more work. */
static int owner_submit(struct owner *o, unsigned long n, long long *ret_result)
{
	struct job job = {.n = n};

	pthread_cond_init(&job.answered, NULL);
	pthread_mutex_lock(&o->lock);
	while (o->length == QUEUE_LENGTH && !o->closing)
		pthread_cond_wait(&o->has_room, &o->lock);
	if (o->closing) {
		pthread_mutex_unlock(&o->lock);
		pthread_cond_destroy(&job.answered);
		return ESHUTDOWN;
	}
	*o->last = &job;
	/* The owner takes it out of the queue before this function returns. */
	o->last = &job.next; // cppcheck-suppress autoVariables
	o->length++;
	pthread_cond_signal(&o->has_work);
	while (!job.done)
		pthread_cond_wait(&job.answered, &o->lock);
	pthread_mutex_unlock(&o->lock);
	pthread_cond_destroy(&job.answered);
	*ret_result = job.result;
	return 0;
}

/* Takes no more work, has the owner answer what it accepted, and waits for its end. */
static void owner_shutdown(struct owner *o)
{
	pthread_mutex_lock(&o->lock);
	o->closing = true;
	pthread_cond_broadcast(&o->has_work);
	pthread_cond_broadcast(&o->has_room);
	pthread_mutex_unlock(&o->lock);
	pthread_join(o->thread, NULL);
	pthread_cond_destroy(&o->started);
	pthread_cond_destroy(&o->has_room);
	pthread_cond_destroy(&o->has_work);
	pthread_mutex_destroy(&o->lock);
}

/* ---- the service ---------------------------------------------------------------------- */

/* Unpinned, like the thread it runs in. */
static void handle_request(const char *request, char *reply, size_t size, void *owner)
{
	long long result;
	int error = owner_submit(owner, strtoul(request, NULL, 10), &result);

	if (error)
		snprintf(reply, size, "error %s", strerror(error));
	else
		snprintf(reply, size, "%lld", result);
}

struct client {
	pthread_t thread;
	int port;
	unsigned right;
};

static void *ask_many(void *arg)
{
	char request[LOOPBACK_LINE], reply[LOOPBACK_LINE];
	struct client *client = arg;

	for (long long n = 1; n <= REQUESTS_EACH; n++) {
		snprintf(request, sizeof(request), "%lld", n);
		if (loopback_ask(client->port, request, reply, sizeof(reply)) == 0)
			client->right += strtoll(reply, NULL, 10) == (n - 1) * n * (2 * n - 1) / 6;
	}
	return NULL;
}

/* All clients at once; how many replies were right. */
static unsigned ask_all(int port)
{
	struct client clients[CLIENTS];
	unsigned right = 0;

	for (int i = 0; i < CLIENTS; i++) {
		clients[i] = (struct client){.port = port};
		if (pthread_create(&clients[i].thread, NULL, ask_many, &clients[i]) != 0)
			clients[i].thread = pthread_self();
	}
	for (int i = 0; i < CLIENTS; i++)
		if (!pthread_equal(clients[i].thread, pthread_self())) {
			pthread_join(clients[i].thread, NULL);
			right += clients[i].right;
		}
	return right;
}

int main(void)
{
	struct loopback_server *server;
	struct owner owner;
	unsigned right;
	int error;

	cpus_need(2);
	error = owner_start(&owner, cpus_nth(0));
	if (error) {
		fprintf(stderr, "the owner did not start: %s\n", strerror(error));
		return 1;
	}
	server = loopback_start(handle_request, &owner);
	if (!server) {
		perror("cannot serve");
		owner_shutdown(&owner);
		return 1;
	}
	puts("1 pinned thread");
	right = ask_all(loopback_port(server));
	loopback_stop(server);
	owner_shutdown(&owner);
	printf("%u of %d replies right, %lu calls on the owner's thread\n", right, CLIENTS * REQUESTS_EACH,
	       owner.calls);
	return right != CLIENTS * REQUESTS_EACH || owner.calls != right;
}
