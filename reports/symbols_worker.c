/* SPDX-License-Identifier: MIT
 *
 * symbols.h for everyone else: a cache, and behind it the ELF library in a process of its own. The
 * files a trace names may be anything; a library that crashes on one, eats the memory or never comes
 * back then costs that one module its names, and not the report. The worker is forked with the first
 * lookup, answers one request at a time over a socket, and is replaced when it dies.
 */
#include "reports/symbols.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "preload/trace_format.h"
#include "reports/say.h"
#include "reports/symbols_engine.h"
#include "reports/sysroot.h"
#include "reports/table.h"

#define FRAMES_MAX 64u
#define BUILD_ID_MAX 64u
#define STRING_MAX 2048u /* longer names are cut */
#define ANSWER_WAIT_MS 60000 /* the first lookup in a browser reads gigabytes */
#define SILENT_MAX 2u /* a trace can name any number of files that take as long */
#define WORKER_DATA_BYTES (UINT64_C(6) << 30)

struct request {
	uint64_t address;
	uint32_t build_id_len;
	uint8_t build_id[BUILD_ID_MAX];
	char path[PINW_PATH_MAX + 1];
};

/* An answer: this, then `count` struct wire_frame, then the strings. */
struct answer {
	int32_t error;
	int32_t server_error; /* pinw_engine_server_error() */
	uint32_t count;
	uint32_t string_bytes;
};

struct wire_frame {
	uint64_t function_offset;
	uint32_t line;
	uint16_t function_len; /* NUL included; 0 = unknown */
	uint16_t file_len;
	uint16_t symbols_len;
	uint8_t inlined;
	uint8_t pad[5];
};

struct result {
	int error;
	size_t count;
	struct pinw_symbol_frame *frames; /* strings follow in the same allocation */
};

struct module {
	char *path;
	uint8_t build_id[BUILD_ID_MAX];
	size_t build_id_len;
	bool poisoned; /* the worker died of it */
	struct pinw_table results; /* struct result, by address */
};

struct pinw_symbols {
	struct pinw_table modules; /* struct module, by hash of path and build id */
	pid_t worker; /* 0 = none */
	unsigned silent; /* times that one did not answer */
	int fd;
};

/* ---- both sides --------------------------------------------------------------------------- */

/* Reads exactly `len` bytes, waiting at most wait_ms (-1: for ever) for each part. Returns 0, -EPIPE at
 * the end, or -errno. */
