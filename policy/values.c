/* SPDX-License-Identifier: MIT */
#include "policy/values.h"

#include <errno.h>
#include <string.h>

#include "policy/keys.h"
#include "policy/mask.h"

/* ---- words ---------------------------------------------------------------------------------- */

struct word {
	const char *name;
	uint32_t value;
};

static const struct word mode_words[] = {{"audit", PINW_MODE_AUDIT}, {"enforce", PINW_MODE_ENFORCE}};
static const struct word stop_words[] = {{"stop", true}, {"continue", false}};
static const struct word yes_no_words[] = {{"yes", true}, {"no", false}};
static const struct word kind_words[] = {{"cpu", PINW_KINDS_CPU}, {"go", PINW_KINDS_GO}};
static const struct word action_words[] = {
    {"off", PINW_ACTION_NONE},    {"log", PINW_ACTION_LOG},     {"deny", PINW_ACTION_DENY},
    {"reset", PINW_ACTION_RESET}, {"crash", PINW_ACTION_CRASH},
};
static const struct word call_words[] = {
    {"setaffinity", PINW_CALLS_SETAFFINITY},
    {"pthread_setaffinity", PINW_CALLS_PTHREAD_SETAFFINITY},
    {"attr", PINW_CALLS_ATTR},
    {"cross", PINW_CALLS_CROSS},
    {"inherit", PINW_CALLS_INHERIT},
    {"golock", PINW_CALLS_GOLOCK},
    {"raw", PINW_CALLS_RAW},
};
static const struct word leak_words[] = {
    {"exit_while_pinned", 1u << PINW_PLEAK_EXIT_WHILE_PINNED},
    {"pinned_idle", 1u << PINW_PLEAK_PINNED_IDLE},
    {"pinned_at_end", 1u << PINW_PLEAK_PINNED_AT_END},
    {"unjoined", 1u << PINW_PLEAK_UNJOINED},
    {"inherited", 1u << PINW_PLEAK_INHERITED},
    {"unbalanced", 1u << PINW_PLEAK_UNBALANCED},
    {"growth", 1u << PINW_PLEAK_GROWTH},
};
/* What the denied calls, and calls like them, return in life. */
static const struct word errno_words[] = {
    {"EPERM", EPERM},   {"EAGAIN", EAGAIN}, {"EINVAL", EINVAL}, {"EACCES", EACCES},   {"EBUSY", EBUSY},
    {"ENOMEM", ENOMEM}, {"ESRCH", ESRCH},   {"EFAULT", EFAULT}, {"ENOSYS", ENOSYS},   {"ENOTSUP", ENOTSUP},
    {"ERANGE", ERANGE}, {"EINTR", EINTR},   {"ENODEV", ENODEV}, {"EUSERS", EUSERS},   {"EDQUOT", EDQUOT},
    {"ENOSPC", ENOSPC}, {"EIO", EIO},       {"ENXIO", ENXIO},   {"EDEADLK", EDEADLK}, {"ENOLCK", ENOLCK},
};

#define COUNT(words) (sizeof(words) / sizeof((words)[0]))
#define WORDS_MAX 20u
_Static_assert(COUNT(errno_words) <= WORDS_MAX, "the longest list of words");

static void suggest(const struct word *words, unsigned count, const char *text, struct pinw_phrase *why)
{
	const char *names[WORDS_MAX];

	for (unsigned i = 0; i < count; i++)
		names[i] = words[i].name;
	const char *nearest = pinw_word_nearest(names, count, text);
	pinw_phrase_add(why, "unknown word");
	if (nearest)
		pinw_phrase_add(why, " (did you mean '%s'?)", nearest);
}

static int find_word(const struct word *words, unsigned count, const char *text, uint32_t *ret,
                     struct pinw_phrase *why)
{
	for (unsigned i = 0; i < count; i++) {
		if (!strcmp(words[i].name, text)) {
			*ret = words[i].value;
			return 0;
		}
	}
	suggest(words, count, text, why);
	return -EINVAL;
}

