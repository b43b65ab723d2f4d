/* SPDX-License-Identifier: MIT
 *
 * pinwarden policy: what a policy says, before it is obeyed. Exit status: 0 clean, 1 findings, 2 wrong usage or a
 * policy that is not valid, 3 a trace was unreadable.
 */
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/keys.h"
#include "policy/mask.h"
#include "reports/alerts.h"
#include "reports/commands.h"
#include "reports/policy_cmds.h"
#include "reports/policy_file.h"
#include "reports/say.h"
#include "reports/usage.h"

static const struct command {
	const char *name;
	const char *arguments;
	const char *what;
	int (*run)(int argc, char **argv);
} commands[] = {
    {"lint", "FILE...", "is a policy valid, and does it mean something?", pinw_policy_lint},
    {"explain", "[RULE] [FILE]", "a rule, or a key of the format, in words", pinw_policy_explain_cmd},
    {"test", "TRACE... -p POLICY", "what a policy would have done to a recorded run", pinw_policy_test},
    {"alerts", "[FILE]", "alerting rules for Prometheus, with the policy's limits", pinw_policy_alerts},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void help(FILE *out)
{
	fputs("Usage: pinwarden policy COMMAND ...\n\n", out);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(out, "  pinwarden policy %s %s\n        %s\n", commands[i].name,
		        commands[i].arguments, commands[i].what);
	fputs("\nEach command has --help. The format of policies: man 5 pinwarden-policy.\n"
	      "\nExit status: 0 clean; 1 findings; 2 wrong usage, or a policy that is not valid;\n"
	      "3 a trace was unreadable.\n",
	      out);
}

int pinw_policy_usage(const char *command, int option, char **argv, const char *options)
{
	char name[64];

	snprintf(name, sizeof(name), "policy %s", command);
	pinw_usage_option(name, option, argv, options);
	return PINW_POLICY_BAD;
}

int pinw_cmd_policy(int argc, char **argv)
{
	const char *names[COMMANDS];

	if (argc < 2) {
		help(stderr);
		return PINW_POLICY_BAD;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
		help(stdout);
		return fflush(stdout) == 0 ? PINW_POLICY_CLEAN : PINW_POLICY_BAD;
	}
	for (size_t i = 0; i < COMMANDS; i++) {
		names[i] = commands[i].name;
		if (strcmp(commands[i].name, argv[1]) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	const char *nearest = pinw_word_nearest(names, COMMANDS, argv[1]);
	if (nearest)
		pinw_say("policy: unknown command %s; did you mean: pinwarden policy %s", argv[1], nearest);
	else
		pinw_say("policy: unknown command %s; there are lint, explain, test and alerts", argv[1]);
	return PINW_POLICY_BAD;
}

/* ---- alerts ------------------------------------------------------------------------------ */

static const char alerts_help[] =
    "Usage: pinwarden policy alerts [FILE]\n"
    "\n"
    "Writes alerting rules for Prometheus to standard output: threads above the\n"
    "baseline, climbing for hours, spiking with the traffic, near the limit or\n"
    "created too fast; pins per request; leaked threads; violations. With a policy,\n"
    "limits are those of its [caps] and of its first ban with a site_rate; \"cpus\" is\n"
    "counted on this machine. Check the result with: promtool check rules\n"
    "\n"
    "Example: pinwarden policy alerts ci.ini > pinwarden.rules.yml\n"
    "\n"
    "  -h, --help  this text\n"
    "\n"
    "Exit status: 0 written; 2 wrong usage, a policy that is not valid, or the output\n"
    "could not be written.\n";

static int print_alerts(const struct pinw_policy *policy, const struct pinw_policy_here *here)
{
	unsigned cpus = pinw_mask_width(here->host.baseline, here->host.mask_words);
	int error = pinw_alerts_print(policy, cpus, stdout);

	if (error < 0)
		pinw_say("policy alerts: standard output: %s", strerror(-error));
	return error < 0 ? PINW_POLICY_BAD : PINW_POLICY_CLEAN;
}

static int alerts_of_file(const char *path, const struct pinw_policy_here *here)
{
	struct pinw_policy_file file;
	struct pinw_policy_parsed parsed = {0};
	struct pinw_policy_error wrong = {0};
	int status = PINW_POLICY_BAD;
	int error = pinw_policy_file_read(&file, path, &wrong);

	if (error == 0)
		error = pinw_policy_file_parse(&file, &here->host, &parsed, &wrong);
	if (error == 0)
		status = print_alerts(parsed.policy, here);
	else if (wrong.text[0])
		pinw_policy_file_complain(path, &wrong);
	else
		pinw_say("policy alerts: %s", strerror(-error));
	pinw_policy_parsed_done(&parsed);
	pinw_policy_file_done(&file);
	return status;
}

int pinw_policy_alerts(int argc, char **argv)
{
	static const struct option options[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	struct pinw_policy_here here;
	int option;

	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (option != 'h')
			return pinw_policy_usage("alerts", option, argv, "-h");
		fputs(alerts_help, stdout);
		return fflush(stdout) == 0 ? PINW_POLICY_CLEAN : PINW_POLICY_BAD;
	}
	if (argc - optind > 1) {
		pinw_say("policy alerts: name one policy, or none");
		return PINW_POLICY_BAD;
	}
	pinw_policy_here(&here);
	return optind < argc ? alerts_of_file(argv[optind], &here) : print_alerts(NULL, &here);
}
