/* SPDX-License-Identifier: MIT
 *
 * The policy of this process: found by PINWARDEN_POLICY, trusted, read and parsed before
 * the first trace is made. An invalid one is never left aside in silence: what would
 * enforce stops the program before main, what audits goes on with a loud line.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "policy/mask.h"
#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/enforce.h"
#include "preload/image.h"
#include "preload/proc.h"

#define STOPPED 2 /* the exit status of a bad policy, as the command's */
#define FAILED 125 /* that of a failure of our own */

struct text {
	char *bytes;
	size_t len;
};

/* ---- words ------------------------------------------------------------------------------- */

static void say(const char *words)
{
	static char line[PINW_PATH_MAX + PINW_POLICY_MESSAGE_BYTES + 256];
	size_t n = pinw_put(line, sizeof(line), 0, "pinwarden: ");

	for (; *words; words++)
		n = pinw_put_bytes(line, sizeof(line), n,
		                   (unsigned char)*words < ' ' || *words == 127 ? "?" : words, 1);
	n = pinw_put_bytes(line, sizeof(line), n, "\n", 1);
	pinw_proc_stderr(line, n);
}

/* Says what is wrong; then the program stops, or goes on without a policy. */
static void refuse(const struct pinw_policy_error *error, bool stops)
{
	static char line[PINW_PATH_MAX + PINW_POLICY_MESSAGE_BYTES + 128];

	pinw_policy_error_print(line, sizeof(line), pinw_config.policy, error);
	say(line);
	if (stops) {
		say("stopped before main: this policy is to be enforced and cannot be obeyed as it stands");
		pinw_sys1(SYS_exit_group, STOPPED);
	}
	say("WARNING: this program runs WITHOUT A POLICY: nothing is judged, nothing denied");
}

static void refuse_file(const char *what, long error)
{
	struct pinw_policy_error e = {0};
	size_t n = pinw_put(e.text, sizeof(e.text), 0, what);

	if (error) {
		n = pinw_put(e.text, sizeof(e.text), n, ": ");
		const char *name = strerrordesc_np((int)error);
		pinw_put(e.text, sizeof(e.text), n, name ? name : "unknown error");
	}
	/* What it says about itself is not known, or not to be believed. */
	refuse(&e, pinw_config.mode != PINW_MODE_AUDIT);
}

/* ---- reading -------------------------------------------------------------------------------- */

