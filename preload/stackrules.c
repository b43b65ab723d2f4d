/* SPDX-License-Identifier: MIT */
#include "preload/stackrules.h"

#include <errno.h>
#include <string.h>

#include "policy/spell.h"
#include "preload/arch.h"
#include "preload/arena.h"
#include "preload/elfsym.h"
#include "preload/enforce.h"
#include "preload/lock.h"
#include "preload/module.h"
#include "preload/proc.h"
#include "preload/shim.h"
#include "preload/site.h"
#include "preload/unwind.h"

#define FRAME_BUCKETS 4096u
#define FUNCTION_BUCKETS 256u
#define NAME_BYTES (32u << 10) /* a longer name matches nothing */
#define SPELLING_BYTES (96u << 10)
#define NAMES_MAX 256u /* of one function: linkers that fold equal functions give one thousands of names */
#define NAMES_REMEMBERED 8u
#define WORDS (PINW_POLICY_RULES_MAX / 64)

/* Rule ids as bits: id - 1. */
struct ids {
	uint64_t bits[WORDS];
};

/* What a frame satisfies: known for good. */
struct frame {
	struct frame *next; /* of the same bucket */
	uint64_t offset; /* of the return address, in its module */
	uint32_t module;
	uint16_t rule_count, creator_count;
	bool unknown; /* its object could not be read: judged by its module alone */
	uint16_t ids[]; /* rules, then creators */
};

/* A start routine's match. */
struct function {
	struct function *next; /* of the same bucket, atomic */
	uintptr_t address;
	const struct pinw_stack_match *match; /* atomic */
	uint32_t module_gen; /* atomic: when it was last true; 0: never */
};

/* A match that has windows. */
struct windowed {
	struct windowed *next;
	struct pinw_stack_match *match;
};

/* A frame met for the first time, while its names are read. */
struct fresh {
	uint64_t offset;
	struct ids rules, creators;
	unsigned names;
	uint64_t hashes[NAMES_REMEMBERED]; /* of the names met last: both symbol tables hold most of them */
};

static const struct pinw_stack_match nothing;

static struct known {
	const struct pinw_policy *policy; /* what the two below were found for */
	bool wants_names, wants_modules;
	struct frame *frames[FRAME_BUCKETS];
	struct function *functions[FUNCTION_BUCKETS]; /* atomic */
	struct windowed *windowed;
	/* Working memory, off the stack and under the lock. */
	struct ids rules, creators; /* of the whole stack */
	struct fresh fresh[PINW_FRAMES_MAX]; /* of one module */
	unsigned fresh_count;
	const char *fresh_module; /* path */
	uint16_t list[PINW_POLICY_RULES_MAX], more[PINW_POLICY_RULES_MAX];
	char name[NAME_BYTES], spellings[SPELLING_BYTES];
} * known; /* mapped with the first stack that a policy asks about: most processes have no policy */

/* ---- ids ---------------------------------------------------------------------------- */

static void clear(struct ids *ids)
{
	pinw_zero_raw(ids->bits, (known->policy->rule_count + 63) / 64 * sizeof(ids->bits[0]));
}

static void include(struct ids *ids, const uint16_t *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		ids->bits[(list[i] - 1) / 64] |= UINT64_C(1) << (list[i] - 1) % 64;
}

static void unite(struct ids *ids, const struct ids *more)
{
	for (unsigned w = 0; w < (known->policy->rule_count + 63) / 64; w++)
		ids->bits[w] |= more->bits[w];
}

/* Writes them out ascending; returns how many. */
static unsigned list_ids(const struct ids *ids, uint16_t *list)
{
	unsigned count = 0;

	for (unsigned w = 0; w < (known->policy->rule_count + 63) / 64; w++)
		for (uint64_t bits = ids->bits[w]; bits; bits &= bits - 1)
			list[count++] = (uint16_t)(w * 64 + (unsigned)__builtin_ctzll(bits) + 1);
	return count;
}

/* ---- frames met before ---------------------------------------------------------------- */

static struct frame **frame_bucket(uint32_t module, uint64_t offset)
{
	return &known->frames[((offset ^ (uint64_t)module << 40) * UINT64_C(0x9e3779b97f4a7c15)) >> 52];
}

_Static_assert(FRAME_BUCKETS == 1u << (64 - 52), "the bucket is the hash's top bits");

static const struct frame *find_frame(uint32_t module, uint64_t offset)
{
	const struct frame *frame = *frame_bucket(module, offset);

	while (frame && (frame->offset != offset || frame->module != module))
		frame = frame->next;
	return frame;
}

