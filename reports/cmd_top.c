/* SPDX-License-Identifier: MIT
 *
 * pinwarden top: one recorded process, looked at again and again. Exit status: 0; 2 usage, or no terminal; 3 the process is not
 * recorded, or its trace cannot be read.
 */
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "reports/commands.h"
#include "reports/live_find.h"
#include "reports/output.h"
#include "reports/say.h"
#include "reports/usage.h"
#include "reports/sysroot.h"
#include "reports/text_private.h"
#include "reports/top.h"
#include "reports/tty.h"

#define DELAY_LEAST 0.1
#define DELAY_MOST 3600.0
#define SETTLE_NS 200000000 /* `pinwarden run` says so soon how its program ended */

enum status {
	STATUS_OK = 0,
	STATUS_USAGE = PINW_EXIT_USAGE,
	STATUS_UNREADABLE = 3,
};

struct options {
	double delay_s;
	unsigned long looks; /* 0: no limit */
	bool batch, help;
	struct pinw_top_choice choice;
	const char *what; /* NULL: the one process that is recorded */
};

static const char help_text[] =
    "Usage: pinwarden top [PID|TRACE] [options]\n"
    "\n"
    "Shows a recorded process while it runs: threads, pins, rates, and whether each\n"
    "pinned thread is busy, waits for a CPU, or idles. Read from its trace and from\n"
    "/proc: the process does not notice. Without a PID: the one that is recorded.\n"
    "\n"
    "  -d, --delay=SEC    time between two looks (default 1)\n"
    "  -n, --looks=N      end after N looks\n"
    "  -b, --batch        plain text, one look after the other, for scripts\n"
    "  -a, --all          threads that are not pinned too\n"
    "  -s, --sort=KEY     run (default), wait, migrations, held, tid or name\n"
    "  -f, --filter=TEXT  only threads with this in their name\n"
    "      --sysroot=DIR  look for programs and libraries below DIR\n"
    "  -h, --help         this text; the keys are shown by h\n"
    "\n"
    "  pinwarden top -b -n 2 $(pidof redis-server)\n"
    "\n"
    "Exit status: 0; 2 wrong usage, or no terminal (use -b); 3 the process is not\n"
    "recorded, or its trace cannot be read.\n";

/* ---- options ---------------------------------------------------------------------------------------- */

static int parse_delay(struct options *o, const char *value)
{
	char *end;

	o->delay_s = strtod(value, &end);
	if (end == value || *end || !(o->delay_s >= DELAY_LEAST && o->delay_s <= DELAY_MOST))
		return pinw_usage("top", "--delay=%s: expected seconds, 0.1 to 3600", value);
	return 0;
}

static int parse_looks(struct options *o, const char *value)
{
	char *end;

	errno = 0;
	o->looks = strtoul(value, &end, 10);
	if (errno || value[0] < '0' || value[0] > '9' || *end || o->looks == 0)
		return pinw_usage("top", "--looks=%s: expected a number, 1 or more", value);
	return 0;
}

static int parse_filter(struct options *o, const char *value)
{
	if (strlen(value) >= sizeof(o->choice.filter))
		return pinw_usage("top", "--filter=%s: names of threads have at most 15 bytes", value);
	strcpy(o->choice.filter, value);
	return 0;
}

enum { OPTION_SYSROOT = UCHAR_MAX + 1 };

