/* SPDX-License-Identifier: MIT */
#include "reports/tty.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "reports/process.h"
#include "reports/say.h"

/* Alternate screen, cleared, no cursor; and all of it undone, colours too. */
static const char enter[] = "\033[?1049h\033[?25l\033[2J";
static const char leave[] = "\033[0m\033[?25h\033[?1049l";

static struct {
	struct termios before;
	sigset_t outside; /* the mask of signals while it waits */
	volatile sig_atomic_t taken; /* what the terminal shows is ours */
	volatile sig_atomic_t ended_by; /* signal */
	volatile sig_atomic_t suspend, resumed, redraw;
	bool hungup;
	int unread; /* a byte that was read, and is the next key */
} tty = {.unread = -1};

/* ---- taking and giving back -------------------------------------------------------------------------- */

/* The terminal sends Ctrl-C and Ctrl-Z as signals still. */
static int take(void)
{
	struct termios raw = tty.before;

	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL);
	raw.c_cc[VMIN] = 0;
	raw.c_cc[VTIME] = 0;
	tty.taken = 1;
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0) {
		tty.taken = 0;
		return -errno;
	}
	pinw_tty_write(enter, sizeof(enter) - 1);
	return 0;
}

/* Nothing here but what a signal handler may do. */
void pinw_tty_close(void)
{
	int error = errno;

	if (tty.taken) {
		tty.taken = 0;
		pinw_tty_write(leave, sizeof(leave) - 1);
		tcsetattr(STDIN_FILENO, TCSANOW, &tty.before);
	}
	errno = error;
}

/* ---- signals ---------------------------------------------------------------------------------------------- */

static void on_end(int number)
{
	tty.ended_by = number;
}

static void on_suspend(int number)
{
	(void)number;
	tty.suspend = 1;
}

static void on_resume(int number)
{
	(void)number;
	tty.resumed = 1;
}

static void on_resize(int number)
{
	(void)number;
	tty.redraw = 1;
}

/* Of whatever else ends a process. It acts as it would have: the handler is gone by now. */
static void on_crash(int number)
{
	pinw_tty_close();
	raise(number);
}

static void handle(const int *signals, size_t count, void (*handler)(int), int flags, sigset_t *blocked)
{
	struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

	for (size_t i = 0; i < count; i++) {
		sigaction(signals[i], &action, NULL);
		if (blocked)
			sigaddset(blocked, signals[i]);
	}
}

#define HANDLE(handler, flags, blocked, ...)                                                                 \
	handle((const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int), handler, flags, \
	       blocked)

/* Blocked but while it waits, so that none is lost between a look at a flag and the wait. */
static void catch_signals(void)
{
	sigset_t blocked;

	sigemptyset(&blocked);
	HANDLE(on_end, 0, &blocked, SIGINT, SIGTERM, SIGHUP);
	HANDLE(on_suspend, 0, &blocked, SIGTSTP);
	HANDLE(on_resume, 0, &blocked, SIGCONT);
	HANDLE(on_resize, 0, &blocked, SIGWINCH);
	HANDLE(on_crash, SA_RESETHAND | SA_NODEFER, NULL, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGQUIT,
	       SIGSYS, SIGTRAP, SIGXCPU, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO);
	signal(SIGPIPE, SIG_IGN);
	sigprocmask(SIG_BLOCK, &blocked, &tty.outside);
	sigdelset(&tty.outside, SIGTSTP);
}

int pinw_tty_open(void)
{
	const char *terminal = getenv("TERM");

	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
		return -ENOTTY;
	if (!terminal || !*terminal || strcmp(terminal, "dumb") == 0)
		return -ENOTSUP;
	if (tcgetattr(STDIN_FILENO, &tty.before) < 0)
		return -errno;
	catch_signals();
	atexit(pinw_tty_close);
	return take();
}

int pinw_tty_signal(void)
{
	return tty.ended_by;
}

