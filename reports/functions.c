/* SPDX-License-Identifier: MIT */
#include "reports/functions.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "policy/goname.h"
#include "policy/match.h"

#define NAME_MAX_BYTES 512u

/* ---- the last part of a name ------------------------------------------------------------- */

/* Where what ends at `end` with `close` began, NULL when nowhere. */
static const char *opened_at(const char *name, const char *end, char open, char close)
{
	int depth = 0;

	for (const char *p = end; p > name;) {
		p--;
		depth += (*p == close) - (*p == open);
		if (depth == 0)
			return p;
	}
	return NULL;
}

static size_t without_suffix(const char *name, size_t len, const char *suffix)
{
	size_t bytes = strlen(suffix);

	return len > bytes && memcmp(name + len - bytes, suffix, bytes) == 0 ? len - bytes : len;
}

/* "f(int) const" and "f<int>" are f. */
static size_t without_parameters(const char *name, size_t len)
{
	static const char pairs[] = "()<>";

	len = without_suffix(name, len, " const");
	for (const char *pair = pairs; *pair; pair += 2) {
		const char *at =
		    len && name[len - 1] == pair[1] ? opened_at(name, name + len, pair[0], pair[1]) : NULL;
		if (at && at > name)
			len = (size_t)(at - name);
	}
	return len;
}

/* "f.part.0" and "f.cold" are copies of f, or parts of it, that a compiler of C made. */
static size_t without_clones(const char *name, size_t len)
{
	static const char *const words[] = {".part", ".isra", ".cold", ".constprop", ".lto_priv", ".llvm"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t end = len, letters;

		while (end && (isdigit((unsigned char)name[end - 1]) || name[end - 1] == '.'))
			end--;
		letters = without_suffix(name, end, words[i]);
		if (letters < end)
			return without_clones(name, letters);
	}
	return len;
}

/* The last component of `name`, which is cut behind it: "serve" of "net/http.(*conn).serve.func1". */
static const char *last_component(char *name)
{
	struct pinw_goname go;
	size_t len = without_clones(name, strlen(name));

	name[len] = '\0';
	if (pinw_goname_split(name, &go)) {
		name[go.end] = '\0';
		return name + go.last;
	}
	len = without_suffix(name, without_parameters(name, len), "::{{closure}}");
	len = without_parameters(name, len);
	name[len] = '\0';
	const char *at = name + len;
	while (at > name && at[-1] != ':')
		at--;
	return at;
}

/* ---- words ------------------------------------------------------------------------------- */

/* Lower case without underscores and type parameters, as far as there is room. */
static void flatten(const char *text, char *ret, size_t size)
{
	size_t n = 0;

	for (; *text && *text != '[' && n + 1 < size; text++)
		if (*text != '_')
			ret[n++] = (char)tolower((unsigned char)*text);
	ret[n] = '\0';
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), bytes = strlen(end);

	return len >= bytes && strcmp(text + len - bytes, end) == 0;
}

/* Handlers of something else than requests, and functions that make or keep handlers. */
static bool is_other_handler(const char *flat)
{
	static const char *const before[] = {
	    "signal", "sig",   "term",    "segv",      "abort",     "crash",     "fault",
	    "trap",   "panic", "error",   "err",       "fatal",     "failure",   "oom",
	    "nomem",  "exit",  "atexit",  "exception", "terminate", "interrupt", "irq",
	    "timer",  "alarm", "timeout", "atfork",    "fork",      "log",       "thread",
	    "worker", "new",   "make",    "create",    "build",     "get",       "register",
	    "add",    "set",   "install", "init",      "with",      "option",    "unexpected"};
	size_t len = strlen(flat) - strlen("handler");

	for (size_t i = 0; i < sizeof(before) / sizeof(before[0]); i++) {
		size_t bytes = strlen(before[i]);
		if (len >= bytes && memcmp(flat + len - bytes, before[i], bytes) == 0)
			return true;
	}
	return false;
}

/* handle_request, processHTTP, serve_connection, ngx_http_process_request_line, ... */
static bool serves_by_its_words(const char *flat)
{
	static const char *const verbs[] = {"handle", "process", "serve", "dispatch"};
	static const char *const things[] = {"request", "http", "rpc", "connection", "conn", "client"};

	for (size_t v = 0; v < sizeof(verbs) / sizeof(verbs[0]); v++) {
		const char *verb = strstr(flat, verbs[v]);
		for (size_t i = 0; verb && i < sizeof(things) / sizeof(things[0]); i++) {
			size_t len = strlen(verbs[v]);
			if (strncmp(verb + len, things[i], strlen(things[i])) == 0)
				return true;
		}
	}
	return false;
}

/* ---- the questions -------------------------------------------------------------------------- */

static bool matches_any(const char *const *globs, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (pinw_glob_match(globs[i], name))
			return true;
	return false;
}

#define MATCHES(list, name) matches_any(list, sizeof(list) / sizeof((list)[0]), name)

bool pinw_function_is_handler(const char *function)
{
	static const char *const servers[] = {
	    "net/http.(*conn).serve",
	    "*erverConn).runHandler", /* HTTP/2, wherever it lives */
	    "net/rpc.(*service).call",
	    "*google.golang.org/grpc.(*Server).handleStream",
	    "*google.golang.org/grpc.(*Server).process*RPC",
	    "*valyala/fasthttp.(*Server).serveConn",
	    "ngx_http_core_run_phases",
	};
	char name[NAME_MAX_BYTES], flat[NAME_MAX_BYTES];

	if (strlen(function) >= sizeof(name) || pinw_function_is_runtime(function))
		return false;
	strcpy(name, function);
	const char *component = last_component(name);
	if (MATCHES(servers, name) || strcmp(component, "ServeHTTP") == 0 ||
	    strcmp(component, "ServeDNS") == 0)
		return true;
	flatten(component, flat, sizeof(flat));
	if (strcmp(flat, "handler") == 0) /* in C the usual name of a signal's */
		return component > name && component[-1] == '.';
	if (ends_with(flat, "handler"))
		return !is_other_handler(flat);
	return serves_by_its_words(flat);
}

bool pinw_function_is_runtime(const char *function)
{
	static const char *const parts[] = {"runtime.*",
	                                    "runtime/*",
	                                    "start_thread",
	                                    "clone",
	                                    "__clone",
	                                    "clone3",
	                                    "__clone3",
	                                    "_start",
	                                    "__libc_start*",
	                                    "sched_setaffinity*",
	                                    "__sched_setaffinity*",
	                                    "pthread_*",
	                                    "__pthread_*",
	                                    "syscall"};

	return MATCHES(parts, function);
}

bool pinw_function_is_interpreter(const char *function)
{
	static const char *const parts[] = {"_PyEval_*", "PyEval_*",      "JavaCalls::*",  "Interpreter",
	                                    "vm_exec*",  "luaV_execute*", "zend_execute*", "execute_ex"};

	return MATCHES(parts, function);
}

char *pinw_function_owner(const char *function)
{
	char *name = strdup(function);

	if (name)
		last_component(name);
	return name;
}
