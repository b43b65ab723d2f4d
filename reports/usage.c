/* SPDX-License-Identifier: MIT */
#include "reports/usage.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/say.h"

int pinw_usage(const char *command, const char *format, ...)
{
	char text[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	pinw_say("%s: %s; see: pinwarden %s --help", command, text, command);
	return -EINVAL;
}

int pinw_usage_option(const char *command, int option, char **argv, const char *there_are)
{
	char letter[3] = {'-', (char)optopt, '\0'};
	const char *word = argv[optind - 1];
	const char *name = optopt && optopt <= UCHAR_MAX && strncmp(word, "--", 2) != 0 ? letter : word;

	if (option == ':')
		return pinw_usage(command, "%s needs a value", name);
	return pinw_usage(command, "%s is no option here; there are %s", name, there_are);
}

int pinw_usage_color(const char *command, const char *value, enum pinw_color *ret_color)
{
	static const char *const words[] = {
	    [PINW_COLOR_AUTO] = "auto", [PINW_COLOR_ALWAYS] = "always", [PINW_COLOR_NEVER] = "never"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(value, words[i]) == 0) {
			*ret_color = (enum pinw_color)i;
			return 0;
		}
	return pinw_usage(command, "--color=%s: expected auto, always or never", value);
}

int pinw_usage_top(const char *command, const char *value, size_t *ret_top)
{
	char *end;

	errno = 0;
	unsigned long n = strtoul(value, &end, 10);
	if (errno || *end || value[0] < '0' || value[0] > '9')
		return pinw_usage(command, "--top=%s: expected a number, 0 for all", value);
	*ret_top = n;
	return 0;
}