static int receive(int fd, void *buf, size_t len, int wait_ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	size_t done = 0;

	while (done < len) {
		int ready = poll(&p, 1, wait_ms);
		ssize_t n;

		if (ready == 0)
			return -ETIMEDOUT;
		if (ready < 0 && errno == EINTR)
			continue;
		n = recv(fd, (char *)buf + done, len - done, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n == 0 ? -EPIPE : -errno;
		done += (size_t)n;
	}
	return 0;
}

static int send_all(int fd, const void *buf, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = send(fd, (const char *)buf + done, len - done, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return 0;
}

/* ---- the worker ------------------------------------------------------------------------------ */

static void limit(int what, rlim_t value)
{
	struct rlimit r = {value, value};

	setrlimit(what, &r);
}

/* Whatever a hostile file makes of this process, it is small, dies first and leaves no core. */
static void confine_worker(int fd)
{
	int oom = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (oom >= 0) {
		if (write(oom, "1000", 4) < 0)
			errno = 0; /* only a precaution */
		close(oom);
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	limit(RLIMIT_CORE, 0);
#if !defined(__SANITIZE_ADDRESS__)
	limit(RLIMIT_DATA, WORKER_DATA_BYTES);
#endif
	signal(SIGINT, SIG_IGN); /* Ctrl-C is for the program, which closes the socket */
	signal(SIGPIPE, SIG_IGN);
	if (fd != 3)
		dup2(fd, 3);
	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	close_range(4, ~0U, 0);
}

static uint16_t wire_string(FILE *out, const char *text)
{
	size_t n = text ? strnlen(text, STRING_MAX - 1) : 0;

	if (!text)
		return 0;
	fwrite(text, 1, n, out);
	fputc('\0', out);
	return (uint16_t)(n + 1);
}

static int send_answer(int fd, int error, int server_error, const struct pinw_symbol_frame *frames,
                       size_t count)
{
	struct answer head = {.error = error, .server_error = server_error, .count = (uint32_t)count};
	struct wire_frame wire[FRAMES_MAX] = {0};
	char *strings = NULL;
	size_t bytes = 0;
	FILE *out = open_memstream(&strings, &bytes);
	int r = -ENOMEM;

	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < count; i++) {
		wire[i] = (struct wire_frame){.function_offset = frames[i].function_offset,
		                              .line = frames[i].line,
		                              .function_len = wire_string(out, frames[i].function),
		                              .file_len = wire_string(out, frames[i].file),
		                              .symbols_len = wire_string(out, frames[i].symbols),
		                              .inlined = frames[i].inlined};
	}
	if (fclose(out) == 0) {
		head.string_bytes = (uint32_t)bytes;
		r = send_all(fd, &head, sizeof(head));
		if (r == 0)
			r = send_all(fd, wire, count * sizeof(*wire));
		if (r == 0)
			r = send_all(fd, strings, bytes);
	}
	free(strings);
	return r;
}

static void work(int fd)
{
	struct pinw_engine *engine;
	struct request req;

	confine_worker(fd);
	fd = 3;
	if (pinw_engine_new(&engine) < 0)
		return;
	while (receive(fd, &req, sizeof(req), -1) == 0) {
		struct pinw_symbol_frame frames[FRAMES_MAX];
		size_t count = 0;
		int r = pinw_engine_lookup(engine, req.path, req.build_id, req.build_id_len, req.address,
		                           frames, FRAMES_MAX, &count);

		if (send_answer(fd, r, pinw_engine_server_error(engine), frames, r == 0 ? count : 0) < 0)
			break;
	}
	pinw_engine_free(engine);
}

/* ---- the client ------------------------------------------------------------------------------ */

static void stop_worker(struct pinw_symbols *s)
{
	if (!s->worker)
		return;
	close(s->fd);
	kill(s->worker, SIGKILL);
	while (waitpid(s->worker, NULL, 0) < 0 && errno == EINTR)
		;
	s->worker = 0;
	s->fd = -1;
}

static int start_worker(struct pinw_symbols *s)
{
	int fds[2];
	pid_t pid;

	if (s->worker)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -ENOMEM;
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		work(fds[1]);
		_exit(0);
	}
	close(fds[1]);
	if (pid < 0) {
		close(fds[0]);
		return -ENOMEM;
	}
	s->worker = pid;
	s->fd = fds[0];
	return 0;
}

/* Turns an answer's frames and strings into a result. Nothing in them is trusted. */
static int unpack(const struct answer *head, const struct wire_frame *wire, const char *strings,
                  struct result *ret)
{
	struct pinw_symbol_frame *frames = malloc(head->count * sizeof(*frames) + head->string_bytes);
	char *text, *end;

	if (!frames)
		return -ENOMEM;
	text = (char *)(frames + head->count);
	end = text + head->string_bytes;
	memcpy(text, strings, head->string_bytes);
	for (size_t i = 0; i < head->count; i++) {
		const struct wire_frame *w = &wire[i];
		size_t names = (size_t)w->function_len + w->file_len;
		size_t need = names + w->symbols_len;

		if ((size_t)(end - text) < need || (w->function_len && text[w->function_len - 1]) ||
		    (w->file_len && text[names - 1]) || (w->symbols_len && text[need - 1])) {
			free(frames);
			return -EPROTO;
		}
		frames[i] = (struct pinw_symbol_frame){.function = w->function_len ? text : NULL,
		                                       .function_offset = w->function_offset,
		                                       .file = w->file_len ? text + w->function_len : NULL,
		                                       .line = w->line,
		                                       .symbols = w->symbols_len ? text + names : NULL,
		                                       .inlined = w->inlined != 0};
		text += need;
	}
	ret->frames = frames;
	ret->count = head->count;
	return 0;
}

/* Once for all lookups of the program: those that follow, of whatever worker, do without. */
static void say_server_error(int error)
{
	if (!error || !pinw_sysroot_servers())
		return;
	pinw_sysroot_allow_servers(false);
	pinw_say("no debug information from DEBUGINFOD_URLS: %s; the servers are not asked again",
	         error == -ELIBACC ? "libdebuginfod.so.1 is not installed" : strerror(-error));
}

/* One question, one answer. A negative return means that the worker is not to be used any more. */
static int ask(struct pinw_symbols *s, const struct request *req, struct result *ret)
{
	struct wire_frame wire[FRAMES_MAX] = {0};
	struct answer head = {0};
	char *strings;
	int r = send_all(s->fd, req, sizeof(*req));

	if (r == 0)
		r = receive(s->fd, &head, sizeof(head), ANSWER_WAIT_MS);
	if (r < 0)
		return r;
	say_server_error(head.server_error);
	if (head.count > FRAMES_MAX || head.string_bytes > 3 * FRAMES_MAX * STRING_MAX ||
	    (head.error == 0 && !head.count))
		return -EPROTO;
	if (head.error == -ENOMEM) /* a fresh worker may have room for the next module */
		return -ENOMEM;
	if (head.error) {
		ret->error = head.error;
		return 0;
	}
	r = receive(s->fd, wire, head.count * sizeof(*wire), ANSWER_WAIT_MS);
	if (r < 0)
		return r;
	strings = malloc((size_t)head.string_bytes + 1);
	if (!strings)
		return -ENOMEM;
	r = receive(s->fd, strings, head.string_bytes, ANSWER_WAIT_MS);
	if (r == 0)
		r = unpack(&head, wire, strings, ret);
	free(strings);
	return r;
}

static int resolve(struct pinw_symbols *s, struct module *m, uint64_t address, struct result *ret)
{
	struct request req = {.address = address, .build_id_len = (uint32_t)m->build_id_len};
	int r;

	if (m->poisoned || s->silent == SILENT_MAX) {
		ret->error = -ENODATA;
		return 0;
	}
	memcpy(req.build_id, m->build_id, m->build_id_len);
	memcpy(req.path, m->path, strlen(m->path) + 1);
	/* Twice: the first worker may have died of something else. */
	for (int attempt = 0; attempt < 2; attempt++) {
		r = start_worker(s);
		if (r < 0)
			return r;
		r = ask(s, &req, ret);
		if (r == 0)
			return 0;
		stop_worker(s);
		if (r == -ETIMEDOUT) {
			s->silent++;
			break;
		}
	}
	if (s->silent == SILENT_MAX)
		pinw_say("reading %s takes too long, and so did another: no more names are looked for",
		         m->path);
	m->poisoned = true;
	ret->error = -ENODATA;
	return 0;
}

/* ---- the cache ------------------------------------------------------------------------------- */

static uint64_t hash(uint64_t h, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * UINT64_C(0x100000001b3);
	return h;
}

/* Finds or adds a module; a key that another one has already is passed over. NULL when out of memory. */
static struct module *get_module(struct pinw_symbols *s, const char *path, const uint8_t *build_id,
                                 size_t len)
{
	uint64_t key = hash(hash(UINT64_C(0xcbf29ce484222325), path, strlen(path) + 1), build_id, len);

	for (;; key++) {
		bool fresh;
		struct module *m = pinw_table_get(&s->modules, key, &fresh);

		if (!m)
			return NULL;
		if (m->path && strcmp(m->path, path) == 0 && m->build_id_len == len &&
		    memcmp(m->build_id, build_id, len) == 0)
			return m;
		if (m->path)
			continue;
		m->path = strdup(path);
		if (!m->path)
			return NULL; /* the row stays empty and is used next time */
		memcpy(m->build_id, build_id, len);
		m->build_id_len = len;
		pinw_table_init(&m->results, sizeof(struct result));
		return m;
	}
}

int pinw_symbols_open(struct pinw_symbols **ret)
{
	struct pinw_symbols *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->fd = -1;
	pinw_table_init(&s->modules, sizeof(struct module));
	*ret = s;
	return 0;
}

void pinw_symbols_free(struct pinw_symbols *s)
{
	if (!s)
		return;
	stop_worker(s);
	for (size_t i = 0; i < s->modules.count; i++) {
		struct module *m = pinw_table_at(&s->modules, i);

		for (size_t j = 0; m->path && j < m->results.count; j++)
			free(((struct result *)pinw_table_at(&m->results, j))->frames);
		pinw_table_done(&m->results);
		free(m->path);
	}
	pinw_table_done(&s->modules);
	free(s);
}

int pinw_symbols_lookup(struct pinw_symbols *s, const char *module_path, const uint8_t *build_id,
                        size_t build_id_len, uint64_t module_address, struct pinw_symbol_frame *ret_frames,
                        size_t max, size_t *ret_count)
{
	static const uint8_t none[1];
	struct module *m;
	struct result *result;
	size_t count;
	bool fresh;
	int r;

	if (module_path[0] != '/' || strlen(module_path) > PINW_PATH_MAX)
		return -ENOENT;
	if (build_id_len > BUILD_ID_MAX)
		return -ESTALE;
	if (max == 0)
		return -ENODATA;
	m = get_module(s, module_path, build_id_len ? build_id : none, build_id_len);
	result = m ? pinw_table_get(&m->results, module_address, &fresh) : NULL;
	if (!result)
		return -ENOMEM;
	if (!result->error && !result->count) {
		r = resolve(s, m, module_address, result);
		if (r < 0)
			return r;
	}
	if (result->error)
		return result->error;
	count = result->count < max ? result->count : max;
	memcpy(ret_frames, result->frames, count * sizeof(*ret_frames));
	*ret_count = count;
	return 0;
}
