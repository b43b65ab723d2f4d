/* SPDX-License-Identifier: MIT
 *
 * A small TCP server on loopback, one thread for each connection, and its client. A request is one
 * line of text, so is its reply. What a request means is the handler's business: the examples differ
 * only there.
 */
#ifndef PINW_EXAMPLES_LOOPBACK_H
#define PINW_EXAMPLES_LOOPBACK_H

#include <stddef.h>

#define LOOPBACK_LINE 128 /* longest line, its end included */

/* Answers one request: writes the reply, NUL terminated and without an end of line. Called in the
 * connection's own thread. */
typedef void (*loopback_handler)(const char *request, char *reply, size_t size, void *context);

struct loopback_server;

/* Listens on a free port of 127.0.0.1 and serves in a thread of its own. NULL: errno says why. */
struct loopback_server *loopback_start(loopback_handler handler, void *context);
int loopback_port(const struct loopback_server *server);

/* Stops listening, waits for every connection's thread and frees the server. */
void loopback_stop(struct loopback_server *server);

/* One connection, one request, its reply. Returns 0 or an errno value. */
int loopback_ask(int port, const char *request, char *reply, size_t size);

#endif
