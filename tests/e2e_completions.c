/* SPDX-License-Identifier: MIT
 *
 * What shells offer after "pinwarden ": all the commands and options there are, and no others.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/e2e.h"

TestSuite(completions, .fini = e2e_done, .timeout = 120);

static const char *const commands[] = {
    "run",     "report",      "check",          "top",         "metrics",      "diff", "info", "verify",
    "recover", "policy lint", "policy explain", "policy test", "policy alerts"};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* What bash prints. */
__attribute__((format(printf, 1, 2))) static const char *bash(const char *format, ...)
{
	static char out[4][8192];
	static unsigned next;
	char script[4096], command[8192], *text = out[next++ % 4];
	va_list args;

	va_start(args, format);
	vsnprintf(script, sizeof(script), format, args);
	va_end(args);
	snprintf(command, sizeof(command), "bash --norc -c '. reports/completions/pinwarden.bash; %s' 2>&1",
	         script);
	FILE *f = popen(command, "r");
	cr_assert_not_null(f);
	text[fread(text, 1, sizeof(out[0]) - 1, f)] = '\0';
	cr_assert_eq(pclose(f), 0, "%s", text);
	return text;
}

/* What is offered for the last of these words. */
static const char *offered(const char *words)
{
	return bash("COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _pinwarden; "
	            "echo $(printf \"%%s\\n\" ${COMPREPLY[*]} | uniq)",
	            words);
}

Test(completions, offer_commands_options_and_values)
{
	static const struct {
		const char *words, *offers;
	} cases[] = {
	    {"pinwarden re", "report recover\n"},
	    {"pinwarden help ver", "verify\n"},
	    {"pinwarden policy \"\"", "lint explain test alerts --help\n"},
	    {"pinwarden report --sys", "--sysroot=\n"},
	    {"pinwarden report -f js", "json jsonl\n"},
	    {"pinwarden report --format = pp", "pprof\n"},
	    {"pinwarden report --by = th", "thread\n"},
	    {"pinwarden report --color =", "auto always never\n"},
	    {"pinwarden top -s w", "wait\n"},
	    {"pinwarden policy test --t", "--top=\n"},
	    {"pinwarden report READM", "README.md\n"},
	    {"pinwarden run --fail-on e", "error\n"},
	    {"pinwarden run -o READM", "README.md\n"},
	    {"pinwarden run -q -- mkfif", "mkfifo\n"},
	    {"pinwarden run mkfif", "mkfifo\n"},
	    {"pinwarden run -o x mkfifo READM", "README.md\n"},
	    {"pinwarden run mkfifo --he", "\n"},
	    {"pinwarden nothing -", "\n"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_str_eq(offered(cases[i].words), cases[i].offers, "%s: %s", cases[i].words,
		                 offered(cases[i].words));
}

Test(completions, are_what_help_shows)
{
	const char *build = getenv("PINW_BUILD");

	e2e_needs(build != NULL, "needs PINW_BUILD");
	cr_expect_str_eq(
	    bash("%s/pinwarden --help | sed -n \"s/^  pinwarden \\([a-z][a-z]*\\).*/\\1/p\" | sort", build),
	    bash("COMP_WORDS=(pinwarden \"\"); COMP_CWORD=1; _pinwarden; "
	         "printf \"%%s\\n\" ${COMPREPLY[*]} | grep -v -- - | sort"));
	for (size_t i = 0; i < COMMANDS; i++) {
		const char *shown =
		    bash("%s/pinwarden %s --help | sed -n \"s/^  .*\\(--[a-z-]*\\).*/\\1/p\" | sort -u",
		         build, commands[i]);
		const char *had =
		    bash("printf \"%%s\\n\" $(_pinwarden_options \"%s\") | tr -d = | sort -u", commands[i]);

		cr_expect(strlen(shown) > 5);
		cr_expect_str_eq(had, shown, "%s: %s, not %s", commands[i], had, shown);
		cr_expect_str_empty(
		    bash("for o in $(_pinwarden_options \"%s\"); do o=${o%%=}; "
		         "grep -q -e \"$o\" reports/completions/_pinwarden || echo $o; "
		         "grep -q -e \"-l ${o#--} \" reports/completions/pinwarden.fish || echo $o; done",
		         commands[i]));
	}
}

Test(completions, are_programs_for_zsh_and_fish)
{
	e2e_needs(system("command -v zsh >/dev/null && command -v fish >/dev/null") == 0,
	          "needs zsh and fish");
	cr_expect_str_empty(bash("zsh -n reports/completions/_pinwarden"));
	cr_expect_str_empty(bash("fish -n reports/completions/pinwarden.fish"));
	cr_expect_str_eq(bash("HOME=%s fish -N -c \"source reports/completions/pinwarden.fish; "
	                      "complete -C \\\"pinwarden re\\\"\" | cut -f1 | sort | xargs",
	                      e2e_dir()),
	                 "recover report\n");
}