static const struct option long_options[] = {
    {"delay", required_argument, NULL, 'd'},
    {"looks", required_argument, NULL, 'n'},
    {"batch", no_argument, NULL, 'b'},
    {"all", no_argument, NULL, 'a'},
    {"sort", required_argument, NULL, 's'},
    {"filter", required_argument, NULL, 'f'},
    {"sysroot", required_argument, NULL, OPTION_SYSROOT},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int parse_option(struct options *o, int option, char **argv)
{
	switch (option) {
	case 'd':
		return parse_delay(o, optarg);
	case 'n':
		return parse_looks(o, optarg);
	case 's':
		return pinw_top_order_parse(optarg, &o->choice.order)
		           ? 0
		           : pinw_usage("top", "--sort=%s: expected run, wait, migrations, held, tid or name",
		                        optarg);
	case 'f':
		return parse_filter(o, optarg);
	case OPTION_SYSROOT:
		return pinw_sysroot_set("top", optarg);
	case 'b':
		o->batch = true;
		return 0;
	case 'a':
		o->choice.all = true;
		return 0;
	case 'h':
		o->help = true;
		return 0;
	default:
		return pinw_usage_option("top", option, argv, "-d, -n, -b, -a, -s, -f, --sysroot and --help");
	}
}

static int parse_options(struct options *o, int argc, char **argv)
{
	int option, error = 0;

	*o = (struct options){.delay_s = 1};
	optind = 0; /* a fresh start: main may have parsed options of its own */
	opterr = 0;
	while (error == 0 && (option = getopt_long(argc, argv, ":d:n:bas:f:h", long_options, NULL)) != -1)
		error = parse_option(o, option, argv);
	if (error == 0 && argc - optind > 1)
		return pinw_usage("top", "%s is one too many: one process at a time", argv[optind + 1]);
	o->what = optind < argc ? argv[optind] : NULL;
	return error;
}

/* ---- which process -------------------------------------------------------------------------------------- */

struct found {
	struct pinw_live *live;
	unsigned count;
};

static void say_found(const struct pinw_live *l)
{
	size_t len;
	const char *program = pinw_text_program(l->process, &len);

	pinw_say("  pinwarden top %-8u %.*s", l->process->header.self.pid, (int)len, program);
}

static void on_process(void *arg, struct pinw_live *live)
{
	struct found *f = arg;

	if (++f->count == 2) {
		pinw_say("top: several processes are recorded; name one:");
		say_found(f->live);
		pinw_live_free(f->live);
		f->live = NULL;
	}
	if (f->count == 1) {
		f->live = live;
		return;
	}
	say_found(live);
	pinw_live_free(live);
}

static int find_only(struct pinw_live **ret_live)
{
	struct found f = {.live = NULL};

	pinw_live_each(on_process, &f);
	if (f.count == 0)
		pinw_say("top: no process that this user may look at is recorded; start one with: pinwarden "
		         "run -- "
		         "PROGRAM");
	*ret_live = f.live;
	return f.live ? STATUS_OK : f.count ? STATUS_USAGE : STATUS_UNREADABLE;
}

static int open_process(const struct options *o, struct pinw_live **ret_live)
{
	pid_t pid = o->what ? pinw_live_parse_pid(o->what) : 0;

	if (!o->what)
		return find_only(ret_live);
	int error = pid > 0 ? pinw_live_open_pid(pid, ret_live) : pinw_live_open(o->what, ret_live);
	if (error < 0 && pid > 0)
		pinw_live_say_pid("top", o->what, error);
	else if (error == PINW_READ_NOT_REGULAR)
		pinw_say("top: %s: not a trace; one process is shown at a time", o->what);
	else if (error < 0)
		pinw_say("top: %s: %s", o->what, pinw_reader_strerror(error));
	return error < 0 ? STATUS_UNREADABLE : STATUS_OK;
}

/* ---- what comes after ----------------------------------------------------------------------------------- */

static bool is_over(const struct pinw_top *t)
{
	const struct pinw_process *p = t->live->process;

	return p->how != PINW_HOW_RUNNING || p->elsewhere;
}

/* The next image of the process; when it ended, and with `restarts`, the program's next start. Returns whether there is one, which
 * is then shown. */
static bool go_on(struct pinw_top *t, bool restarts)
{
	struct pinw_live *next;

	if (t->live->process->how != PINW_HOW_EXEC && !restarts)
		return false;
	if (pinw_live_find_next(t->live, &next) < 0)
		return false;
	pinw_top_start(t, next);
	pinw_top_look(t);
	return true;
}

/* ---- batch ------------------------------------------------------------------------------------------------- */

static void wait_s(double seconds)
{
	struct timespec left = {.tv_sec = (time_t)seconds};

	left.tv_nsec = (long)((seconds - (double)left.tv_sec) * 1e9);
	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}

static int batch(struct pinw_top *t, const struct options *o)
{
	struct pinw_top_view view = {.choice = o->choice, .delay_s = o->delay_s};

	signal(SIGPIPE, SIG_IGN);
	for (unsigned long i = 0; o->looks == 0 || i < o->looks; i++) {
		if (i)
			wait_s(o->delay_s);
		int error = pinw_top_look(t);
		if (error == 0 && t->live->process->how == PINW_HOW_VIOLENT) {
			wait_s(SETTLE_NS / 1e9);
			error = pinw_top_look(t);
		}
		if (error < 0) {
			pinw_say("top: %s", strerror(-error));
			return STATUS_UNREADABLE;
		}
		go_on(t, false);
		if (i)
			putchar('\n');
		pinw_top_draw(t, &view, stdout);
		if (fflush(stdout) != 0 || ferror(stdout)) {
			pinw_say("top: standard output: %s", strerror(errno));
			return STATUS_USAGE;
		}
		if (is_over(t) && !(t->live->process->how == PINW_HOW_EXEC && t->live->process->alive))
			break;
	}
	return STATUS_OK;
}

/* ---- the terminal -------------------------------------------------------------------------------------------- */

static int draw(struct pinw_top *t, struct pinw_top_view *view)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return -ENOMEM;
	pinw_tty_size(&view->columns, &view->rows);
	pinw_top_draw(t, view, out);
	int error = fclose(out) == 0 ? pinw_tty_write(text, len) : -ENOMEM;
	free(text);
	return error;
}

