/* SPDX-License-Identifier: MIT */
#include "reports/policy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "policy/mask.h"
#include "preload/trace_format.h"
#include "reports/say.h"

/* ---- here and now ---------------------------------------------------------------------- */

static void read_present(uint64_t *present)
{
	char text[8192];
	FILE *f = fopen("/sys/devices/system/cpu/present", "re");
	bool read = f && fgets(text, sizeof(text), f);

	if (f)
		fclose(f);
	if (read)
		text[strcspn(text, "\n")] = '\0';
	if (!read || pinw_mask_parse(text, present, PINW_MASK_WORDS_MAX, NULL) < 0)
		memset(present, 0xff,
		       PINW_MASK_WORDS_MAX * sizeof(*present)); /* unknown: nothing is refused */
}

void pinw_policy_here(struct pinw_policy_here *here)
{
	time_t now = time(NULL);
	struct tm day = {0};

	memset(here, 0, sizeof(*here));
	if (sched_getaffinity(0, sizeof(here->baseline), (cpu_set_t *)here->baseline) < 0)
		here->baseline[0] = 1;
	read_present(here->present);
	gmtime_r(&now, &day);
	here->host = (struct pinw_policy_host){
	    .baseline = here->baseline,
	    .present = here->present,
	    .mask_words = PINW_MASK_WORDS_MAX,
	    .today = (uint32_t)((day.tm_year + 1900) * 10000 + (day.tm_mon + 1) * 100 + day.tm_mday),
	};
}

/* ---- the text ---------------------------------------------------------------------------- */

static int refuse(struct pinw_policy_error *ret_error, const char *text)
{
	*ret_error = (struct pinw_policy_error){0};
	snprintf(ret_error->text, sizeof(ret_error->text), "%s", text);
	return -EINVAL;
}

/* Reads to the end, so that what is parsed is what was there, whatever fstat said. */
static int read_text(int fd, struct pinw_policy_file *file, struct pinw_policy_error *ret_error)
{
	file->text = malloc(PINW_POLICY_BYTES_MAX + 1u);
	if (!file->text)
		return -ENOMEM;
	while (file->len <= PINW_POLICY_BYTES_MAX) {
		ssize_t n = read(fd, file->text + file->len, PINW_POLICY_BYTES_MAX + 1u - file->len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return refuse(ret_error, strerror(errno));
		if (n == 0)
			return 0;
		file->len += (size_t)n;
	}
	return refuse(ret_error, "is longer than a policy may be");
}

int pinw_policy_file_read(struct pinw_policy_file *file, const char *path,
                          struct pinw_policy_error *ret_error)
{
	struct stat st;

	*file = (struct pinw_policy_file){.path = strdup(path)};
	if (!file->path)
		return -ENOMEM;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return refuse(ret_error, strerror(errno));
	const char *wrong = fstat(fd, &st) < 0 ? strerror(errno) : pinw_policy_distrust(&st, geteuid());
	int error = wrong ? refuse(ret_error, wrong) : read_text(fd, file, ret_error);
	close(fd);
	if (error == 0 && file->len >= 8 && memcmp(file->text, PINW_TRACE_MAGIC, 8) == 0)
		return refuse(ret_error, "is a trace; expected a policy");
	return error;
}

void pinw_policy_file_done(struct pinw_policy_file *file)
{
	free(file->path);
	free(file->text);
	*file = (struct pinw_policy_file){0};
}

/* ---- the policy ---------------------------------------------------------------------------- */

int pinw_policy_file_parse(const struct pinw_policy_file *file, const struct pinw_policy_host *host,
                           struct pinw_policy_parsed *ret_parsed, struct pinw_policy_error *ret_error)
{
	size_t size = pinw_policy_memory_needed(file->len, host->mask_words) + strlen(file->path) + 1;

	*ret_parsed = (struct pinw_policy_parsed){.memory = {.bytes = malloc(size), .size = size}};
	if (!ret_parsed->memory.bytes)
		return -ENOMEM;
	return pinw_policy_parse(file->text, file->len, file->path, host, &ret_parsed->memory,
	                         &ret_parsed->policy, ret_error);
}

void pinw_policy_parsed_done(struct pinw_policy_parsed *parsed)
{
	free(parsed->memory.bytes);
	*parsed = (struct pinw_policy_parsed){0};
}

void pinw_policy_file_complain(const char *path, const struct pinw_policy_error *error)
{
	char text[PINW_POLICY_MESSAGE_BYTES + 4200];

	pinw_policy_error_print(text, sizeof(text), path, error);
	pinw_say("%s", text);
}
