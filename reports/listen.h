/* SPDX-License-Identifier: MIT
 *
 * A page for Prometheus over HTTP, on loopback and nowhere else: it tells paths and what a program does, and asks nobody who
 * they are. HTTP itself is libmicrohttpd's, which is loaded when first needed: no other command pays for it, and where it is
 * missing only this does not work.
 */
#ifndef PINW_REPORTS_LISTEN_H
#define PINW_REPORTS_LISTEN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

union pinw_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* "127.0.0.1:9464", "[::1]:9464", "localhost:9464"; port 0: any that is free. Returns 0; -EINVAL: not of this form; -EACCES: not
 * loopback. */
int pinw_listen_parse(const char *text, union pinw_address *ret_address);

/* Is this what a request's Host may be? An address or localhost: a browser that was made to believe that some name is on loopback
 * asks for that name, on behalf of the page that made it so. */
bool pinw_listen_is_ours(const char *host);

/* Writes the page. Errors stay in the stream. */
typedef void (*pinw_listen_fn)(void *arg, FILE *out);

/* Serves GET /metrics until SIGTERM, SIGINT or SIGHUP; the page is made anew at most once a second. What goes wrong is said, and
 * where it listens too. Returns 0 after such a signal, else -errno. */
int pinw_listen(const union pinw_address *address, pinw_listen_fn fn, void *arg);

#endif