/* The shell gets its terminal back; what stops it is the signal itself. */
static void suspend(void)
{
	struct sigaction action = {.sa_handler = SIG_DFL}, ours;
	sigset_t only, before;

	pinw_tty_close();
	sigaction(SIGTSTP, &action, &ours);
	sigemptyset(&only);
	sigaddset(&only, SIGTSTP);
	raise(SIGTSTP);
	sigprocmask(SIG_UNBLOCK, &only, &before); /* here it stands until it goes on */
	sigprocmask(SIG_SETMASK, &before, NULL);
	sigaction(SIGTSTP, &ours, NULL);
}

/* After a stop by others the shell may have changed the terminal. */
static void retake(void)
{
	tty.suspend = tty.resumed = 0;
	tty.redraw = 1;
	if (take() < 0)
		tty.hungup = true;
}

/* ---- reading and writing ----------------------------------------------------------------------------------- */

void pinw_tty_size(unsigned *ret_columns, unsigned *ret_rows)
{
	struct winsize size;

	*ret_columns = 80;
	*ret_rows = 24;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col && size.ws_row) {
		*ret_columns = size.ws_col;
		*ret_rows = size.ws_row;
	}
}

int pinw_tty_write(const char *text, size_t len)
{
	return pinw_write_all(STDOUT_FILENO, text, len);
}

static int read_byte(void)
{
	unsigned char byte;
	ssize_t n = read(STDIN_FILENO, &byte, 1);

	return n == 1 ? byte : -1;
}

static int final_key(int last, int number)
{
	switch (last) {
	case 'A':
		return PINW_KEY_UP;
	case 'B':
		return PINW_KEY_DOWN;
	case 'H':
		return PINW_KEY_HOME;
	case 'F':
		return PINW_KEY_END;
	case '~':
		return number == 5                  ? PINW_KEY_PAGE_UP
		       : number == 6                ? PINW_KEY_PAGE_DOWN
		       : number == 1 || number == 7 ? PINW_KEY_HOME
		       : number == 4 || number == 8 ? PINW_KEY_END
		                                    : PINW_KEY_NONE;
	default:
		return PINW_KEY_NONE;
	}
}

/* The next byte of what one key sends, -1 when none comes. */
static int read_next(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&in, 1, 50) > 0 ? read_byte() : -1;
}

/* What follows an escape comes with it; alone, or before what no key sends, it is the key. */
static int read_escape(void)
{
	int number = 0, c = read_next();

	if (c != '[' && c != 'O') {
		tty.unread = c;
		return PINW_KEY_ESCAPE;
	}
	while ((c = read_next()) >= 0 && c < '@')
		number = c >= '0' && c <= '9' && number < 1000 ? 10 * number + c - '0' : number;
	return final_key(c, number);
}

static int read_key(void)
{
	int c = tty.unread >= 0 ? tty.unread : read_byte();

	tty.unread = -1;
	if (c < 0) {
		tty.hungup = true;
		return PINW_KEY_STOP;
	}
	return c == '\033' ? read_escape() : c;
}

int pinw_tty_wait(uint64_t until_ns)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
	struct timespec left = {0};
	uint64_t now_ns = pinw_monotonic_ns();

	if (until_ns > now_ns && tty.unread < 0) {
		left.tv_sec = (time_t)((until_ns - now_ns) / 1000000000u);
		left.tv_nsec = (long)((until_ns - now_ns) % 1000000000u);
	}
	int ready = ppoll(&in, 1, &left, &tty.outside);
	if (tty.suspend)
		suspend();
	if (tty.suspend || tty.resumed)
		retake();
	if (tty.ended_by || tty.hungup)
		return PINW_KEY_STOP;
	if (tty.redraw) {
		tty.redraw = 0;
		return PINW_KEY_REDRAW;
	}
	if (ready < 0)
		return errno == EINTR ? PINW_KEY_NONE : PINW_KEY_STOP;
	return ready || tty.unread >= 0 ? read_key() : PINW_KEY_NONE;
}
