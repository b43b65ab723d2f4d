/* SPDX-License-Identifier: MIT
 *
 * The program `pinwarden`: finds the command and hands over.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "reports/commands.h"
#include "reports/say.h"

static int cmd_help(int argc, char **argv);

static const struct command {
	const char *name;
	const char *arguments;
	const char *what;
	int (*run)(int argc, char **argv);
} commands[] = {
    {"run", "-- PROGRAM [ARGUMENT...]", "run a program, record what it pins", pinw_cmd_run},
    {"report", "TRACE...", "show what was recorded", pinw_cmd_report},
    {"check", "TRACE... -p POLICY", "hold runs against a policy, for CI", pinw_cmd_check},
    {"diff", "BASE NEW", "compare two recorded runs", pinw_cmd_diff},
    {"top", "[PID|TRACE]", "watch a process while it runs", pinw_cmd_top},
    {"metrics", "PID|TRACE|DIRECTORY...", "counts for Prometheus", pinw_cmd_metrics},
    {"policy", "lint|explain|test|alerts", "check, read and try out policies", pinw_cmd_policy},
    {"info", "TRACE...", "what a trace file is", pinw_cmd_info},
    {"verify", "TRACE...", "check trace files for damage", pinw_cmd_verify},
    {"recover", "TRACE -o FILE", "save what a damaged one still has", pinw_cmd_recover},
    {"help", "[COMMAND]", "options of a command, an example", cmd_help},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))
#define WORD_MAX 24u

static void help(FILE *out)
{
	fputs("Pinwarden audits which threads a program pins to CPUs, and which pins it leaks.\n\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  pinwarden %-7s %-25s %s\n", commands[i].name, commands[i].arguments,
		        commands[i].what);
	fputs("  pinwarden --version\n"
	      "\nStart with:  pinwarden run -- PROGRAM      then:  pinwarden report .\n"
	      "More:        pinwarden COMMAND --help, man pinwarden\n",
	      out);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static unsigned least(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Letters to change, insert, drop or swap with the next to make one word of the other. Both have at most
 * WORD_MAX letters. */
static unsigned distance(const char *a, const char *b)
{
	unsigned d[WORD_MAX + 1][WORD_MAX + 1];
	size_t n = strlen(a), m = strlen(b);

	for (size_t i = 0; i <= n; i++)
		d[i][0] = (unsigned)i;
	for (size_t j = 0; j <= m; j++)
		d[0][j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		for (size_t j = 1; j <= m; j++) {
			d[i][j] =
			    least(d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	}
	return d[n][m];
}

static const char *similar_command(const char *word)
{
	if (strlen(word) > WORD_MAX)
		return NULL;
	for (size_t i = 0; i < COMMANDS; i++) {
		const char *name = commands[i].name;
		size_t n = strlen(word);

		if (distance(word, name) <= strlen(name) / 3 || (n >= 2 && strncmp(word, name, n) == 0))
			return name;
	}
	return NULL;
}

static int unknown_command(const char *word)
{
	const char *similar = similar_command(word);

	if (word[0] == '-')
		pinw_say("unknown option %s; options follow a command; see: pinwarden help", word);
	else if (similar)
		pinw_say("unknown command %s; did you mean: pinwarden %s", word, similar);
	else
		pinw_say("unknown command %s; to audit a program of that name: pinwarden run -- %s; else "
		         "see: pinwarden help",
		         word, word);
	return PINW_EXIT_USAGE;
}

/* What went to standard output has arrived, or it is said that it has not. */
static int written(void)
{
	if (fflush(stdout) == 0)
		return 0;
	pinw_say("standard output: %s", strerror(errno));
	return PINW_EXIT_USAGE;
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
	return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/* Where one of the standard descriptors is closed, the next file that is opened would get its number, and then what is printed. A
 * program that is run has it closed still. */
static void keep_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			open("/dev/null", O_RDONLY | O_CLOEXEC); /* gets this number; writing to it fails */
}

/* After `help`: a command, and of policy a command of its own. */
static int cmd_help(int argc, char **argv)
{
	char option[] = "--help";
	const struct command *command = argc > 1 ? find_command(argv[1]) : NULL;

	if (command && command->run != cmd_help) {
		bool deeper = argc > 2 && strcmp(argv[1], "policy") == 0;
		char *words[] = {argv[1], deeper ? argv[2] : option, deeper ? option : NULL, NULL};
		return command->run(deeper ? 3 : 2, words);
	}
	if (argc > 1 && !command && !is_one_of(argv[1], "--help", "-h"))
		return unknown_command(argv[1]);
	help(stdout);
	return written();
}

int main(int argc, char **argv)
{
	const struct command *command;

	keep_standard_descriptors();
	if (argc < 2) {
		help(stderr);
		return PINW_EXIT_USAGE;
	}
	if (is_one_of(argv[1], "--help", "-h"))
		return cmd_help(1, argv);
	if (is_one_of(argv[1], "--version", "-V")) {
		puts("pinwarden " PINW_VERSION);
		return written();
	}
	command = find_command(argv[1]);
	return command ? command->run(argc - 1, argv + 1) : unknown_command(argv[1]);
}
