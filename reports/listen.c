/* SPDX-License-Identifier: MIT */
#include "reports/listen.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <microhttpd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "reports/process.h"
#include "reports/say.h"

#define CLIENTS_MAX 256u
#define CLIENT_SECONDS 5u /* without a byte */
#define CLIENT_BYTES (32u << 10) /* memory for one, its request's head included */
#define PAGE_NS UINT64_C(1000000000)
#define WAIT_MS 500

/* ---- the library ---------------------------------------------------------------------------------- */

static struct {
	__typeof__(&MHD_start_daemon) start_daemon;
	__typeof__(&MHD_stop_daemon) stop_daemon;
	__typeof__(&MHD_run_wait) run_wait;
	__typeof__(&MHD_create_response_from_buffer) create_response;
	__typeof__(&MHD_add_response_header) add_header;
	__typeof__(&MHD_queue_response) queue_response;
	__typeof__(&MHD_lookup_connection_value) lookup_value;
	__typeof__(&MHD_destroy_response) destroy_response;
} mhd;

static int load(void)
{
	static const char library[] = "libmicrohttpd.so.12";
	const struct {
		const char *name;
		void *to;
	} symbols[] = {
	    {"MHD_start_daemon", &mhd.start_daemon},
	    {"MHD_stop_daemon", &mhd.stop_daemon},
	    {"MHD_run_wait", &mhd.run_wait},
	    {"MHD_create_response_from_buffer", &mhd.create_response},
	    {"MHD_add_response_header", &mhd.add_header},
	    {"MHD_queue_response", &mhd.queue_response},
	    {"MHD_lookup_connection_value", &mhd.lookup_value},
	    {"MHD_destroy_response", &mhd.destroy_response},
	};
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

	for (size_t i = 0; handle && i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *symbol = dlsym(handle, symbols[i].name);
		if (!symbol) {
			pinw_say("metrics: --listen: %s has no %s: it is too old", library, symbols[i].name);
			return -ENOSYS;
		}
		memcpy(symbols[i].to, &symbol, sizeof(symbol));
	}
	if (handle)
		return 0;
	pinw_say("metrics: --listen needs %s: install the Debian package libmicrohttpd12", library);
	return -ENOSYS;
}

/* ---- addresses -------------------------------------------------------------------------------------- */

static bool parse_port(const char *text, in_port_t *ret_port)
{
	char *end;

	if (text[0] < '0' || text[0] > '9')
		return false;
	unsigned long port = strtoul(text, &end, 10);
	*ret_port = htons((in_port_t)port);
	return *end == '\0' && port <= 65535;
}

static int parse_host(const char *host, in_port_t port, union pinw_address *a)
{
	*a = (union pinw_address){.in = {.sin_family = AF_INET, .sin_port = port}};
	if (strcmp(host, "localhost") == 0)
		a->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else if (inet_pton(AF_INET, host, &a->in.sin_addr) != 1)
		return -EINVAL;
	return ntohl(a->in.sin_addr.s_addr) >> 24 == 127 ? 0 : -EACCES;
}

static int parse_host6(const char *host, in_port_t port, union pinw_address *a)
{
	*a = (union pinw_address){.in6 = {.sin6_family = AF_INET6, .sin6_port = port}};
	if (inet_pton(AF_INET6, host, &a->in6.sin6_addr) != 1)
		return -EINVAL;
	return IN6_IS_ADDR_LOOPBACK(&a->in6.sin6_addr) ? 0 : -EACCES;
}

int pinw_listen_parse(const char *text, union pinw_address *ret_address)
{
	const char *colon = strrchr(text, ':');
	union pinw_address a;
	char host[64];
	in_port_t port;
	int error;

	if (!colon || (size_t)(colon - text) >= sizeof(host) || !parse_port(colon + 1, &port))
		return -EINVAL;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	size_t len = strlen(host);
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		error = parse_host6(host + 1, port, &a);
	} else {
		error = host[0] == '\0' || strcmp(host, "*") == 0 ? -EACCES : parse_host(host, port, &a);
	}
	if (error == 0)
		*ret_address = a;
	return error;
}

bool pinw_listen_is_ours(const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];
	char name[64];
	size_t len = host[0] == '[' ? strcspn(host, "]") : strcspn(host, ":");

	if (len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	if (host[0] == '[')
		return host[len] == ']' && inet_pton(AF_INET6, name + 1, address) == 1;
	return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, address) == 1;
}

/* ---- requests ---------------------------------------------------------------------------------------- */

struct server {
	pinw_listen_fn fn;
	void *arg;
	char *page; /* the last one */
	size_t len;
	uint64_t made_ns;
};

