/* SPDX-License-Identifier: MIT
 *
 * The dispatcher of a service with several devices (four GPUs, say), none of which may be used from more than one
 * thread: a pinned worker owns each device's context, everything else is unpinned.
 *
 *   dispatch      the least loaded worker that has a device gets the job; the choice is made on the caller's thread
 *   backpressure  each worker's queue is bounded; when all are full the caller gets EBUSY at once (HTTP 429), and
 *                 nothing grows
 *   cancellation  a caller waits until its deadline; a job still queued then is taken out and never runs, one that
 *                 runs is let run to its end and its result thrown away
 *   replacement   a worker whose device fails ends with its context and its pin; the supervisor, which is not pinned,
 *                 starts the next one (a worker started by the failing one would inherit its one-CPU mask), which takes
 *                 over the queue; a device that fails three times in a row is taken out of service
 *   shutdown      no new jobs, queues are drained, contexts are torn down on the threads that own them
 *
 *   make examples
 *   build/pinwarden run -p examples/policies/dispatcher.ini --enforce -- build/examples/dispatcher 2
 *
 * The audit counts a pin opened and released for each worker and for each replacement, and no rule broken.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "examples/common/cpus.h"

#define DEVICES_MAX 4
#define QUEUE_LENGTH 4
#define FAILURES_MAX 3 /* in a row, then the device is out of service */

/* ---- a device ------------------------------------------------------------------------ */

/* A context belongs to the thread that opened it, as a CUDA context does. */
struct device_context {
	int device;
	pthread_t owner;
};

static void device_open(struct device_context *context, int device)
{
	*context = (struct device_context){.device = device, .owner = pthread_self()};
}

static void device_close(struct device_context *context)
{
	context->device = -1;
}

/* A gate that a job can be made to wait at: how the scenes below keep a device busy. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int waiting;
	bool open;
};

enum request_kind { REQUEST_SQUARE, REQUEST_BREAK };

struct request {
	enum request_kind kind;
	struct gate *gate; /* NULL: none */
	long n;
};

static void gate_pass(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->waiting++;
	pthread_cond_broadcast(&g->changed);
	while (!g->open)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

/* Cannot be interrupted once begun. EXDEV on a foreign thread, EIO when the device is lost. */
static int device_run(struct device_context *context, const struct request *request, long *ret_result)
{
	if (!pthread_equal(context->owner, pthread_self()))
		return EXDEV;
	if (request->gate)
		gate_pass(request->gate);
	if (request->kind == REQUEST_BREAK)
		return EIO;
	*ret_result = request->n * request->n;
	return 0;
}

/* ---- jobs ------------------------------------------------------------------------------ */

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE };

/* Held by the one who submitted it and, until it is done or cancelled, by the pool. */
struct job {
	struct job *next;
	struct request request;
	enum job_state state;
	struct worker *worker; /* in whose queue it is */
	int holders;
	int error;
	long result;
	pthread_cond_t done;
};

struct worker {
	struct pool *pool;
	pthread_t thread;
	int device;
	struct job *first;
	int length; /* jobs queued */
	bool running; /* and one on the device */
	int failures; /* in a row */
	bool failed; /* its thread has ended or is about to: the supervisor's turn */
	bool out; /* of service: no device any more */
	bool started; /* its thread is there and not joined yet */
	int runs; /* jobs that ended well */
	pthread_cond_t has_work;
};

struct pool {
	pthread_mutex_t lock; /* one for everything below: jobs are long, this is not */
	pthread_cond_t
	    changed; /* the supervisor and pool_start wait: a worker is ready or failed, or closing */
	struct worker workers[DEVICES_MAX];
	int count;
	int ready;
	int replaced;
	bool closing;
	pthread_t supervisor;
};

static void job_drop(struct job *job)
{
	if (--job->holders > 0)
		return;
	pthread_cond_destroy(&job->done);
	free(job);
}