/* Enter keeps the text, Escape drops it. */
static void type_filter(struct pinw_top_view *view, int key)
{
	char *filter = view->choice.filter;
	size_t len = strlen(filter);

	if (key == '\r' || key == '\n') {
		view->typing = false;
	} else if (key == PINW_KEY_ESCAPE) {
		view->typing = false;
		filter[0] = '\0';
	} else if ((key == 127 || key == '\b') && len) {
		filter[len - 1] = '\0';
	} else if (key >= ' ' && key < 256 && key != 127 && len + 1 < PINW_FILTER_BYTES) {
		filter[len] = (char)key;
		filter[len + 1] = '\0';
	}
}

static bool sort_key(struct pinw_top_choice *choice, int key)
{
	static const char keys[PINW_ORDERS] = {
	    [PINW_ORDER_RUN] = 'R',  [PINW_ORDER_WAIT] = 'W', [PINW_ORDER_MIGRATIONS] = 'M',
	    [PINW_ORDER_HELD] = 'H', [PINW_ORDER_TID] = 'T',  [PINW_ORDER_NAME] = 'N',
	};

	for (unsigned i = 0; i < PINW_ORDERS; i++)
		if (key == keys[i]) {
			choice->order = (enum pinw_top_order)i;
			return true;
		}
	return false;
}

static bool scroll_key(struct pinw_top_view *view, int key)
{
	size_t page = view->rows > 12 ? view->rows - 10 : 1, old = view->scroll;

	switch (key) {
	case PINW_KEY_UP:
	case 'k':
		view->scroll -= view->scroll > 0;
		return true;
	case PINW_KEY_DOWN:
	case 'j':
		view->scroll++;
		return true;
	case PINW_KEY_PAGE_UP:
		view->scroll = old > page ? old - page : 0;
		return true;
	case PINW_KEY_PAGE_DOWN:
		view->scroll += page;
		return true;
	case PINW_KEY_HOME:
		view->scroll = 0;
		return true;
	case PINW_KEY_END:
		view->scroll = SIZE_MAX / 2;
		return true;
	default:
		return false;
	}
}

enum then { THEN_DRAW, THEN_LOOK, THEN_QUIT };