/* Returns whether there is one. */
static bool make_page(struct server *s)
{
	char *page = NULL;
	size_t len;

	if (s->page && pinw_monotonic_ns() - s->made_ns < PAGE_NS)
		return true;
	FILE *out = open_memstream(&page, &len);
	if (!out)
		return false;
	s->fn(s->arg, out);
	bool bad = ferror(out) != 0;
	if (fclose(out) != 0 || bad) {
		free(page);
		return false;
	}
	free(s->page);
	s->page = page;
	s->len = len;
	s->made_ns = pinw_monotonic_ns();
	return true;
}

static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *text, size_t len,
                              const char *type)
{
	struct MHD_Response *response =
	    mhd.create_response(len, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);

	if (!response)
		return MHD_NO;
	mhd.add_header(response, "Content-Type", type);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		mhd.add_header(response, "Allow", "GET, HEAD");
	enum MHD_Result result = mhd.queue_response(c, status, response);
	mhd.destroy_response(response);
	return result;
}

static enum MHD_Result answer_words(struct MHD_Connection *c, unsigned status, const char *words)
{
	return answer(c, status, words, strlen(words), "text/plain; charset=utf-8");
}

/* Asked first with the head of a request, then with its body, which nobody wants, then for the answer. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *data_len, void **state)
{
	static int begun;
	struct server *s = arg;

	(void)version;
	(void)data;
	if (!*state) {
		*state = &begun;
		return MHD_YES;
	}
	if (*data_len) {
		*data_len = 0;
		return MHD_YES;
	}
	const char *host = mhd.lookup_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
	if (host && !pinw_listen_is_ours(host))
		return answer_words(
		    c, MHD_HTTP_MISDIRECTED_REQUEST,
		    "Ask for 127.0.0.1, [::1] or localhost: other names are not served here.\n");
	if (strcmp(url, "/metrics") != 0)
		return answer_words(c, MHD_HTTP_NOT_FOUND, "There is only /metrics here.\n");
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return answer_words(c, MHD_HTTP_METHOD_NOT_ALLOWED, "Only GET is answered here.\n");
	if (!make_page(s))
		return answer_words(c, MHD_HTTP_INTERNAL_SERVER_ERROR, "Out of memory.\n");
	return answer(c, MHD_HTTP_OK, s->page, s->len, "text/plain; version=0.0.4; charset=utf-8");
}

/* ---- serving ------------------------------------------------------------------------------------------- */

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	(void)number;
	stopped = 1;
}

static void catch_signals(void)
{
	static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
	struct sigaction action = {.sa_handler = on_signal};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

static int open_socket(const union pinw_address *address, union pinw_address *ret_bound)
{
	static const int yes = 1;
	socklen_t len = address->any.sa_family == AF_INET6 ? sizeof(address->in6) : sizeof(address->in);
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(fd, &address->any, len) < 0 || listen(fd, 64) < 0 ||
	    getsockname(fd, &ret_bound->any, &len) < 0) {
		int error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static void describe(const union pinw_address *a, char *buf, size_t len)
{
	char host[INET6_ADDRSTRLEN] = "";
	bool six = a->any.sa_family == AF_INET6;

	inet_ntop(a->any.sa_family, six ? (const void *)&a->in6.sin6_addr : (const void *)&a->in.sin_addr,
	          host, sizeof(host));
	snprintf(buf, len, six ? "[%s]:%u" : "%s:%u", host,
	         (unsigned)ntohs(six ? a->in6.sin6_port : a->in.sin_port));
}

/* With epoll, as there can be more descriptors than select knows. */
static int serve(int fd, struct server *s)
{
	struct MHD_Daemon *daemon = mhd.start_daemon(
	    MHD_USE_EPOLL, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET, fd,
	    MHD_OPTION_CONNECTION_LIMIT, CLIENTS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, CLIENT_SECONDS,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CLIENT_BYTES, MHD_OPTION_END);

	if (!daemon) {
		close(fd);
		return -ENOMEM;
	}
	while (!stopped && mhd.run_wait(daemon, WAIT_MS) == MHD_YES)
		;
	mhd.stop_daemon(daemon); /* closes fd */
	return stopped ? 0 : -EIO;
}

int pinw_listen(const union pinw_address *address, pinw_listen_fn fn, void *arg)
{
	struct server s = {.fn = fn, .arg = arg};
	union pinw_address bound = {.any = {0}};
	char text[INET6_ADDRSTRLEN + 16];
	int error = load();

	if (error < 0)
		return error;
	int fd = open_socket(address, &bound);
	if (fd < 0) {
		describe(address, text, sizeof(text));
		pinw_say("metrics: --listen %s: %s", text, strerror(-fd));
		return fd;
	}
	describe(&bound, text, sizeof(text));
	catch_signals();
	pinw_say("metrics: http://%s/metrics", text);
	error = serve(fd, &s);
	if (error < 0)
		pinw_say("metrics: --listen %s: %s", text, strerror(-error));
	free(s.page);
	return error;
}