static int find_flag(const struct word words[2], const char *text, bool *ret, struct pinw_phrase *why)
{
	uint32_t value;
	int r = find_word(words, 2, text, &value, why);

	if (r == 0)
		*ret = value;
	return r;
}

int pinw_value_mode(const char *text, uint32_t *ret, struct pinw_phrase *why)
{
	return find_word(mode_words, COUNT(mode_words), text, ret, why);
}

int pinw_value_kind(const char *text, uint32_t *ret, struct pinw_phrase *why)
{
	return find_word(kind_words, COUNT(kind_words), text, ret, why);
}

int pinw_value_stop(const char *text, bool *ret, struct pinw_phrase *why)
{
	return find_flag(stop_words, text, ret, why);
}

int pinw_value_yes_no(const char *text, bool *ret, struct pinw_phrase *why)
{
	return find_flag(yes_no_words, text, ret, why);
}

int pinw_value_errno(const char *text, int *ret, struct pinw_phrase *why)
{
	uint32_t value;
	int r = find_word(errno_words, COUNT(errno_words), text, &value, why);

	if (r == 0)
		*ret = (int)value;
	return r;
}

const char *pinw_errno_name(int error)
{
	for (unsigned i = 0; i < COUNT(errno_words); i++)
		if ((int)errno_words[i].value == error)
			return errno_words[i].name;
	return NULL;
}

int pinw_value_action(const char *text, uint32_t allowed, uint8_t *ret, struct pinw_phrase *why)
{
	struct word possible[COUNT(action_words)];
	unsigned count = 0;
	uint32_t action;
	struct pinw_phrase ignored = pinw_phrase_start(NULL, 0);

	for (unsigned i = 0; i < COUNT(action_words); i++)
		if (allowed >> action_words[i].value & 1)
			possible[count++] = action_words[i];
	if (find_word(possible, count, text, &action, &ignored) == 0) {
		*ret = (uint8_t)action;
		return 0;
	}
	if (find_word(action_words, COUNT(action_words), text, &action, &ignored) == 0)
		pinw_phrase_add(why, "an action that cannot be done here");
	else
		suggest(possible, count, text, why);
	return -EINVAL;
}

/* ---- comma lists of words --------------------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Copies the next word of a comma list, without the blanks around it; a longer one than any known is cut, which leaves
 * it unknown. Returns what follows its comma, NULL at the end. */
static const char *next_word(const char *text, char word[PINW_WORD_MAX + 2])
{
	size_t len = strcspn(text, ",");
	const char *next = text[len] ? text + len + 1 : NULL;

	while (len && is_blank(text[0]))
		text++, len--;
	while (len && is_blank(text[len - 1]))
		len--;
	if (len > PINW_WORD_MAX + 1)
		len = PINW_WORD_MAX + 1;
	memcpy(word, text, len);
	word[len] = '\0';
	return next;
}

static int read_words(const struct word *words, unsigned count, const char *text, uint32_t *ret,
                      struct pinw_phrase *why)
{
	uint32_t all = *ret;

	for (const char *p = text; p;) {
		char word[PINW_WORD_MAX + 2];
		uint32_t bit;

		p = next_word(p, word);
		if (!*word) {
			pinw_phrase_add(why, "a word is missing at a comma");
			return -EINVAL;
		}
		int r = find_word(words, count, word, &bit, why);
		if (r < 0)
			return r;
		if (all & bit) {
			pinw_phrase_add(why, "'%s' is given twice", word);
			return -EINVAL;
		}
		all |= bit;
	}
	*ret = all;
	return 0;
}

int pinw_value_calls(const char *text, uint32_t *ret, struct pinw_phrase *why)
{
	return read_words(call_words, COUNT(call_words), text, ret, why);
}

int pinw_value_leaks(const char *text, uint32_t *ret, struct pinw_phrase *why)
{
	return read_words(leak_words, COUNT(leak_words), text, ret, why);
}

/* ---- numbers ------------------------------------------------------------------------------------ */