static void add_frame(uint32_t module, const struct fresh *fresh, bool unknown)
{
	unsigned rules = list_ids(&fresh->rules, known->list),
	         creators = list_ids(&fresh->creators, known->more);
	struct frame *frame =
	    pinw_arena_take(sizeof(*frame) + (rules + (size_t)creators) * sizeof(frame->ids[0]));
	struct frame **bucket = frame_bucket(module, fresh->offset);

	if (!frame)
		return;
	*frame = (struct frame){
	    .next = *bucket,
	    .offset = fresh->offset,
	    .module = module,
	    .rule_count = (uint16_t)rules,
	    .creator_count = (uint16_t)creators,
	    .unknown = unknown,
	};
	pinw_copy_raw(frame->ids, known->list, rules * sizeof(frame->ids[0]));
	pinw_copy_raw(frame->ids + rules, known->more, creators * sizeof(frame->ids[0]));
	__atomic_store_n(bucket, frame, __ATOMIC_RELEASE);
}

/* ---- frames met for the first time ------------------------------------------------------ */

/* Asks the policy about a frame under some of its names. */
static void judge(struct fresh *fresh, const char *const *names, unsigned count)
{
	unsigned rules, creators;

	pinw_policy_frame(known->policy, known->fresh_module, names, count, known->list, &rules, known->more,
	                  &creators);
	include(&fresh->rules, known->list, rules);
	include(&fresh->creators, known->more, creators);
}

/* Was this name met a moment ago? Remembers it. */
static bool is_repeated(struct fresh *fresh, const char *name, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)name[i]) * UINT64_C(0x100000001b3);
	for (unsigned i = 0; i < NAMES_REMEMBERED && i < fresh->names; i++)
		if (fresh->hashes[i] == hash)
			return true;
	fresh->hashes[fresh->names++ % NAMES_REMEMBERED] = hash;
	return false;
}

static void take_name(void *arg, const struct pinw_elfsym_ask *ask, const char *name, size_t len,
                      bool is_global)
{
	struct fresh *fresh = &known->fresh[ask->key];
	const char *spellings[PINW_SPELLINGS_MAX];

	(void)arg, (void)is_global;
	if (len >= sizeof(known->name) || fresh->names == NAMES_MAX || is_repeated(fresh, name, len))
		return;
	pinw_copy_raw(known->name, name, len);
	known->name[len] = '\0';
	judge(fresh, spellings,
	      pinw_spell(known->name, known->spellings, sizeof(known->spellings), spellings));
}

/* Reads the names of all fresh frames of one object. Returns 0 or -errno: then there are none. */
static int read_names(uint32_t module)
{
	struct pinw_elfsym_ask asks[PINW_FRAMES_MAX];
	struct pinw_elfsym_object object = {.path = known->fresh_module};

	if (!known->wants_names || !object.path || object.path[0] != '/') /* "[vdso]" */
		return 0;
	if (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED))
		return -EPERM;
	object.build_id = pinw_module_build_id(module, &object.build_id_len);
	for (unsigned i = 0; i < known->fresh_count; i++)
		asks[i] = (struct pinw_elfsym_ask){.address = known->fresh[i].offset - 1, .key = i};
	return pinw_elfsym_each(&object, asks, known->fresh_count, take_name, NULL);
}

/* May it go better another time? */
static bool is_passing(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOMEM || error == -EINTR ||
	       error == -EAGAIN;
}

/* Work for the private stack. */
struct job {
	const struct pinw_rec_frame *frames;
	unsigned count;
	uint64_t done; /* bits of the frames looked at */
	bool no_names; /* the private stack is not there: names are for later */
	bool unknown, passing; /* out: some frame's names could not be read; it may go better later */
};

_Static_assert(PINW_FRAMES_MAX <= 64, "a frame is a bit of `done`");

/* Takes in a frame unless recursion has brought it already. */
static void add_fresh(uint64_t offset)
{
	for (unsigned i = 0; i < known->fresh_count; i++)
		if (known->fresh[i].offset == offset)
			return;
	struct fresh *fresh = &known->fresh[known->fresh_count++];
	fresh->offset = offset;
	fresh->names = 0;
	clear(&fresh->rules);
	clear(&fresh->creators);
}

