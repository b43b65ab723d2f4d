/* SPDX-License-Identifier: MIT
 *
 * What functions are, by their names as reports show them. Pure.
 *
 * Which ones serve requests is what "per request" means when no policy says it; the list is in pinwarden-report(1):
 *
 *     servers     net/http, its HTTP/2, net/rpc, gRPC, fasthttp, nginx: the function that calls handlers
 *     interfaces  ServeHTTP, ServeDNS
 *     words       *Handler, *_handler, but no SignalHandler, NewHandler, ...; handle_request, serveConnection, ...
 *
 * A closure, an inlined or generic form and a copy made by the compiler count as the function they are of.
 */
#ifndef PINW_REPORTS_FUNCTIONS_H
#define PINW_REPORTS_FUNCTIONS_H

#include <stdbool.h>
#include <stddef.h>

bool pinw_function_is_handler(const char *function);

/* Part of a runtime or of the C library, in the names of functions: of no interest as the place of a call. */
bool pinw_function_is_runtime(const char *function);

/* Runs code that has no frames of its own: what it calls cannot be told. */
bool pinw_function_is_interpreter(const char *function);

/* The function that this one is, or is a part of: "main.f" of "main.f.func1". The caller frees it; NULL when out of memory. */
char *pinw_function_owner(const char *function);

#endif
