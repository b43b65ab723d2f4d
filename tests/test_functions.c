/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "reports/functions.h"

Test(functions, that_servers_call_for_each_request_are_handlers)
{
	static const char *const names[] = {
	    "net/http.(*conn).serve",
	    "net/http.HandlerFunc.ServeHTTP",
	    "net/http.(*http2serverConn).runHandler",
	    "golang.org/x/net/http2.(*serverConn).runHandler",
	    "google.golang.org/grpc.(*Server).processUnaryRPC",
	    "example.com/x/vendor/google.golang.org/grpc.(*Server).handleStream",
	    "net/rpc.(*service).call",
	    "github.com/valyala/fasthttp.(*Server).serveConn",
	    "main.(*server).ServeHTTP",
	    "main.(*server).pinHandler",
	    "main.(*server).pinHandler.func1",
	    "main.(*server).pinHandler.func1.2",
	    "main.(*server).pinHandler.gowrap1",
	    "main.(*server).pinHandler.deferwrap2",
	    "main.(*server).pinHandler-fm",
	    "main.pinHandler[...]",
	    "main.handler",
	    "ngx_http_wait_request_handler",
	    "ngx_http_core_content_handler",
	    "ap_invoke_handler",
	    "handle_request",
	    "handle_request.part.0",
	    "connection_handler",
	    "(anonymous namespace)::Server::handleRequest(Request const&) const",
	    "shop::Cart::PayHandler<int>(std::vector<int> (*)(int))",
	    "shop::serve_connection::{{closure}}",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_expect(pinw_function_is_handler(names[i]), "%s", names[i]);
}

Test(functions, of_signals_errors_and_makers_are_no_handlers)
{
	static const char *const names[] = {
	    "SignalHandler",
	    "ngx_signal_handler",
	    "crash_handler",
	    "main.NewHandler",
	    "net/http.(*ServeMux).registerHandler",
	    "std::set_new_handler(void (*)())",
	    "segv_handler",
	    "on_exit_handler",
	    "error_handler",
	    "worker_handler",
	    "thread_handler",
	    "handler",
	    "handler.constprop.0",
	    "main.handlers",
	    "main.(*pool).work",
	    "main.main.func1",
	    "runtime.sighandler",
	    "net/http.(*Server).Serve",
	    "",
	    ".",
	    "::",
	    ")",
	    "]",
	    "f()",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		cr_expect_not(pinw_function_is_handler(names[i]), "%s", names[i]);
}

/* Names come from files that anybody may have made. */
Test(functions, are_known_by_names_of_any_length)
{
	for (size_t len = 1; len < 2000; len += 97) {
		char *name = malloc(len + 1);
		memset(name, len % 2 ? '(' : ')', len);
		name[len] = '\0';
		cr_expect_not(pinw_function_is_handler(name));
		free(name);
	}
}

static void expect_owner(const char *function, const char *owner)
{
	char *found = pinw_function_owner(function);

	cr_expect_str_eq(found, owner);
	free(found);
}

Test(functions, own_their_closures)
{
	expect_owner("main.f", "main.f");
	expect_owner("main.f.func1", "main.f");
	expect_owner("main.(*w).loop.deferwrap1", "main.(*w).loop");
	expect_owner("main.f.func1.2", "main.f");
	expect_owner("work.part.0", "work");
	expect_owner("work.constprop.0.isra.0", "work");
	expect_owner("a::b(int, char) const", "a::b");
	expect_owner("main.f.gowrap3", "main.f");
	expect_owner("main.(*s).f-fm", "main.(*s).f");
	expect_owner("main.lock[...].func1", "main.lock[...]");
	expect_owner("example.com/v2.f", "example.com/v2.f");
	expect_owner("main.init.0", "main.init.0");
	expect_owner("main.func1", "main.func1");
	expect_owner("setcpuaffinity", "setcpuaffinity");
	expect_owner("", "");
}