/* Gathers the frames from `first` on that are of its module and not met before. */
static void gather(struct job *job, unsigned first)
{
	const struct pinw_rec_frame *frames = job->frames;

	known->fresh_count = 0;
	for (unsigned i = first; i < job->count; i++) {
		if (frames[i].module != frames[first].module ||
		    find_frame(frames[i].module, pinw_frame_offset(&frames[i])))
			continue;
		job->done |= UINT64_C(1) << i;
		add_fresh(pinw_frame_offset(&frames[i]));
	}
}

/* ---- a stack ---------------------------------------------------------------------------- */

/* Learns the frames from `first` on that are in its module, and adds what they satisfy to the stack's. */
static void learn(struct job *job, unsigned first)
{
	uint32_t module = job->frames[first].module;

	gather(job, first);
	known->fresh_module = pinw_module_path(module);
	int r = job->no_names ? -EAGAIN : read_names(module);
	job->unknown |= r < 0;
	job->passing |= r < 0 && is_passing(r);
	for (unsigned i = 0; i < known->fresh_count; i++) {
		struct fresh *fresh = &known->fresh[i];

		if (!fresh->names)
			judge(fresh, NULL, 0);
		unite(&known->rules, &fresh->rules);
		unite(&known->creators, &fresh->creators);
		if (r == 0 || !is_passing(r))
			add_frame(module, fresh, r < 0);
	}
}

static void use(struct job *job, const struct frame *frame)
{
	include(&known->rules, frame->ids, frame->rule_count);
	include(&known->creators, frame->ids + frame->rule_count, frame->creator_count);
	job->unknown |= frame->unknown;
}

static void run(void *arg)
{
	struct job *job = arg;

	for (unsigned i = 0; i < job->count; i++) {
		const struct pinw_rec_frame *frame = &job->frames[i];
		const struct frame *met;

		if (!frame->module || job->done & UINT64_C(1) << i)
			continue; /* of generated code nothing is known */
		met = find_frame(frame->module, pinw_frame_offset(frame));
		if (met)
			use(job, met);
		else
			learn(job, i);
	}
}

/* Finds what the frames satisfy: in known->rules and known->creators. */
static void resolve(struct job *job)
{
	clear(&known->rules);
	clear(&known->creators);
	if (!known->wants_names && !known->wants_modules)
		return;
	if (!pinw_on_private_stack(run, job)) {
		job->no_names = known->wants_names;
		run(job);
	}
}

static bool map_known(void)
{
	__atomic_store_n(&known, pinw_proc_map(sizeof(*known)), __ATOMIC_RELEASE);
	return known;
}

/* False: there is no memory for it. */
static bool know_policy(void)
{
	const struct pinw_policy *policy = pinw_enforce.policy;

	if (!known && (__atomic_load_n(&pinw_shim.sealed, __ATOMIC_RELAXED) || !map_known()))
		return false;
	if (known->policy == policy)
		return true;
	known->policy = policy;
	known->wants_names = known->wants_modules = false;
	for (uint32_t i = 0; i < policy->rule_count; i++) {
		known->wants_names |= policy->rules[i].functions.count || policy->rules[i].created_by.count;
		known->wants_modules |= policy->rules[i].modules.count != 0;
	}
	return true;
}

/* ---- matches ------------------------------------------------------------------------------ */

static bool is_same(const struct pinw_stack_match *match, unsigned rules, unsigned creators)
{
	return match && match->rule_count == rules && match->creator_count == creators &&
	       memcmp(match->rules, known->list, rules * sizeof(*known->list)) == 0 &&
	       memcmp(match->creators, known->more, creators * sizeof(*known->more)) == 0;
}

/* The lists in known->list and known->more, for ever. */
static const struct pinw_stack_match *keep(unsigned rules, unsigned creators)
{
	struct entry {
		struct pinw_stack_match match;
		struct windowed windowed;
		uint64_t words[]; /* windows, then ids */
	} * entry;
	unsigned windows = pinw_policy_keeps_windows(known->policy, known->list, rules) ? rules : 0;

	if (!rules && !creators)
		return &nothing;
	entry = pinw_arena_take(sizeof(*entry) + windows * sizeof(uint64_t) +
	                        (rules + (size_t)creators) * sizeof(uint16_t));
	if (!entry)
		return NULL;
	uint16_t *ids = (uint16_t *)(entry->words + windows);
	pinw_copy_raw(ids, known->list, rules * sizeof(*ids));
	pinw_copy_raw(ids + rules, known->more, creators * sizeof(*ids));
	entry->match = (struct pinw_stack_match){
	    .rules = ids,
	    .creators = ids + rules,
	    .windows = windows ? entry->words : NULL,
	    .rule_count = (uint16_t)rules,
	    .creator_count = (uint16_t)creators,
	};
	if (windows) {
		entry->windowed = (struct windowed){.next = known->windowed, .match = &entry->match};
		__atomic_store_n(&known->windowed, &entry->windowed, __ATOMIC_RELEASE);
	}
	return &entry->match;
}

