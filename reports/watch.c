/* SPDX-License-Identifier: MIT */
#include "reports/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "reports/procfs.h"
#include "reports/watch_private.h"
#include "reports/watch_proc.h"

#define SETTLE_NS 2000000000 /* a file system may keep times no finer than this */

/* A file of the directory that was looked at. */
struct known_file {
	bool settled; /* watched, or never to be */
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* ---- making ---------------------------------------------------------------------------------- */

static bool is_watched(const struct pinw_rule *rule)
{
	return rule->section == PINW_SECTION_REQUIRE && rule->within_ns && rule->action != PINW_ACTION_NONE;
}

static bool asks_for_names(const struct pinw_rule *rule)
{
	return (is_watched(rule) || rule->section == PINW_SECTION_SUPPRESS) &&
	       (rule->functions.count || rule->modules.count || rule->created_by.count);
}

static void take_rules(struct pinw_watch *w)
{
	const struct pinw_policy *policy = w->opt.policy;
	unsigned nth = 0;

	for (uint32_t i = 0; i < policy->rule_count; i++) {
		const struct pinw_rule *rule = &policy->rules[i];
		const struct pinw_watch_require row = {.rule = rule, .nth = nth};

		w->needs_stacks |= asks_for_names(rule);
		nth += rule->section == PINW_SECTION_REQUIRE;
		if (is_watched(rule))
		w->requires[w->require_count++] = row;
	}
	w->needs_slots =
	    w->require_count || policy->leaks[PINW_PLEAK_PINNED_IDLE] || policy->leaks[PINW_PLEAK_UNJOINED];
}

int pinw_watch_new(const struct pinw_watch_options *options, struct pinw_watch **ret_watch)
{
	struct pinw_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->requires = calloc(options->policy->rule_count + 1u, sizeof(*w->requires));
	if (!w->requires) {
		free(w);
		return -ENOMEM;
	}
	w->opt = *options;
	w->directory_ns = -1;
	pinw_table_init(&w->files, sizeof(struct known_file));
	take_rules(w);
	*ret_watch = w;
	return 0;
}

static void free_watched(struct pinw_watched *p)
{
	pinw_live_done(&p->trace);
	if (p->pidfd >= 0)
		close(p->pidfd);
	if (p->task >= 0)
		close(p->task);
	pinw_watch_names_done(&p->names);
	pinw_table_done(&p->shown);
	free(p->threads);
	free(p->state_memory);
	free(p);
}

void pinw_watch_free(struct pinw_watch *w)
{
	if (!w)
		return;
	while (w->processes) {
		struct pinw_watched *next = w->processes->next;
		free_watched(w->processes);
		w->processes = next;
	}
	pinw_stacks_free(w->stacks);
	pinw_table_done(&w->files);
	free(w->requires);
	free(w);
}

/* ---- processes ----------------------------------------------------------------------------------- */

/* The pid is asked for again once there is a descriptor: then this is it, whatever happens to the number. */
static int find_process(struct pinw_watched *p)
{
	const struct pinw_identity *self = &p->trace.header.self;
	pid_t again;
	int r = pinw_procfs_find(self, &p->pid);

	if (r < 0)
		return r;
	p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
	p->task = pinw_task_open(p->pid);
	if (pinw_procfs_find(self, &again) < 0 || again != p->pid)
		return -ESRCH;
	p->other_tids = (uint32_t)p->pid != self->pid;
	return 0;
}

/* Takes `fd` over. Returns 0, -EAGAIN when this may become a trace yet, or another -errno when it is nothing to watch. */
static int add_process(struct pinw_watch *w, int fd)
{
	struct pinw_watched *p = calloc(1, sizeof(*p));
	int r = p ? pinw_live_trace_open(fd, w->opt.session->id, &p->trace) : -ENOMEM;

	if (r < 0) {
		close(fd);
		free(p);
		return r;
	}
	p->pidfd = p->task = -1;
	pinw_table_init(&p->shown, sizeof(uint64_t));
	r = find_process(p);
	if (r == 0) {
		p->state_memory = calloc(1, pinw_policy_state_bytes(w->opt.policy) + 1);
		r = p->state_memory ? 0 : -ENOMEM;
	}
	if (r < 0) {
		free_watched(p);
		return r;
	}
	pinw_policy_state_init(&p->state, w->opt.policy, p->state_memory);
	p->next = w->processes;
	w->processes = p;
	return 0;
}

static bool has_ended(const struct pinw_watched *p)
{
	struct pollfd poll_fd = {.fd = p->pidfd, .events = POLLIN};
	pid_t pid;

	if (p->pidfd >= 0)
		return poll(&poll_fd, 1, 0) > 0;
	return pinw_procfs_find(&p->trace.header.self, &pid) < 0;
}

/* ---- the directory --------------------------------------------------------------------------------- */

static uint64_t file_key(const struct dirent *e)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)e->d_ino;

	for (const unsigned char *p = (const unsigned char *)e->d_name; *p; p++)
		h = (h ^ *p) * UINT64_C(0x100000001b3);
	return h;
}

static void look_at_file(struct pinw_watch *w, int dir, const struct dirent *e)
{
	struct known_file *known;

	if (e->d_type != DT_REG && e->d_type != DT_UNKNOWN)
		return;
	known = pinw_table_get(&w->files, file_key(e), NULL);
	if (!known || known->settled)
		return;
	int fd = openat(dir, e->d_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	int r = fd < 0 ? -errno : add_process(w, fd);
	if (r == -EAGAIN || r == -EMFILE || r == -ENFILE || r == -ENOMEM)
		w->unsettled = true;
	else
		known->settled = true;
}

/* Nothing is read while the directory does not change. */
static bool is_unchanged(struct pinw_watch *w, int dir)
{
	struct stat st;

	if (fstat(dir, &st) < 0)
		return false;
	int64_t changed = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	bool same = changed == w->directory_ns && !w->unsettled;
	/* A change right after a look may carry the same time. */
	w->directory_ns = (int64_t)now_ns(CLOCK_REALTIME) - changed > SETTLE_NS ? changed : -1;
	return same;
}

static void find_traces(struct pinw_watch *w)
{
	int fd = open(w->opt.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir;
	struct dirent *e;

	if (fd < 0)
		return;
	if (is_unchanged(w, fd) || !(dir = fdopendir(fd))) {
		close(fd);
		return;
	}
	w->unsettled = false;
	while ((e = readdir(dir)) != NULL)
		look_at_file(w, fd, e);
	closedir(dir);
}

/* ---- the tick ----------------------------------------------------------------------------------------- */

/* An image that ended by exec lives on in the next one's trace, unless the exec failed: it is kept, and asked again. */
static void look_at_process(struct pinw_watch *w, struct pinw_watched *p)
{
	uint64_t now = now_ns(CLOCK_MONOTONIC);

	if (p->crashed) {
		pinw_watch_see_crash_through(w, p, now);
		return;
	}
	if (pinw_live_page(&p->trace, &p->live) < 0 || p->live.end_how != PINW_END_NONE)
		return;
	p->now_ns = pinw_since(now, p->trace.header.start_mono_ns);
	pinw_watch_judge(w, p);
}

void pinw_watch_tick(void *watch)
{
	struct pinw_watch *w = watch;

	w->tick++;
	find_traces(w);
	for (struct pinw_watched **at = &w->processes; *at;) {
		struct pinw_watched *p = *at;

		if (has_ended(p)) {
			*at = p->next;
			free_watched(p);
			continue;
		}
		look_at_process(w, p);
		at = &p->next;
	}
}
