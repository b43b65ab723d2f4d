/* SPDX-License-Identifier: MIT */
#include "reports/watch_state.h"

#include "reports/growth.h"

#define LOOKS_WHILE_RUNNING 8u /* within idle_after, at most one with every tick */
#define LOOKS_WHILE_IDLE 2u
#define FIRST_WIDTH_NS UINT64_C(500000000)
#define SHOWN_FIRST 3u

bool pinw_idle_is_due(const struct pinw_idle_state *s, uint64_t pin_ns, uint64_t now_ns)
{
	return !s->known || s->pin_ns != pin_ns || now_ns >= s->due_ns;
}

/* A thread that sleeps is asked seldom: a thousand of them must cost next to nothing. It is never asked later than the
 * moment that decides. */
static uint64_t next_look(const struct pinw_idle_state *s, bool ran, uint64_t now_ns, uint64_t idle_after_ns)
{
	uint64_t due = now_ns + idle_after_ns / (ran ? LOOKS_WHILE_RUNNING : LOOKS_WHILE_IDLE);
	uint64_t decides = s->since_ns + idle_after_ns;

	return decides > now_ns && decides < due ? decides : due;
}

/* A thread that stirs a little in every idle_after never sums up to one that works. */
static bool works_again(struct pinw_idle_state *s, uint64_t used_ns, uint64_t now_ns, uint64_t idle_after_ns)
{
	double forgotten = (double)PINW_STIR_NS * (double)(now_ns - s->looked_ns) /
	                   (double)(idle_after_ns ? idle_after_ns : 1);

	s->stirred_ns -= forgotten < (double)s->stirred_ns ? (uint64_t)forgotten : s->stirred_ns;
	s->stirred_ns += used_ns;
	return s->stirred_ns > PINW_STIR_NS;
}

bool pinw_idle_look(struct pinw_idle_state *s, uint64_t pin_ns, uint64_t cpu_ns, uint64_t now_ns,
                    uint64_t idle_after_ns)
{
	bool fresh = !s->known || s->pin_ns != pin_ns || cpu_ns < s->cpu_ns;
	uint64_t used_ns = fresh ? 0 : cpu_ns - s->cpu_ns;
	bool ran = fresh || (s->told ? works_again(s, used_ns, now_ns, idle_after_ns) : used_ns > 0);

	if (ran)
		*s = (struct pinw_idle_state){.pin_ns = pin_ns, .since_ns = now_ns, .known = true};
	s->cpu_ns = cpu_ns;
	s->looked_ns = now_ns;
	s->due_ns = next_look(s, ran, now_ns, idle_after_ns);
	if (s->told || now_ns - s->since_ns < idle_after_ns)
		return false;
	s->told = true;
	return true;
}

/* ---- growth ------------------------------------------------------------------------------------ */

static int64_t lesser(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void join_stretches(struct pinw_rise_state *s)
{
	for (unsigned i = 0; i < PINW_RISE_BUCKETS / 2; i++)
		s->least[i] = lesser(s->least[2 * i], s->least[2 * i + 1]);
	s->count = PINW_RISE_BUCKETS / 2;
	s->width_ns *= 2;
}

/* Ends the stretches that are over. Returns whether there was one. */
static bool close_stretches(struct pinw_rise_state *s, uint64_t now_ns)
{
	bool closed = false;

	while ((now_ns - s->start_ns) / s->width_ns > s->count) {
		s->least[s->count++] = s->current;
		s->current = INT64_MAX;
		if (s->count == PINW_RISE_BUCKETS)
			join_stretches(s);
		closed = true;
	}
	return closed;
}

static bool is_rise(const struct pinw_rise_state *s, uint64_t *ret_first, uint64_t *ret_last)
{
	int64_t floor[PINW_GROWTH_WINDOWS];
	unsigned each = s->count / PINW_GROWTH_WINDOWS;

	if (!each || s->count % PINW_GROWTH_WINDOWS || s->count * s->width_ns < PINW_RISE_RUN_NS)
		return false;
	for (unsigned w = 0; w < PINW_GROWTH_WINDOWS; w++) {
		floor[w] = INT64_MAX;
		for (unsigned i = 0; i < each; i++)
			floor[w] = lesser(floor[w], s->least[w * each + i]);
		if (floor[w] == INT64_MAX)
			return false;
	}
	*ret_first = (uint64_t)floor[PINW_GROWTH_WARM_UP];
	*ret_last = (uint64_t)floor[PINW_GROWTH_WINDOWS - 1];
	return pinw_growth_is_steady(floor);
}

bool pinw_rise_look(struct pinw_rise_state *s, uint64_t now_ns, uint64_t alive, uint64_t *ret_first,
                    uint64_t *ret_last)
{
	if (!s->width_ns) {
		s->start_ns = now_ns;
		s->width_ns = FIRST_WIDTH_NS;
		s->current = INT64_MAX;
	}
	bool closed = close_stretches(s, now_ns);
	s->current = lesser(s->current, alive < INT64_MAX ? (int64_t)alive : INT64_MAX - 1);
	if (!closed || s->told || !is_rise(s, ret_first, ret_last))
		return false;
	s->told = true;
	return true;
}

/* ---- how often ---------------------------------------------------------------------------------- */

bool pinw_watch_is_shown(uint64_t count)
{
	return count <= SHOWN_FIRST || (count & (count - 1)) == 0;
}

uint64_t pinw_watch_hidden(uint64_t count)
{
	uint64_t shown = count < SHOWN_FIRST ? count : SHOWN_FIRST;

	for (uint64_t p = 4; p && p <= count; p *= 2)
		shown++;
	return count - shown;
}