static const struct pinw_stack_match *match_of(struct job *job, bool is_stack,
                                               const struct pinw_stack_match *earlier, bool *ret_final)
{
	resolve(job);
	unsigned rules = list_ids(&known->rules, known->list),
	         creators = list_ids(&known->creators, known->more);
	if (is_stack)
		rules = pinw_policy_stack_always(known->policy, known->list, rules);
	if (job->unknown && !earlier)
		pinw_count(stack_rules_unknown, 1);
	*ret_final = !job->passing;
	return is_same(earlier, rules, creators) ? earlier : keep(rules, creators);
}

const struct pinw_stack_match *pinw_stackrules_of(const struct pinw_rec_frame *frames, unsigned count,
                                                  const struct pinw_stack_match *earlier, bool *ret_final)
{
	struct job job = {.frames = frames, .count = count};

	*ret_final = false;
	if (!know_policy()) {
		pinw_count(stack_rules_unknown, 1);
		return earlier;
	}
	return match_of(&job, true, earlier, ret_final);
}

/* ---- single functions ------------------------------------------------------------------------ */

static struct function **function_bucket(uintptr_t address)
{
	return &known->functions[address * UINT64_C(0x9e3779b97f4a7c15) >> 56];
}

_Static_assert(FUNCTION_BUCKETS == 1u << (64 - 56), "the bucket is the hash's top bits");

static struct function *find_function(uintptr_t address)
{
	if (!__atomic_load_n(&known, __ATOMIC_ACQUIRE))
		return NULL;
	struct function *function = __atomic_load_n(function_bucket(address), __ATOMIC_ACQUIRE);

	while (function && function->address != address)
		function = __atomic_load_n(&function->next, __ATOMIC_ACQUIRE);
	return function;
}

static struct function *add_function(uintptr_t address)
{
	struct function **bucket = function_bucket(address), *function = pinw_arena_take(sizeof(*function));

	if (!function)
		return NULL;
	*function = (struct function){.next = *bucket, .address = address};
	__atomic_store_n(bucket, function, __ATOMIC_RELEASE);
	return function;
}

/* A function stands for the frame of a call that its first byte makes: a return address lies one further. */
static const struct pinw_stack_match *function_locked(uintptr_t address)
{
	uint32_t gen = __atomic_load_n(&pinw_module_gen, __ATOMIC_ACQUIRE);
	struct pinw_rec_frame frame = {.module = 0};
	struct job job = {.frames = &frame, .count = 1};
	uint64_t offset;
	bool final;

	if (!know_policy()) {
		pinw_count(stack_rules_unknown, 1);
		return NULL;
	}
	struct function *function = find_function(address);
	frame.module = pinw_module_of(address + 1, &offset);
	frame.offset_low = (uint32_t)offset;
	frame.offset_high = (uint32_t)(offset >> 32);
	const struct pinw_stack_match *match =
	    match_of(&job, false, function ? function->match : NULL, &final);
	if (!function)
		function = add_function(address);
	if (function && match) {
		__atomic_store_n(&function->match, match, __ATOMIC_RELEASE);
		__atomic_store_n(&function->module_gen, final ? gen : 0, __ATOMIC_RELEASE);
	}
	return match;
}

const struct pinw_stack_match *pinw_stackrules_function(uintptr_t address)
{
	const struct function *function = find_function(address);
	const struct pinw_stack_match *match = NULL;
	struct pinw_lock_state state;

	if (function && __atomic_load_n(&function->module_gen, __ATOMIC_ACQUIRE) ==
	                    __atomic_load_n(&pinw_module_gen, __ATOMIC_RELAXED))
		return __atomic_load_n(&function->match, __ATOMIC_ACQUIRE);
	if (pinw_site_lock(&state) < 0) {
		pinw_count(stack_rules_unknown, 1);
		return NULL;
	}
	match = function_locked(address);
	pinw_site_unlock(&state);
	return match;
}

/* ---- fork -------------------------------------------------------------------------------------- */

void pinw_stackrules_child(void)
{
	for (struct windowed *w = known ? known->windowed : NULL; w; w = w->next)
		pinw_zero_raw(w->match->windows, w->match->rule_count * sizeof(*w->match->windows));
}
