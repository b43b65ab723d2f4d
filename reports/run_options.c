/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reports/commands.h"
#include "reports/run_private.h"
#include "reports/say.h"

static void print_help(FILE *out)
{
	fputs("Usage: pinwarden run [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
	      "Runs PROGRAM and records its threads and pins into a trace for each process.\n"
	      "\n"
	      "  -o, --output FILE    where traces go: a file name, which may hold %p (pid),\n"
	      "                       %e (program), %h (host), %t (time), %n (number), or a\n"
	      "                       directory; default " PINW_PATTERN_DEFAULT "\n"
	      "  -p, --policy FILE    hold PROGRAM to a policy, see pinwarden-policy(5)\n"
	      "      --audit          only record what the policy would do ...\n"
	      "      --enforce        ... or do it, whatever mode the policy itself names\n"
	      "      --fail-on WHAT   end with 99 when the policy was broken: error (by what it\n"
	      "                       denies, resets or crashes), warning (at all), or never\n"
	      "      --idle-stacks    log an idle pinned thread's stack, stopping it if need be\n"
	      "      --log WHERE      describe leaks and violations as they happen, in a file\n"
	      "                       or on \"stderr\", where violations go without it, too\n"
	      "      --max-size N     bound on each trace, such as 64M (the default)\n"
	      "      --no-follow      record PROGRAM only, not the processes it starts\n"
	      "  -q, --quiet          no summary at the end\n"
	      "  -v, --verbose        a line for each process before the summary\n"
	      "  -h, --help           this text\n"
	      "\n"
	      "Exit status: PROGRAM's, 128 + N for signal N; 99 by --fail-on; 2 wrong policy;\n"
	      "125 pinwarden failed, 126 PROGRAM cannot be executed, 127 it is not found.\n"
	      "Example: pinwarden run -- ./service        then: pinwarden report .\n",
	      out);
}

enum { OPT_LOG = 256, OPT_MAX_SIZE, OPT_NO_FOLLOW, OPT_AUDIT, OPT_ENFORCE, OPT_FAIL_ON, OPT_IDLE_STACKS };

static const struct option longs[] = {
    {"output", required_argument, NULL, 'o'},
    {"policy", required_argument, NULL, 'p'},
    {"audit", no_argument, NULL, OPT_AUDIT},
    {"enforce", no_argument, NULL, OPT_ENFORCE},
    {"fail-on", required_argument, NULL, OPT_FAIL_ON},
    {"idle-stacks", no_argument, NULL, OPT_IDLE_STACKS},
    {"log", required_argument, NULL, OPT_LOG},
    {"max-size", required_argument, NULL, OPT_MAX_SIZE},
    {"no-follow", no_argument, NULL, OPT_NO_FOLLOW},
    {"quiet", no_argument, NULL, 'q'},
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {0},
};

static int usage_error(void)
{
	pinw_say("see: pinwarden run --help");
	return PINW_EXIT_RUN_FAILED;
}

static int bad_option(int c, char *const *argv)
{
	const char *word = argv[optind - 1];

	if (optopt > 0 && optopt < 256 && !(word[0] == '-' && word[1] == '-'))
		pinw_say(c == ':' ? "option -%c needs a value" : "unknown option -%c", optopt);
	else
		pinw_say(c == ':' ? "option %s needs a value"
		                  : "option %s is unknown, ambiguous or takes no value",
		         word);
	return usage_error();
}

static int parse_fail_on(const char *word, enum pinw_fail_on *ret)
{
	static const char *const words[] = {
	    [PINW_FAIL_NEVER] = "never", [PINW_FAIL_ERROR] = "error", [PINW_FAIL_WARNING] = "warning"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(word, words[i]) == 0) {
			*ret = (enum pinw_fail_on)i;
			return 0;
		}
	pinw_say("--fail-on %s: expected error, warning or never", word);
	return usage_error();
}

/* The options that mean something only together with a policy. */
static int check_policy_options(const struct pinw_run_options *o, bool audit, bool enforce)
{
	const char *exported = getenv("PINWARDEN_POLICY");
	bool policy = o->policy || (exported && *exported);
	const char *lonely = audit            ? "--audit"
	                     : enforce        ? "--enforce"
	                     : o->fail_on     ? "--fail-on"
	                     : o->idle_stacks ? "--idle-stacks"
	                                      : NULL;

	if (audit && enforce) {
		pinw_say("--audit and --enforce exclude each other");
		return usage_error();
	}
	if (o->policy && !*o->policy) {
		pinw_say("-p needs the name of a policy file, not an empty one");
		return usage_error();
	}
	if (lonely && !policy) {
		pinw_say("%s needs a policy; name it with -p FILE", lonely);
		return usage_error();
	}
	return 0;
}

static int check_options(const struct pinw_run_options *o, int words_left)
{
	if (words_left == 0) {
		pinw_say("no program to run; type: pinwarden run -- PROGRAM ARGUMENTS");
		return usage_error();
	}
	if (o->output && !*o->output) {
		pinw_say("-o needs the name of a file or a directory, not an empty one");
		return usage_error();
	}
	return 0;
}

int pinw_run_parse_options(int argc, char **argv, struct pinw_run_options *ret)
{
	struct pinw_run_options o = {0};
	bool audit = false, enforce = false;
	int c, code = 0;

	optind = 0; /* scan anew: main has used getopt, or a test has */
	while (code == 0 && (c = getopt_long(argc, argv, "+:o:p:qvh", longs, NULL)) != -1) {
		switch (c) {
		case 'o':
			o.output = optarg;
			break;
		case 'p':
			o.policy = optarg;
			break;
		case OPT_AUDIT:
			audit = true;
			break;
		case OPT_ENFORCE:
			enforce = true;
			break;
		case OPT_FAIL_ON:
			code = parse_fail_on(optarg, &o.fail_on);
			break;
		case OPT_IDLE_STACKS:
			o.idle_stacks = true;
			break;
		case OPT_LOG:
			o.log = optarg;
			break;
		case OPT_MAX_SIZE:
			o.max_size = optarg;
			break;
		case OPT_NO_FOLLOW:
			o.no_follow = true;
			break;
		case 'q':
			o.quiet = true;
			break;
		case 'v':
			o.verbose = true;
			break;
		case 'h':
			print_help(stdout);
			return -1;
		default:
			return bad_option(c, argv);
		}
	}
	o.command = argv + optind;
	o.mode = audit ? PINW_MODE_AUDIT : enforce ? PINW_MODE_ENFORCE : (enum pinw_mode)0;
	if (code == 0)
		code = check_options(&o, argc - optind);
	if (code == 0)
		code = check_policy_options(&o, audit, enforce);
	*ret = o;
	return code;
}
