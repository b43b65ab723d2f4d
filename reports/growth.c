/* SPDX-License-Identifier: MIT
 *
 * Growth: live threads rise steadily over the run.
 *
 * The run is cut into ten windows of equal length. The first two are the warm-up and
 * not looked at. In each of the other eight the least number of threads alive at any
 * of 64 evenly spaced instants is taken. There is growth when each of the eight is
 * above the one before and the last is at least PINW_GROWTH_LEAST above the first.
 *
 * So a burst at the start, a pool that fills once, and a load that comes and goes are
 * no growth: somewhere two windows have the same floor, or the floor falls. A run
 * shorter than PINW_GROWTH_RUN_NS is all start-up and is not judged, nor is one whose
 * events are not all there.
 */
#include "reports/growth.h"

#include "reports/model_private.h"

#define PINW_GROWTH_RUN_NS 2000000000ull
#define WINDOWS PINW_GROWTH_WINDOWS
#define WARM_UP PINW_GROWTH_WARM_UP
#define INSTANTS 64u /* in each window */

/* Number of the first instant at or after `time_ns`; instants are at odd multiples of half a step. */
static size_t first_instant(const struct pinw_process *p, uint64_t time_ns)
{
	const size_t instants = (size_t)WINDOWS * INSTANTS;

	if (time_ns >= p->duration_ns)
		return instants;
	double at = (double)time_ns / (double)p->duration_ns * (double)instants + 0.5;
	return at < (double)instants ? (size_t)at : instants;
}

static void count_threads(const struct pinw_process *p, int64_t *change)
{
	for (size_t i = 0; i < p->threads.count; i++) {
		const struct pinw_thread *t = pinw_table_at(&p->threads, i);
		uint64_t begin = t->created_ns != PINW_TIME_UNKNOWN ? t->created_ns : t->started_ns;
		size_t from = begin == PINW_TIME_UNKNOWN ? 0 : first_instant(p, begin);
		size_t to = t->exited ? first_instant(p, t->ended_ns) : (size_t)WINDOWS * INSTANTS;
		if (to <= from)
			continue;
		change[from]++;
		change[to]--;
	}
}

bool pinw_growth_is_steady(const int64_t floor[PINW_GROWTH_WINDOWS])
{
	for (size_t w = WARM_UP + 1; w < WINDOWS; w++)
		if (floor[w] <= floor[w - 1])
			return false;
	return floor[WINDOWS - 1] - floor[WARM_UP] >= PINW_GROWTH_LEAST;
}

void pinw_growth_judge(struct pinw_process *p)
{
	int64_t change[WINDOWS * INSTANTS + 1] = {0};
	int64_t floor[WINDOWS] = {0};
	const struct pinw_counters *n = &p->live.counters;

	if (p->duration_ns < PINW_GROWTH_RUN_NS || n->events_dropped || n->slots_unfiled || p->problem_count)
		return;
	count_threads(p, change);
	int64_t alive = 0;
	for (size_t i = 0; i < (size_t)WINDOWS * INSTANTS; i++) {
		alive += change[i];
		if (i % INSTANTS == 0 || alive < floor[i / INSTANTS])
			floor[i / INSTANTS] = alive;
	}
	p->growth.judged = true;
	p->growth.found = pinw_growth_is_steady(floor);
	p->growth.first = (uint64_t)floor[WARM_UP];
	p->growth.last = (uint64_t)floor[WINDOWS - 1];
	p->growth.since_ns = p->duration_ns / WINDOWS * WARM_UP;
}