/* Ends a job for the pool. With the lock held. */
static void job_finish(struct job *job, int error, long result)
{
	job->state = JOB_DONE;
	job->error = error;
	job->result = result;
	pthread_cond_signal(&job->done);
	job_drop(job);
}

static void enqueue(struct worker *w, struct job *job)
{
	struct job **end = &w->first;

	while (*end)
		end = &(*end)->next;
	*end = job;
	job->worker = w;
	w->length++;
	pthread_cond_signal(&w->has_work);
}

static struct job *take_first(struct worker *w)
{
	struct job *job = w->first;

	if (job) {
		w->first = job->next;
		w->length--;
	}
	return job;
}

/* Out of the middle: the one who waits has given it up. */
static void unqueue(struct job *job)
{
	struct worker *w = job->worker;

	for (struct job **at = &w->first; *at; at = &(*at)->next)
		if (*at == job) {
			*at = job->next;
			w->length--;
			return;
		}
}

/* ---- workers ----------------------------------------------------------------------------- */

/* The next job, NULL at shutdown when the queue is drained. With the lock held. */
static struct job *next_job(struct worker *w)
{
	while (!w->first && !w->pool->closing)
		pthread_cond_wait(&w->has_work, &w->pool->lock);
	return take_first(w);
}

/* Runs jobs until shutdown or until the device fails. With the lock held. */
static void run_jobs(struct worker *w, struct device_context *context)
{
	struct job *job;

	while (!w->failed && (job = next_job(w)) != NULL) {
		long result = 0;
		int error;

		job->state = JOB_RUNNING;
		w->running = true;
		pthread_mutex_unlock(&w->pool->lock);
		error = device_run(context, &job->request, &result);
		pthread_mutex_lock(&w->pool->lock);
		w->running = false;
		w->failed = error == EIO;
		w->failures = error == EIO ? w->failures + 1 : 0;
		w->runs += !error;
		job_finish(job, error, result);
	}
}