static const char *skip_blanks(const char *p)
{
	while (is_blank(*p))
		p++;
	return p;
}

/* Decimal digits, of at most `most`. Moves *text behind them. */
static int read_number(const char **text, uint64_t most, uint64_t *ret, struct pinw_phrase *why)
{
	const char *p = *text;
	uint64_t value = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++) {
		value = value * 10 + (uint64_t)(*p - '0');
		if (value > most) {
			pinw_phrase_add(why, "more than %lu, the most", (unsigned long)most);
			return -EINVAL;
		}
	}
	*text = p;
	*ret = value;
	return 0;
}

/* What follows "cpus". */
static int count_of_cpus(const char *p, uint64_t cpus, uint64_t *ret, struct pinw_phrase *why)
{
	uint64_t operand;

	p = skip_blanks(p);
	char sign = *p;
	if (!sign) {
		*ret = cpus;
		return 0;
	}
	if (!strchr("-+*", sign))
		return -EINVAL;
	p = skip_blanks(p + 1);
	int r = read_number(&p, PINW_COUNT_MAX / (cpus + 1), &operand, why);
	if (r < 0 || *p)
		return -EINVAL;
	if (sign == '-' && operand > cpus) {
		pinw_phrase_add(why, "less than none: the process may use %lu CPUs", (unsigned long)cpus);
		return -EINVAL;
	}
	*ret = sign == '-' ? cpus - operand : sign == '+' ? cpus + operand : cpus * operand;
	return 0;
}

