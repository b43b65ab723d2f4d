/* SPDX-License-Identifier: MIT
 *
 * The bug of every per-request pin: a handler pins the thread that serves the request, "for safety", because a
 * library it calls once wanted one thread (question 6 of any interview about pinning). Each request takes a thread
 * out of the scheduler's hands; the early return for an empty request and the missing release at the end leave it
 * pinned until it ends. Here each of eight requests ends a thread with its pin open: eight exit-while-pinned leaks
 * with one stack, which runs through handle_request.
 *
 *   make examples
 *   build/pinwarden run -- build/examples/handler_pins                   what leaks, and where it was pinned
 *   build/pinwarden run -p examples/policies/handler_pins.ini --enforce -- build/examples/handler_pins
 *                                                                        the pin is refused, requests are still answered
 *
 * The cure is single_owner.c: the same server, the same protocol, one pinned thread in all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "examples/common/cpus.h"
#include "examples/common/loopback.h"

#define REQUESTS 8

/* What the library computes: the sum of the squares below n. */
static unsigned long long sum_of_squares(unsigned long n)
{
	unsigned long long sum = 0;

	for (unsigned long i = 0; i < n; i++)
		sum += (unsigned long long)i * i;
	return sum;
}

/* The bug: on a handler's stack, and `before` is never put back. */
static int pin_for_safety(void)
{
	cpu_set_t before;

	return cpus_pin(cpus_nth(0), &before);
}

static void handle_request(const char *request, char *reply, size_t size, void *context)
{
	int error = pin_for_safety();

	(void)context;
	/* A handler that cannot pin answers all the same: the library never needed it. */
	if (*request == '\0')
		snprintf(reply, size, "empty request");
	else
		snprintf(reply, size, "%llu%s", sum_of_squares(strtoul(request, NULL, 10)),
		         error ? " (not pinned)" : "");
}

/* One request after the other, so that the order of replies is the order of requests. */
static int ask_all(int port)
{
	char request[LOOPBACK_LINE], reply[LOOPBACK_LINE];

	for (int i = 1; i <= REQUESTS; i++) {
		int error;

		snprintf(request, sizeof(request), "%d", i * 100);
		if (i == REQUESTS) /* and one that asks for nothing */
			request[0] = '\0';
		error = loopback_ask(port, request, reply, sizeof(reply));
		if (error) {
			fprintf(stderr, "request %d: %s\n", i, strerror(error));
			return 1;
		}
		printf("request %d: %s\n", i, reply);
	}
	return 0;
}

int main(void)
{
	struct loopback_server *server;
	int status;

	cpus_need(2);
	server = loopback_start(handle_request, NULL);
	if (!server) {
		perror("cannot serve");
		return 1;
	}
	status = ask_all(loopback_port(server));
	loopback_stop(server);
	return status;
}