static long read_all(int fd, char *bytes, size_t size)
{
	size_t len = 0;

	while (len < size) {
		long n = pinw_sys3(SYS_read, fd, bytes + len, size - len);

		if (n == -EINTR)
			continue;
		if (n < 0)
			return n;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	return (long)len;
}

/* Reads the open file, if it may be trusted. */
static bool read_file(int fd, struct text *ret_text)
{
	struct stat st = {0};
	long r = pinw_sys2(SYS_fstat, fd, &st);

	if (r < 0) {
		refuse_file("cannot be looked at", -r);
		return false;
	}
	const char *why = pinw_policy_distrust(&st, (uid_t)pinw_sys0(SYS_geteuid));
	if (why) {
		refuse_file(why, 0);
		return false;
	}
	size_t size = (size_t)st.st_size + 1; /* one more: to see whether it goes on */
	char *bytes = pinw_proc_map(size);
	r = bytes ? read_all(fd, bytes, size) : -ENOMEM;
	if (r < 0) {
		refuse_file("cannot be read", -r);
		return false;
	}
	if (r != st.st_size) {
		refuse_file("has another size than it says; is it being written? Put a new one in place by "
		            "rename",
		            0);
		return false;
	}
	*ret_text = (struct text){bytes, (size_t)r};
	return true;
}

static bool read_policy(struct text *ret_text)
{
	long fd = pinw_sys3(SYS_open, pinw_config.policy, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0);

	if (fd < 0) {
		refuse_file("cannot be opened", -fd);
		return false;
	}
	bool ok = read_file((int)fd, ret_text);
	pinw_sys1(SYS_close, fd);
	return ok;
}

/* ---- this machine, this day ------------------------------------------------------------------ */

/* yyyymmdd of a time in seconds since 1970, UTC (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days). */
static uint32_t date_of(uint64_t seconds)
{
	uint64_t days = seconds / 86400 + 719468;
	uint64_t era = days / 146097, doe = days % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	uint64_t mp = (5 * doy + 2) / 153;
	uint64_t day = doy - (153 * mp + 2) / 5 + 1, month = mp < 10 ? mp + 3 : mp - 9;
	uint64_t year = yoe + era * 400 + (month <= 2);

	return (uint32_t)(year * 10000 + month * 100 + day);
}

/* CPUs this machine has, or NULL when it does not say. */
static const uint64_t *present_cpus(void)
{
	static uint64_t mask[PINW_MASK_WORDS_MAX];
	static char list[2048];
	long n = pinw_proc_read("/sys/devices/system/cpu/present", list, sizeof(list));

	while (n > 0 && list[n - 1] == '\n')
		list[--n] = '\0';
	return n > 0 && pinw_mask_parse(list, mask, pinw_shim.mask_words, NULL) == 0 ? mask : NULL;
}

/* ---- loading ----------------------------------------------------------------------------------- */

static bool is_to_enforce(const struct pinw_policy *policy)
{
	return (pinw_config.mode ? pinw_config.mode : (uint32_t)policy->mode) == PINW_MODE_ENFORCE;
}

static bool set_up(const struct pinw_policy *policy)
{
	void *state = pinw_proc_map(pinw_policy_state_bytes(policy) + 1);

	if (!state)
		return false;
	pinw_policy_state_init(&pinw_enforce.state, policy, state);
	pinw_enforce.state_memory = state;
	pinw_enforce.enforcing = is_to_enforce(policy);
	if (!pinw_config.log[0] && pinw_image_set_log(policy->log ? policy->log : "stderr") < 0)
		pinw_image_set_log("stderr");
	pinw_enforce_use(policy);
	return true;
}

static void parse(const struct text *text)
{
	static struct pinw_policy_error error; /* off the stack: it may be small */
	struct pinw_policy_host host = {
	    .baseline = pinw_shim.baseline,
	    .present = present_cpus(),
	    .mask_words = pinw_shim.mask_words,
	    .today = date_of(pinw_clock_real() / 1000000000u),
	};
	struct pinw_policy_memory memory = {.size =
	                                        pinw_policy_memory_needed(text->len, pinw_shim.mask_words)};
	const struct pinw_policy *policy;

	pinw_enforce.present = host.present;
	memory.bytes = pinw_proc_map(memory.size);
	int r = memory.bytes ? pinw_policy_parse(text->bytes, text->len, pinw_config.policy, &host, &memory,
	                                         &policy, &error)
	                     : -ENOMEM;
	if (r == 0 && set_up(policy))
		return;
	if (r == -EINVAL)
		refuse(&error,
		       pinw_policy_invalid_stops(text->bytes, text->len, (enum pinw_mode)pinw_config.mode));
	else
		refuse_file("cannot be loaded", ENOMEM);
}

void pinw_enforce_load(void)
{
	struct text text;

	if (!pinw_config.policy[0])
		return;
	if (pinw_config.mode == PINW_MODE_UNKNOWN) {
		refuse_file("PINWARDEN_MODE is neither \"audit\" nor \"enforce\"", 0);
		return;
	}
	if (!read_policy(&text))
		return;
	parse(&text);
	pinw_sys2(SYS_munmap, text.bytes, text.len + 1);
}

bool pinw_enforce_unrecorded(int error)
{
	static char line[160];
	const char *name = strerrordesc_np(error);
	size_t n;

	if (!pinw_enforce.policy || !pinw_enforce.enforcing)
		return false;
	n = pinw_put(line, sizeof(line), 0,
	             "WARNING: this forked process is not recorded, but the policy holds: ");
	pinw_put(line, sizeof(line), n, name ? name : "unknown error");
	say(line);
	return true;
}

static const struct pinw_rule *rule_on_golocks(const struct pinw_policy *policy)
{
	for (uint32_t i = 0; i < policy->rule_count; i++)
		if (pinw_rule_acts_on_golocks(policy, &policy->rules[i]))
			return &policy->rules[i];
	return NULL;
}

void pinw_enforce_golocks_unseen(void)
{
	static char line[PINW_PATH_MAX + PINW_POLICY_MESSAGE_BYTES];
	static struct pinw_policy_error error;

	if (!pinw_enforce.policy || !pinw_enforce.enforcing)
		return;
	const struct pinw_rule *rule = rule_on_golocks(pinw_enforce.policy);
	if (!rule)
		return;
	error.line = rule->line;
	size_t n = pinw_put(error.text, sizeof(error.text), 0, "[");
	n = pinw_put(error.text, sizeof(error.text), n, rule->label);
	pinw_put(
	    error.text, sizeof(error.text), n,
	    "]: this rule is to act on Go locks, and those of this program cannot be seen (pinwarden report "
	    "says why); leave it out, or run with --audit");
	pinw_policy_error_print(line, sizeof(line), pinw_config.policy, &error);
	say(line);
	say("stopped before Go's first instruction: this policy is to be enforced and cannot be, here");
	pinw_sys1(SYS_exit_group, STOPPED);
}

void pinw_enforce_lost(bool first_image)
{
	if (!pinw_enforce.policy || !pinw_enforce.enforcing)
		return;
	if (first_image) {
		say("stopped before main: the policy is to be enforced, and without a trace nothing is "
		    "judged");
		pinw_sys1(SYS_exit_group, FAILED);
	}
	say("WARNING: the policy is NOT ENFORCED in this forked process");
}