int pinw_value_count(const char *text, uint64_t cpus, uint64_t least, uint64_t *ret, struct pinw_phrase *why)
{
	bool by_cpus = !strncmp(text, "cpus", 4);
	const char *p = text;
	uint64_t value;
	int r = by_cpus ? count_of_cpus(text + 4, cpus, &value, why)
	                : read_number(&p, PINW_COUNT_MAX, &value, why);

	if (r < 0 || (!by_cpus && *p))
		return -EINVAL;
	if (value < least) {
		if (by_cpus)
			pinw_phrase_add(why, "%lu here, as the process may use %lu CPUs; ",
			                (unsigned long)value, (unsigned long)cpus);
		pinw_phrase_add(why, "the least is %lu", (unsigned long)least);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

static const struct unit {
	const char *name;
	uint64_t ns;
} units[] = {
    {"us", 1000},
    {"ms", 1000000},
    {"s", 1000000000},
    {"m", UINT64_C(60) * 1000000000},
    {"h", UINT64_C(3600) * 1000000000},
};

/* The rest of the text is a unit. */
static int read_unit(const char *text, uint64_t *ret_ns, struct pinw_phrase *why)
{
	for (unsigned i = 0; i < COUNT(units); i++) {
		if (!strcmp(units[i].name, text)) {
			*ret_ns = units[i].ns;
			return 0;
		}
	}
	if (!*text)
		pinw_phrase_add(why, "the unit is missing");
	else
		pinw_phrase_add(why, "'%s' is no unit; units are us, ms, s, m and h", text);
	return -EINVAL;
}

/* A number and its unit, at most `most` nanoseconds. */
static int read_duration(const char *text, uint64_t most, uint64_t *ret_ns, struct pinw_phrase *why)
{
	uint64_t number, unit;
	int r = read_number(&text, PINW_DURATION_MAX_NS, &number, why);

	if (r < 0)
		return r;
	r = read_unit(skip_blanks(text), &unit, why);
	if (r < 0)
		return r;
	if (number > most / unit) {
		pinw_phrase_add(why, "longer than %lu h, the most", (unsigned long)(most / units[4].ns));
		return -EINVAL;
	}
	*ret_ns = number * unit;
	return 0;
}

int pinw_value_duration(const char *text, uint64_t least, uint64_t *ret_ns, struct pinw_phrase *why)
{
	uint64_t ns;
	int r = read_duration(text, PINW_DURATION_MAX_NS, &ns, why);

	if (r < 0)
		return r;
	if (ns < least) {
		pinw_phrase_add(why, "a time of zero has no meaning here");
		return -EINVAL;
	}
	*ret_ns = ns;
	return 0;
}

int pinw_value_rate(const char *text, struct pinw_rate *ret, struct pinw_phrase *why)
{
	struct pinw_rate rate;
	const char *p = text;
	int r = read_number(&p, PINW_RATE_COUNT_MAX, &rate.count, why);

	if (r < 0)
		return r;
	p = skip_blanks(p);
	if (*p != '/')
		return -EINVAL;
	p = skip_blanks(p + 1);
	r = *p >= '0' && *p <= '9' ? read_duration(p, PINW_RATE_WINDOW_MAX_NS, &rate.window_ns, why)
	                           : read_unit(p, &rate.window_ns, why);
	if (r < 0)
		return r;
	if (!rate.count || !rate.window_ns) {
		pinw_phrase_add(why, "a rate of zero; the least is one in a time longer than zero");
		return -EINVAL;
	}
	*ret = rate;
	return 0;
}

/* ---- CPUs and days --------------------------------------------------------------------------------- */

static void say_absent(const struct pinw_policy_host *host, unsigned cpu, struct pinw_phrase *why)
{
	char list[96];

	pinw_phrase_add(why, "CPU %u is not on this machine", cpu);
	if (!host->present)
		return;
	pinw_mask_print(list, sizeof(list), host->present, host->mask_words);
	pinw_phrase_add(why, ", which has %s", list);
}

static int first_absent(const uint64_t *mask, const struct pinw_policy_host *host, unsigned *ret_cpu)
{
	for (unsigned i = 0; host->present && i < host->mask_words; i++) {
		uint64_t absent = mask[i] & ~host->present[i];
		if (!absent)
			continue;
		*ret_cpu = i * 64 + (unsigned)__builtin_ctzll(absent);
		return -EINVAL;
	}
	return 0;
}

int pinw_value_cpus(const char *text, const struct pinw_policy_host *host, uint64_t *ret_mask,
                    struct pinw_phrase *why)
{
	char list[PINW_POLICY_LINE_MAX + 1];
	uint64_t mask[host->mask_words ? host->mask_words : 1];
	const char *bad = list;
	size_t len = 0;
	unsigned cpu;

	/* A blank after a comma is for the reader's eye; elsewhere it would join two numbers. */
	for (const char *p = text; *p && len < PINW_POLICY_LINE_MAX; p++)
		if (!is_blank(*p) || !len || list[len - 1] != ',')
			list[len++] = *p;
	list[len] = '\0';
	int r = pinw_mask_parse(list, mask, host->mask_words, &bad);
	if (r == -ERANGE)
		pinw_phrase_add(why, "at '%s' a CPU beyond %u, the highest this machine could have", bad,
		                host->mask_words * 64 - 1);
	if (r < 0)
		return -EINVAL;
	r = first_absent(mask, host, &cpu);
	if (r < 0) {
		say_absent(host, cpu, why);
		return r;
	}
	pinw_mask_copy(ret_mask, mask, host->mask_words);
	return 0;
}

static bool read_digits(const char *text, unsigned count, uint32_t *ret)
{
	uint32_t value = 0;

	for (unsigned i = 0; i < count; i++) {
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (uint32_t)(text[i] - '0');
	}
	*ret = value;
	return true;
}

static uint32_t days_of(uint32_t year, uint32_t month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);

	return month == 2 && leap ? 29 : days[month - 1];
}

int pinw_value_date(const char *text, uint32_t *ret, struct pinw_phrase *why)
{
	uint32_t year, month, day;

	if (strlen(text) != 10 || text[4] != '-' || text[7] != '-' || !read_digits(text, 4, &year) ||
	    !read_digits(text + 5, 2, &month) || !read_digits(text + 8, 2, &day))
		return -EINVAL;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days_of(year, month)) {
		pinw_phrase_add(why, "no day of the calendar");
		return -EINVAL;
	}
	*ret = year * 10000 + month * 100 + day;
	return 0;
}
