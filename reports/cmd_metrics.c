/* SPDX-License-Identifier: MIT
 *
 * pinwarden metrics: recorded processes as Prometheus reads them, once, to a file again and again, or over HTTP. Exit status: 0
 * all was read and written; 2 usage, or the output could not be written; 3 a trace was unreadable, or there was none.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "reports/commands.h"
#include "reports/listen.h"
#include "reports/metrics.h"
#include "reports/output.h"
#include "reports/say.h"
#include "reports/usage.h"
#include "reports/sysroot.h"

#define SITES 20u
#define DELAY_MAX 86400.0

enum status {
	STATUS_READ = 0,
	STATUS_USAGE = PINW_EXIT_USAGE,
	STATUS_UNREADABLE = 3,
};

struct options {
	const char *output; /* NULL = stdout */
	const char *listen; /* NULL: do not */
	union pinw_address address;
	double delay_s; /* 0: once */
	unsigned sites;
	bool help;
};

static const char help_text[] =
    "Usage: pinwarden metrics PID|TRACE|DIRECTORY... [options]\n"
    "\n"
    "Writes the thread, pin, leak and violation counts of recorded processes as\n"
    "Prometheus reads them. A DIRECTORY stands for all *.pwt in it, those that come\n"
    "later included. The processes are not disturbed: their traces are read.\n"
    "\n"
    "  -o, --output=FILE    write to FILE, by rename; - is standard output (default)\n"
    "  -d, --delay=SEC      write again every SEC seconds, until SIGTERM\n"
    "      --listen=ADDRESS serve http://ADDRESS/metrics until SIGTERM; loopback\n"
    "                       only: 127.0.0.1:9464, [::1]:9464, localhost:9464\n"
    "      --sites=N        functions with a pin counter of their own, for each\n"
    "                       process; the others are site=\"other\" (default 20)\n"
    "      --sysroot=DIR    look for programs and libraries below DIR\n"
    "  -h, --help           this text\n"
    "\n"
    "  pinwarden metrics /var/tmp/traces -o /var/lib/prometheus/node-exporter/pw.prom\n"
    "\n"
    "Exit status: 0 all was read; 2 wrong usage, or the output could not be written;\n"
    "3 a trace was unreadable, or there was none. Alerts: pinwarden policy alerts\n";

/* ---- options ------------------------------------------------------------------------------- */

static int parse_listen(struct options *o, const char *value)
{
	int error = pinw_listen_parse(value, &o->address);

	o->listen = value;
	if (error == -EACCES)
		return pinw_usage(
		    "metrics",
		    "--listen=%s: only loopback is served (127.0.0.1:9464), as anybody who reaches the port "
		    "can read it; let Prometheus run beside it, or put a proxy with a password in front",
		    value);
	return error < 0 ? pinw_usage("metrics", "--listen=%s: expected ADDRESS:PORT, such as 127.0.0.1:9464",
	                              value)
	                 : 0;
}

static int parse_delay(struct options *o, const char *value)
{
	char *end;

	o->delay_s = strtod(value, &end);
	if (end == value || *end || !(o->delay_s >= 0.1 && o->delay_s <= DELAY_MAX))
		return pinw_usage("metrics", "--delay=%s: expected seconds, 0.1 to 86400", value);
	return 0;
}

static int parse_sites(struct options *o, const char *value)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (value[0] < '0' || value[0] > '9' || *end || n < 1 || n > PINW_METRIC_SITES_MAX)
		return pinw_usage("metrics", "--sites=%s: expected a number, 1 to 1000", value);
	o->sites = (unsigned)n;
	return 0;
}

enum { OPTION_LISTEN = UCHAR_MAX + 1, OPTION_SITES, OPTION_SYSROOT };

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"delay", required_argument, NULL, 'd'},
    {"listen", required_argument, NULL, OPTION_LISTEN},
    {"sites", required_argument, NULL, OPTION_SITES},
    {"sysroot", required_argument, NULL, OPTION_SYSROOT},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int parse_option(struct options *o, int option, char **argv)
{
	switch (option) {
	case 'o':
		o->output = strcmp(optarg, "-") == 0 ? NULL : optarg;
		return 0;
	case 'd':
		return parse_delay(o, optarg);
	case OPTION_LISTEN:
		return parse_listen(o, optarg);
	case OPTION_SYSROOT:
		return pinw_sysroot_set("metrics", optarg);
	case OPTION_SITES:
		return parse_sites(o, optarg);
	case 'h':
		o->help = true;
		return 0;
	default:
		return pinw_usage_option("metrics", option, argv,
		                         "-o, -d, --listen, --sites, --sysroot and --help");
	}
}

