/* SPDX-License-Identifier: MIT */
#include "tests/go_programs.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/e2e.h"

void each_go_program(const char *name, void (*fn)(const char *program, const char *arguments),
                     const char *arguments)
{
	char pattern[4096], command[8192];
	glob_t found;

	snprintf(pattern, sizeof(pattern), "%s/go/%s-*", getenv("PINW_BUILD"), name);
	int r = glob(pattern, 0, NULL, &found);
	e2e_needs(r == 0 && found.gl_pathc > 0, "no Go is installed that can build this program");
	for (size_t i = 0; i < found.gl_pathc; i++) {
		snprintf(command, sizeof(command), "rm -rf %s", e2e_traces());
		e2e_status(0, command);
		snprintf(command, sizeof(command), "mkdir %s", e2e_traces());
		e2e_status(0, command);
		fn(found.gl_pathv[i], arguments);
	}
	globfree(&found);
}
