/* SPDX-License-Identifier: MIT */
#include "examples/common/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct loopback_server {
	loopback_handler handler;
	void *context;
	int listener;
	int port;
	pthread_t acceptor;
	pthread_mutex_t lock;
	struct connection *finished; /* threads that are done and wait to be joined */
	unsigned open;
	pthread_cond_t changed;
};

struct connection {
	struct loopback_server *server;
	struct connection *next;
	pthread_t thread;
	int fd;
};

/* ---- lines ------------------------------------------------------------------------ */

/* Reads up to the end of a line, which is cut off. Returns false when the peer left before. */
static bool read_line(int fd, char *line, size_t size)
{
	size_t len = 0;

	while (len + 1 < size) {
		ssize_t n = read(fd, line + len, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		if (line[len] == '\n')
			break;
		len++;
	}
	line[len] = '\0';
	return true;
}

static bool write_line(int fd, const char *text)
{
	char line[LOOPBACK_LINE + 1];
	int len = snprintf(line, sizeof(line), "%.*s\n", LOOPBACK_LINE - 1, text);

	for (int done = 0; done < len;) {
		ssize_t n = send(fd, line + done, (size_t)(len - done), MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (int)n;
	}
	return true;
}

/* ---- the server -------------------------------------------------------------------- */

static void *serve_connection(void *arg)
{
	struct connection *c = arg;
	struct loopback_server *server = c->server;
	char request[LOOPBACK_LINE], reply[LOOPBACK_LINE] = "";

	if (read_line(c->fd, request, sizeof(request))) {
		server->handler(request, reply, sizeof(reply), server->context);
		write_line(c->fd, reply);
	}
	close(c->fd);
	pthread_mutex_lock(&server->lock);
	c->next = server->finished;
	server->finished = c;
	server->open--;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
	return NULL;
}

/* Joins what has finished, so that a long-lived server keeps no dead threads. */
static void reap(struct loopback_server *server)
{
	struct connection *c, *next;

	pthread_mutex_lock(&server->lock);
	c = server->finished;
	server->finished = NULL;
	pthread_mutex_unlock(&server->lock);
	for (; c; c = next) {
		next = c->next;
		pthread_join(c->thread, NULL);
		free(c);
	}
}

static void start_connection(struct loopback_server *server, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	int error = ENOMEM;

	if (c) {
		*c = (struct connection){.server = server, .fd = fd};
		pthread_mutex_lock(&server->lock);
		server->open++;
		/* Created under the lock: the thread cannot report itself finished before c->thread is set. */
		error = pthread_create(&c->thread, NULL, serve_connection, c);
		if (error)
			server->open--;
		pthread_mutex_unlock(&server->lock);
	}
	if (!error)
		return;
	fprintf(stderr, "connection refused: %s\n", strerror(error));
	write_line(fd, "busy");
	close(fd);
	free(c);
}

static void *accept_all(void *arg)
{
	struct loopback_server *server = arg;

	for (;;) {
		int fd = accept(server->listener, NULL, NULL);

		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return NULL; /* shut down by loopback_stop */
		reap(server);
		start_connection(server, fd);
	}
}

static int listen_on_loopback(int *ret_port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (bind(fd, (struct sockaddr *)&address, len) == 0 && listen(fd, SOMAXCONN) == 0 &&
	    getsockname(fd, (struct sockaddr *)&address, &len) == 0) {
		*ret_port = ntohs(address.sin_port);
		return fd;
	}
	close(fd);
	return -1;
}

struct loopback_server *loopback_start(loopback_handler handler, void *context)
{
	struct loopback_server *server = calloc(1, sizeof(*server));
	int error;

	if (!server)
		return NULL;
	server->handler = handler;
	server->context = context;
	pthread_mutex_init(&server->lock, NULL);
	pthread_cond_init(&server->changed, NULL);
	server->listener = listen_on_loopback(&server->port);
	error = server->listener < 0 ? errno : pthread_create(&server->acceptor, NULL, accept_all, server);
	if (!error)
		return server;
	if (server->listener >= 0)
		close(server->listener);
	free(server);
	errno = error;
	return NULL;
}

int loopback_port(const struct loopback_server *server)
{
	return server->port;
}

void loopback_stop(struct loopback_server *server)
{
	shutdown(server->listener, SHUT_RDWR); /* wakes accept() */
	pthread_join(server->acceptor, NULL);
	close(server->listener);
	pthread_mutex_lock(&server->lock);
	while (server->open)
		pthread_cond_wait(&server->changed, &server->lock);
	pthread_mutex_unlock(&server->lock);
	reap(server);
	pthread_cond_destroy(&server->changed);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

/* ---- the client --------------------------------------------------------------------- */

int loopback_ask(int port, const char *request, char *reply, size_t size)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
	                              .sin_port = htons((uint16_t)port),
	                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error = 0;

	if (fd < 0)
		return errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
		error = errno;
	else if (!write_line(fd, request))
		error = EPIPE;
	else if (!read_line(fd, reply, size))
		error = ECONNRESET;
	close(fd);
	return error;
}