static int parse_options(struct options *o, int argc, char **argv)
{
	int option, error = 0;

	*o = (struct options){.sites = SITES};
	optind = 0; /* a fresh start: main may have parsed options of its own */
	opterr = 0;
	while (error == 0 && (option = getopt_long(argc, argv, ":o:d:h", long_options, NULL)) != -1)
		error = parse_option(o, option, argv);
	if (error < 0 || o->help)
		return error;
	if (o->listen && (o->output || o->delay_s > 0))
		return pinw_usage("metrics", "%s goes with neither -o nor -d: Prometheus asks when it wants",
		                  "--listen");
	if (o->delay_s > 0 && !o->output)
		return pinw_usage("metrics", "%s needs -o FILE", "-d");
	if (optind == argc)
		return pinw_usage("metrics", "%s",
		                  "name a process, a trace, or a directory with traces in it");
	return 0;
}

/* ---- writing ---------------------------------------------------------------------------------- */

static int write_page(struct pinw_metrics *m, const struct options *o)
{
	struct pinw_output out;

	if (pinw_metrics_hold(m, pinw_output_place(o->output)))
		return pinw_usage("metrics", "-o %s: this is one of the traces",
		                  pinw_output_place(o->output));
	int error = pinw_output_open(&out, o->output);
	if (error == 0) {
		pinw_metrics_print(m, out.file);
		error = pinw_output_close(&out, 0);
	}
	if (error < 0)
		pinw_say("metrics: %s: %s", o->output ? o->output : "standard output", strerror(-error));
	return error;
}

static int look_and_write(struct pinw_metrics *m, const struct options *o)
{
	int unreadable = pinw_metrics_look(m);

	if (unreadable < 0) {
		pinw_say("metrics: %s", strerror(-unreadable));
		return STATUS_UNREADABLE;
	}
	if (write_page(m, o) < 0)
		return STATUS_USAGE;
	if (unreadable || pinw_metrics_count(m) > 0)
		return unreadable ? STATUS_UNREADABLE : STATUS_READ;
	pinw_say("metrics: no *.pwt there: nothing is recorded");
	return STATUS_UNREADABLE;
}

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

/* What is unreadable now may not be the next time; what cannot be written ends it. */
static int repeat(struct pinw_metrics *m, const struct options *o)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};
	struct timespec next;
	sigset_t blocked, before;
	int status = STATUS_READ;

	/* Blocked but while it waits, so that none is lost in between. */
	sigemptyset(&blocked);
	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
		sigaction(signals[i], &action, NULL);
		sigaddset(&blocked, signals[i]);
	}
	sigprocmask(SIG_BLOCK, &blocked, &before);
	while (!stopped && status != STATUS_USAGE) {
		int unreadable = pinw_metrics_look(m);
		if (unreadable < 0 || write_page(m, o) < 0)
			status = STATUS_USAGE;
		next = (struct timespec){.tv_sec = (time_t)o->delay_s};
		next.tv_nsec = (long)((o->delay_s - (double)next.tv_sec) * 1e9);
		if (status != STATUS_USAGE)
			pselect(0, NULL, NULL, NULL, &next, &before);
	}
	return status;
}

static void make_page(void *arg, FILE *out)
{
	struct pinw_metrics *m = arg;

	if (pinw_metrics_look(m) < 0)
		pinw_say("metrics: out of memory");
	pinw_metrics_print(m, out);
}

static int run(struct pinw_metrics *m, const struct options *o)
{
	if (o->listen)
		return pinw_listen(&o->address, make_page, m) < 0 ? STATUS_USAGE : STATUS_READ;
	return o->delay_s > 0 ? repeat(m, o) : look_and_write(m, o);
}

int pinw_cmd_metrics(int argc, char **argv)
{
	struct pinw_metrics *m = NULL;
	struct options o;

	if (parse_options(&o, argc, argv) < 0)
		return STATUS_USAGE;
	if (o.help)
		return fputs(help_text, stdout) < 0 || fflush(stdout) != 0 ? STATUS_USAGE : STATUS_READ;
	pinw_live_raise_limit(); /* a descriptor or two for each process that runs */
	const struct pinw_metrics_options options = {.sites = o.sites, .repeated = o.listen || o.delay_s > 0};
	int error = pinw_metrics_new(&options, &m);
	for (int i = optind; error == 0 && i < argc; i++)
		error = pinw_metrics_add(m, argv[i]);
	if (error == -ENOMEM)
		pinw_say("metrics: out of memory");
	int status = error < 0 ? STATUS_UNREADABLE : run(m, &o);
	pinw_metrics_free(m);
	return status;
}