static void *own_device(void *arg)
{
	struct worker *w = arg;
	struct pool *pool = w->pool;
	struct device_context context;
	cpu_set_t before;
	char name[16];
	int error;

	/* The name first: the policy allows the pin to threads of this name. */
	snprintf(name, sizeof(name), "device-%d", w->device);
	pthread_setname_np(pthread_self(), name);
	error = cpus_pin(cpus_nth(w->device), &before);
	if (error)
		fprintf(stderr, "%s: not pinned: %s\n", name, strerror(error));
	device_open(&context, w->device);
	pthread_mutex_lock(&pool->lock);
	pool->ready++;
	pthread_cond_broadcast(&pool->changed);
	run_jobs(w, &context);
	pthread_mutex_unlock(&pool->lock);
	/* Torn down where it was made, the CPU free again, and only then is the supervisor told. */
	device_close(&context);
	if (!error)
		cpus_release(&before);
	pthread_mutex_lock(&pool->lock);
	pool->ready--;
	pthread_cond_broadcast(&pool->changed);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static int worker_start(struct worker *w)
{
	int error = pthread_create(&w->thread, NULL, own_device, w);

	w->started = !error;
	return error;
}

/* ---- replacement -------------------------------------------------------------------------- */

/* What waits for a worker that will not come. With the lock held. */
static void fail_queued(struct worker *w, int error)
{
	struct job *job;

	while ((job = take_first(w)) != NULL)
		job_finish(job, error, 0);
}

/* A device that has no worker any more. With the lock held. */
static void put_out_of_service(struct worker *w)
{
	w->out = true;
	fail_queued(w, EIO);
	pthread_cond_broadcast(&w->pool->changed);
	fprintf(stderr, "device %d is out of service\n", w->device);
}

/* With the lock held, which is given up while the old thread ends. */
static void replace(struct worker *w)
{
	pthread_t old = w->thread;

	pthread_mutex_unlock(&w->pool->lock);
	pthread_join(old, NULL);
	pthread_mutex_lock(&w->pool->lock);
	w->started = false;
	w->failed = false;
	if (w->failures >= FAILURES_MAX || worker_start(w) != 0)
		put_out_of_service(w);
	else
		w->pool->replaced++;
}

static struct worker *failed_worker(struct pool *pool)
{
	for (int i = 0; i < pool->count; i++)
		if (pool->workers[i].failed)
			return &pool->workers[i];
	return NULL;
}

static void *supervise(void *arg)
{
	struct pool *pool = arg;
	struct worker *w;

	pthread_setname_np(pthread_self(), "supervisor");
	pthread_mutex_lock(&pool->lock);
	while ((w = failed_worker(pool)) != NULL || !pool->closing)
		if (w)
			replace(w);
		else
			pthread_cond_wait(&pool->changed, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* ---- the pool ------------------------------------------------------------------------------- */

/* Has every worker end when its queue is drained, and waits for all threads. */
static void pool_shutdown(struct pool *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->closing = true;
	pthread_cond_broadcast(&pool->changed);
	for (int i = 0; i < pool->count; i++)
		pthread_cond_signal(&pool->workers[i].has_work);
	pthread_mutex_unlock(&pool->lock);
	/* The supervisor first: it may be joining a worker, and replaces it so that its queue is drained. */
	pthread_join(pool->supervisor, NULL);
	for (int i = 0; i < pool->count; i++)
		if (pool->workers[i].started)
			pthread_join(pool->workers[i].thread, NULL);
	/* A worker that failed when the supervisor had left was not replaced. */
	for (int i = 0; i < pool->count; i++) {
		fail_queued(&pool->workers[i], ESHUTDOWN);
		pthread_cond_destroy(&pool->workers[i].has_work);
	}
	pthread_cond_destroy(&pool->changed);
	pthread_mutex_destroy(&pool->lock);
}

/* Returns once every device has its worker. 0 or an errno value. */
static int pool_start(struct pool *pool, int devices)
{
	int error;

	*pool = (struct pool){.count = 0};
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->changed, NULL);
	error = pthread_create(&pool->supervisor, NULL, supervise, pool);
	if (error)
		return error;
	pthread_mutex_lock(&pool->lock);
	while (!error && pool->count < devices) {
		struct worker *w = &pool->workers[pool->count];

		*w = (struct worker){.pool = pool, .device = pool->count};
		pthread_cond_init(&w->has_work, NULL);
		error = worker_start(w);
		pool->count++;
	}
	while (!error && pool->ready < devices)
		pthread_cond_wait(&pool->changed, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	if (error)
		pool_shutdown(pool);
	return error;
}

/* The worker with the fewest jobs that has room and a device; NULL when there is none. With the lock held. */
static struct worker *least_loaded(struct pool *pool)
{
	struct worker *best = NULL;

	for (int i = 0; i < pool->count; i++) {
		struct worker *w = &pool->workers[i];

		if (w->out || w->length == QUEUE_LENGTH)
			continue;
		if (!best || w->length + w->running < best->length + best->running)
			best = w;
	}
	return best;
}

/* Never waits. 0 with *ret_job, EBUSY when every queue is full, ESHUTDOWN, ENOMEM. */
static int pool_submit(struct pool *pool, struct request request, struct job **ret_job)
{
	struct job *job = calloc(1, sizeof(*job));
	pthread_condattr_t monotonic;
	struct worker *w;
	int error = 0;

	if (!job)
		return ENOMEM;
	*job = (struct job){.request = request, .holders = 2};
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&job->done, &monotonic);
	pthread_condattr_destroy(&monotonic);
	pthread_mutex_lock(&pool->lock);
	w = least_loaded(pool);
	if (pool->closing)
		error = ESHUTDOWN;
	else if (!w)
		error = EBUSY;
	else
		enqueue(w, job);
	pthread_mutex_unlock(&pool->lock);
	if (!error) {
		*ret_job = job;
		return 0;
	}
	pthread_cond_destroy(&job->done);
	free(job);
	return error;
}

/* Waits for a job until `deadline` (CLOCK_MONOTONIC, NULL: for ever) and gives it up. Returns the job's error, or ETIMEDOUT:
 * it was cancelled if it had not begun. */
static int pool_wait(struct pool *pool, struct job *job, const struct timespec *deadline, long *ret_result)
{
	int error = 0;

	pthread_mutex_lock(&pool->lock);
	while (job->state != JOB_DONE && error != ETIMEDOUT)
		error = deadline ? pthread_cond_timedwait(&job->done, &pool->lock, deadline)
		                 : pthread_cond_wait(&job->done, &pool->lock);
	if (job->state == JOB_DONE) {
		error = job->error;
		*ret_result = job->result;
	} else if (job->state == JOB_QUEUED) {
		unqueue(job);
		job->holders--; /* the pool's */
	}
	job_drop(job);
	pthread_mutex_unlock(&pool->lock);
	return error;
}

/* ---- scenes: what the dispatcher is for ------------------------------------------------------- */

#define CLIENTS 4
#define REQUESTS_EACH 50

static struct timespec in_ms(long ms)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

static void gate_init(struct gate *g)
{
	*g = (struct gate){.open = false};
	pthread_mutex_init(&g->lock, NULL);
	pthread_cond_init(&g->changed, NULL);
}

static void gate_wait(struct gate *g, int waiting)
{
	pthread_mutex_lock(&g->lock);
	while (g->waiting < waiting)
		pthread_cond_wait(&g->changed, &g->lock);
	pthread_mutex_unlock(&g->lock);
}

static void gate_open(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->open = true;
	pthread_cond_broadcast(&g->changed);
	pthread_mutex_unlock(&g->lock);
}

static void gate_done(struct gate *g)
{
	pthread_cond_destroy(&g->changed);
	pthread_mutex_destroy(&g->lock);
}

struct client {
	pthread_t thread;
	struct pool *pool;
	int right;
};

/* A patient client: told that all are busy, it comes back later. */
static void *ask_many(void *arg)
{
	const struct timespec later = {.tv_nsec = 200000};
	struct client *client = arg;

	for (long n = 1; n <= REQUESTS_EACH; n++) {
		struct job *job;
		long result = 0;
		int error;

		while ((error = pool_submit(client->pool, (struct request){.n = n}, &job)) == EBUSY)
			nanosleep(&later, NULL);
		if (!error)
			error = pool_wait(client->pool, job, NULL, &result);
		client->right += !error && result == n * n;
	}
	return NULL;
}

static bool under_load(struct pool *pool)
{
	struct client clients[CLIENTS];
	int started = 0, right = 0;

	for (; started < CLIENTS; started++) {
		clients[started] = (struct client){.pool = pool};
		if (pthread_create(&clients[started].thread, NULL, ask_many, &clients[started]) != 0)
			break;
	}
	for (int i = 0; i < started; i++) {
		pthread_join(clients[i].thread, NULL);
		right += clients[i].right;
	}
	printf("load: %d of %d answers right\n", right, CLIENTS * REQUESTS_EACH);
	return right == CLIENTS * REQUESTS_EACH;
}

/* Fills the devices and then their queues with jobs that wait at the gate. Returns how many were taken. */
static int fill(struct pool *pool, struct gate *gate, struct job **jobs)
{
	int taken = 0;

	/* Each job that reached its device makes the other devices less loaded: one lands on each. */
	for (; taken < pool->count; taken++) {
		if (pool_submit(pool, (struct request){.gate = gate, .n = taken}, &jobs[taken]) != 0)
			return taken;
		gate_wait(gate, taken + 1);
	}
	while (pool_submit(pool, (struct request){.gate = gate, .n = taken}, &jobs[taken]) == 0)
		taken++;
	return taken;
}

/* Every queue full: the next request is refused at once; one in a queue runs out of time and never runs. */
static bool when_all_are_busy(struct pool *pool)
{
	struct job *jobs[DEVICES_MAX * (QUEUE_LENGTH + 1) + 1], *extra;
	struct timespec soon = in_ms(20);
	struct gate gate;
	long result;
	int taken, refused, late, right = 0;

	gate_init(&gate);
	taken = fill(pool, &gate, jobs);
	if (!taken) {
		fprintf(stderr, "no job was taken\n");
		return false;
	}
	refused = pool_submit(pool, (struct request){.n = 1}, &extra);
	printf("busy: %d jobs taken for %d places, then: %s\n", taken, pool->count * (QUEUE_LENGTH + 1),
	       strerror(refused));
	late = pool_wait(pool, jobs[taken - 1], &soon, &result);
	printf("late: the last one's deadline passed in the queue: %s\n", strerror(late));
	gate_open(&gate);
	for (int i = 0; i < taken - 1; i++)
		right += pool_wait(pool, jobs[i], NULL, &result) == 0 && result == (long)i * i;
	printf("open: %d of the others answered, %d passed the gate\n", right, gate.waiting);
	gate_done(&gate);
	return refused == EBUSY && late == ETIMEDOUT && right == taken - 1 && gate.waiting == taken - 1;
}

/* Every device has its worker or is out of service. With the lock held. */
static bool is_settled(const struct pool *pool)
{
	int in_service = 0;

	for (int i = 0; i < pool->count; i++)
		in_service += !pool->workers[i].out;
	for (int i = 0; i < pool->count; i++)
		if (pool->workers[i].failed)
			return false;
	return pool->ready == in_service;
}

/* A device breaks under a job: that job fails, what is queued behind it is done by the replacement. */
static bool when_a_device_breaks(struct pool *pool)
{
	struct job *jobs[DEVICES_MAX * (QUEUE_LENGTH + 1) + 1];
	struct gate gate;
	int taken, failed = 0, right = 0;

	gate_init(&gate);
	if (pool_submit(pool, (struct request){.kind = REQUEST_BREAK, .gate = &gate}, &jobs[0]) != 0)
		return false;
	gate_wait(&gate, 1);
	taken = 1;
	while (taken <= QUEUE_LENGTH * pool->count &&
	       pool_submit(pool, (struct request){.n = taken}, &jobs[taken]) == 0)
		taken++;
	gate_open(&gate);
	for (int i = 0; i < taken; i++) {
		long result = 0;
		int error = pool_wait(pool, jobs[i], NULL, &result);

		failed += error == EIO;
		right += !error && result == (long)i * i;
	}
	/* Nothing may have been queued behind the broken device: its replacement is waited for. */
	pthread_mutex_lock(&pool->lock);
	while (!is_settled(pool))
		pthread_cond_wait(&pool->changed, &pool->lock);
	printf("break: %d job failed, %s, workers replaced: %d\n", failed,
	       right == taken - 1 ? "all others answered" : "others unanswered", pool->replaced);
	pthread_mutex_unlock(&pool->lock);
	gate_done(&gate);
	return failed == 1 && right == taken - 1;
}

int main(int argc, char **argv)
{
	int cpus = cpus_allowed(), devices = argc > 1 ? atoi(argv[1]) : DEVICES_MAX;
	struct pool pool;
	bool good;
	int error;

	cpus_need(2);
	if (devices < 1 || devices > DEVICES_MAX) {
		fprintf(stderr, "usage: dispatcher [1..%d devices]\n", DEVICES_MAX);
		return 2;
	}
	if (devices > cpus) /* two pinned workers on one CPU would be double_booking.c */
		devices = cpus;
	error = pool_start(&pool, devices);
	if (error) {
		fprintf(stderr, "the pool did not start: %s\n", strerror(error));
		return 1;
	}
	printf("%d pinned workers\n", devices);
	good = under_load(&pool);
	good &= when_all_are_busy(&pool);
	good &= when_a_device_breaks(&pool);
	pool_shutdown(&pool);
	puts("shut down");
	return !good;
}