static enum then plain_key(struct pinw_top_view *view, int key)
{
	if (sort_key(&view->choice, key) || scroll_key(view, key))
		return THEN_DRAW;
	switch (key) {
	case 'q':
		return THEN_QUIT;
	case 'h':
	case '?':
		view->help = true;
		return THEN_DRAW;
	case 'r':
		view->choice.reverse = !view->choice.reverse;
		return THEN_DRAW;
	case 'a':
		view->choice.all = !view->choice.all;
		return THEN_LOOK;
	case 'f':
	case '/':
		view->typing = true;
		return THEN_DRAW;
	case 'v':
		view->where = !view->where;
		return THEN_DRAW;
	case 'p':
		view->paused = !view->paused;
		return THEN_DRAW;
	case '+':
		view->delay_s = view->delay_s < DELAY_MOST / 2 ? 2 * view->delay_s : DELAY_MOST;
		return THEN_DRAW;
	case '-':
		view->delay_s = view->delay_s > 2 * DELAY_LEAST ? view->delay_s / 2 : DELAY_LEAST;
		return THEN_DRAW;
	case ' ':
		return THEN_LOOK;
	default:
		return THEN_DRAW;
	}
}

static enum then on_key(struct pinw_top_view *view, int key)
{
	if (key == PINW_KEY_STOP)
		return THEN_QUIT;
	if (key == PINW_KEY_REDRAW)
		return THEN_DRAW;
	if (view->help) {
		view->help = false;
		return key == 'q' ? THEN_QUIT : THEN_DRAW;
	}
	if (view->typing) {
		type_filter(view, key);
		return THEN_DRAW;
	}
	return plain_key(view, key);
}

static void look(struct pinw_top *t, struct pinw_top_view *view, bool restarts)
{
	t->all = view->choice.all;
	int error = pinw_top_look(t);

	view->message = error < 0 ? strerror(-error) : NULL;
	if (!is_over(t) || go_on(t, restarts))
		return;
	view->message = restarts ? "it ended; its next start is waited for; q quit  h help" : NULL;
}

/* Restarts are followed when it was seen running: an old trace is looked at for its own sake. */
static int interact(struct pinw_top *t, const struct options *o)
{
	struct pinw_top_view view = {
	    .choice = o->choice, .delay_s = o->delay_s, .color = pinw_color_wanted(PINW_COLOR_AUTO, NULL)};
	bool restarts = false;
	unsigned long looks = 0;
	enum then then = THEN_LOOK;
	uint64_t next = 0;

	while (then != THEN_QUIT && (o->looks == 0 || looks <= o->looks)) {
		if (then == THEN_LOOK) {
			if (++looks > o->looks && o->looks)
				break;
			look(t, &view, restarts);
			restarts |= !is_over(t);
			next = pinw_monotonic_ns() + (uint64_t)(view.delay_s * 1e9);
		}
		if (draw(t, &view) < 0)
			break;
		int key = pinw_tty_wait(view.paused ? UINT64_MAX : next);
		then = key == PINW_KEY_NONE ? (view.paused ? THEN_DRAW : THEN_LOOK) : on_key(&view, key);
	}
	pinw_tty_close();
	int number = pinw_tty_signal();
	if (number && number != SIGINT) {
		signal(number, SIG_DFL);
		sigset_t only;
		sigemptyset(&only);
		sigaddset(&only, number);
		sigprocmask(SIG_UNBLOCK, &only, NULL);
		raise(number);
	}
	return STATUS_OK;
}

int pinw_cmd_top(int argc, char **argv)
{
	struct pinw_top top = {.look_ns = 0};
	struct pinw_live *live;
	struct options o;

	if (parse_options(&o, argc, argv) < 0)
		return STATUS_USAGE;
	if (o.help)
		return fputs(help_text, stdout) < 0 || fflush(stdout) != 0 ? STATUS_USAGE : STATUS_OK;
	int status = open_process(&o, &live);
	if (status != STATUS_OK)
		return status;
	pinw_live_raise_limit();
	pinw_top_start(&top, live);
	top.all = o.choice.all;
	int error = o.batch ? 0 : pinw_tty_open();
	if (error == -ENOTTY)
		pinw_usage("top", "%s", "standard input or output is no terminal: use -b");
	else if (error == -ENOTSUP)
		pinw_usage("top", "%s", "this terminal cannot be drawn on (TERM): use -b");
	else if (error < 0)
		pinw_say("top: the terminal: %s", strerror(-error));
	status = error < 0 ? STATUS_USAGE : o.batch ? batch(&top, &o) : interact(&top, &o);
	pinw_top_done(&top);
	return status;
}
