/* SPDX-License-Identifier: MIT
 *
 * `pinwarden metrics` on programs that run and on what they left: against the report, against promtool, over HTTP, and scraped by
 * Prometheus itself (tests/prometheus).
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/e2e.h"
#include "tests/live_rig.h"

TestSuite(metrics, .fini = live_done, .timeout = 180);

/* A copy that outlives the next command; the fourth one after it takes its place. */
static const char *keep(const char *text)
{
	static char kept[4][1 << 17];
	static unsigned at;
	char *copy = kept[at++ % 4];

	snprintf(copy, sizeof(kept[0]), "%s", text);
	return copy;
}

/* The sum of a metric's samples that have `label`; -1 when there is none. */
static double sum(const char *page, const char *name, const char *label)
{
	double all = -1;

	for (const char *at = page; *at; at += strcspn(at, "\n") + 1) {
		size_t len = strcspn(at, "\n"), name_len = strlen(name);
		if (strncmp(at, name, name_len) != 0 || (at[name_len] != '{' && at[name_len] != ' ') ||
		    !memmem(at, len, label, strlen(label)))
			continue;
		const char *value = at + len;
		while (value[-1] != ' ')
			value--;
		all = (all < 0 ? 0 : all) + strtod(value, NULL);
	}
	return all;
}

static const char *page_of(const char *arguments)
{
	char command[512];

	snprintf(command, sizeof(command), "@@ metrics %s", arguments);
	return e2e_status(0, command)->out;
}

static const char *page_of_pid(pid_t pid)
{
	char text[32];

	snprintf(text, sizeof(text), "%d", (int)pid);
	return page_of(text);
}

/* A whole life: 2 idlers, 100 threads, one that leaks its pin, one that nobody joins. */
static void live_through(void)
{
	live_start("", 2, 0);
	live_tell("churn");
	live_tell("leak");
	live_tell("drop");
	live_tell("quit");
	cr_assert_eq(live_end(), 0);
}

/* ---- what is counted -------------------------------------------------------------------------------- */

static void agrees(const char *expression, double value)
{
	char text[512];

	snprintf(text, sizeof(text), "%s == %.17g", expression, value);
	e2e_true(text);
}

Test(metrics, agree_with_the_report)
{
	live_through();
	const char *page = keep(page_of("%d/t"));

	agrees(".totals.threads.created", sum(page, "pinwarden_threads_created_total", ""));
	agrees(".totals.pins.opened", sum(page, "pinwarden_pins_total", ""));
	agrees(".processes[0].threads.peak", sum(page, "pinwarden_threads_peak", ""));
	agrees(".processes[0].leaks[\"exit-while-pinned\"]",
	       sum(page, "pinwarden_leaked_threads_total", "kind=\"exit-while-pinned\""));
	agrees(".processes[0].leaks.unjoined",
	       sum(page, "pinwarden_leaked_threads_total", "kind=\"unjoined\""));
	cr_expect_eq(sum(page, "pinwarden_pins_total", "site=\"live_pin < idle\""), 2);
	cr_expect_eq(sum(page, "pinwarden_pins_total", "site=\"live_pin < leak\""), 1);
	cr_expect_eq(sum(page, "pinwarden_pins_total", "site=\"other\""), -1);
	cr_expect_eq(sum(page, "pinwarden_thread_lifetime_seconds_count", ""), 104);
	cr_expect_eq(sum(page, "pinwarden_thread_create_seconds_count", ""), 104);
	cr_expect_eq(sum(page, "pinwarden_thread_create_seconds_bucket", "le=\"+Inf\""), 104);
	cr_expect_eq(sum(page, "pinwarden_threads", ""), 0, "it ended");
	cr_expect_eq(sum(page, "pinwarden_process_running", ""), 0);
	cr_expect_eq(sum(page, "pinwarden_unreadable_traces", ""), 0);
}

Test(metrics, say_what_is_now)
{
	pid_t pid = live_start("", 3, 1);
	const char *page = keep(page_of_pid(pid));

	cr_expect_eq(sum(page, "pinwarden_threads", "process=\"live_scene\""), 5);
	cr_expect_eq(sum(page, "pinwarden_pinned_threads", "kind=\"cpu\""), 4);
	cr_expect_eq(sum(page, "pinwarden_pinned_threads", "kind=\"go\""), 0);
	cr_expect_eq(sum(page, "pinwarden_process_running", ""), 1);
	live_tell("drop");
	live_tell("leak");
	page = keep(page_of_pid(pid));
	cr_expect_eq(sum(page, "pinwarden_leaked_threads_total", "exit-while-pinned"), 1);
	cr_expect_eq(sum(page, "pinwarden_leaked_threads_total", "unjoined"), 0, "somebody may join it yet");
}

/* The first functions that pin have a series of their own, whatever comes later; no pin is counted twice or lost. */
Test(metrics, keep_the_number_of_series_within_bounds)
{
	live_through();
	const char *page = keep(page_of("--sites 1 %d/t"));

	cr_expect_eq(sum(page, "pinwarden_pins_total", "site=\"live_pin < idle\""), 2);
	cr_expect_eq(sum(page, "pinwarden_pins_total", "site=\"live_pin < leak\""), -1);
	cr_expect_eq(sum(page, "pinwarden_pins_total", "site=\"other\""), 1);
}

/* A page that names a series twice is wrong. */
Test(metrics, have_one_series_of_others_also_when_a_function_is_called_so)
{
	e2e_needs(sysconf(_SC_NPROCESSORS_ONLN) > 1, "a pin needs more than one CPU");
	e2e_write(
	    "others.c",
	    "#define _GNU_SOURCE\n#include <sched.h>\n#include <pthread.h>\n"
	    "static cpu_set_t one, all;\n"
	    "#define PINS(name) __attribute__((noinline)) static void *name(void *a) \\\n"
	    "{ sched_setaffinity(0, sizeof one, &one); sched_setaffinity(0, sizeof all, &all); return a; }\n"
	    "PINS(other) PINS(first) PINS(second)\n"
	    "int main(void)\n{\nvoid *(*what[])(void *) = {other, first, second};\n"
	    "sched_getaffinity(0, sizeof all, &all);\n"
	    "for (int i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)\n"
	    "if (CPU_ISSET(i, &all)) CPU_SET(i, &one);\n"
	    "for (int i = 0; i < 3; i++)\n"
	    "{ pthread_t t; pthread_create(&t, 0, what[i], 0); pthread_join(t, 0); }\n"
	    "return 0;\n}\n");
	e2e_status(0, "gcc -O1 -fno-ipa-icf -pthread -o %d/others %d/others.c");
	e2e_status(0, "@@ run -q -o %d/t/ -- %d/others");
	const struct e2e_result *r = e2e_status(0, "@@ metrics %d/t --sites=1");
	const char *first = strstr(r->out, "site=\"other\"} 2\n");
	cr_assert_not_null(first, "%s", r->out);
	cr_expect_null(strstr(first + 1, "site=\"other\""), "%s", r->out);
	e2e_has(r->out, "site=\"first\"} 1\n");
}

Test(metrics, count_violations_by_rule)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/p.ini", e2e_dir());
	FILE *f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs("[policy]\nversion = 1\n[ban \"no idlers\"]\nfunction = idle\naction = log\n"
	      "[ban \"never\"]\nfunction = nobody\naction = deny\n",
	      f);
	cr_assert_eq(fclose(f), 0);
	const char *page = keep(page_of_pid(live_start("-p %d/p.ini --log %d/log", 3, 0)));
	cr_expect_eq(sum(page, "pinwarden_violations_total", "action=\"log\""), 3);
	cr_expect_eq(sum(page, "pinwarden_violations_total", "rule=\"ban:never\",action=\"deny\""), 0);
}

static void expect_promtool(const char *page)
{
	char path[512], command[1024];

	e2e_needs(system("promtool --version >/dev/null 2>&1") == 0, "promtool is not installed");
	snprintf(path, sizeof(path), "%s/page", e2e_dir());
	FILE *f = fopen(path, "w");
	cr_assert_not_null(f);
	fputs(page, f);
	cr_assert_eq(fclose(f), 0);
	snprintf(command, sizeof(command), "promtool check metrics <'%s'", path);
	cr_expect_eq(system(command), 0);
}

Test(metrics, are_what_promtool_takes)
{
	live_through();
	live_start("", 2, 0);
	expect_promtool(keep(page_of("%d/t")));
}

/* A program may be called anything. */
Test(metrics, escape_names)
{
	char command[4096];
	const char *dir = e2e_dir(), *build = getenv("PINW_BUILD");

	snprintf(command, sizeof(command),
	         "cd '%s' && cp '%s/targets/create_join' \"$(printf 'a\"b\\\\c\\n\\377</script>{')\" "
	         "2>/dev/null ||"
	         " cp '%s/targets/create_join' \"$(printf 'a\"b\\\\c\\n\\377{')\"; "
	         "for f in a*; do '%s/pinwarden' run -q -o t/x.pwt -- \"./$f\" >/dev/null || exit 1; done",
	         dir, build, build, build);
	cr_assert_eq(system(command), 0);
	const char *page = keep(page_of("%d/t"));
	e2e_has(page, "process=\"a\\\"b\\\\c\\\\x0a\\\\xff{\"");
	expect_promtool(page);
}

static void every_name_is_there(const char *text, const char *page)
{
	unsigned names = 0;

	for (const char *at = text; (at = strstr(at, "pinwarden_")) != NULL; names++) {
		size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
		char help[128];
		static const char *const ends[] = {"_bucket", "_sum", "_count"};
		size_t name = len;
		for (unsigned i = 0; i < 3; i++)
			if (len > strlen(ends[i]) &&
			    memcmp(at + len - strlen(ends[i]), ends[i], strlen(ends[i])) == 0)
				name = len - strlen(ends[i]);
		snprintf(help, sizeof(help), "# HELP %.*s ", (int)name, at);
		cr_expect_not_null(strstr(page, help), "no metric %.*s", (int)name, at);
		at += len;
	}
	cr_expect_gt(names, 10u);
}

static const char *file_text(const char *path)
{
	FILE *f = fopen(path, "r");
	cr_assert_not_null(f, "%s: %s", path, strerror(errno));
	static char text[1 << 17];
	size_t len = fread(text, 1, sizeof(text) - 1, f);
	text[len] = '\0';
	cr_assert_gt(len, 0u);
	fclose(f);
	return text;
}

/* ---- over HTTP ----------------------------------------------------------------------------------------- */

static struct {
	pid_t pid;
	unsigned port;
} server;

/* Starts it on a free port; its stderr tells which. */
static void serve(const char *what)
{
	char command[2048], line[256] = "", path[512];

	snprintf(path, sizeof(path), "%s/said", e2e_dir());
	snprintf(command, sizeof(command), "sh %s/serve %s", e2e_dir(), what);
	char script[512];
	snprintf(script, sizeof(script), "%s/serve", e2e_dir());
	FILE *f = fopen(script, "w");
	cr_assert_not_null(f);
	fprintf(f, "exec '%s/pinwarden' metrics --listen 127.0.0.1:0 \"$@\" 2>'%s'\n", getenv("PINW_BUILD"),
	        path);
	cr_assert_eq(fclose(f), 0);
	int out;
	server.pid = e2e_start(command, &out);
	close(out);
	for (unsigned i = 0; i < 1500 && !server.port; i++) {
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		f = fopen(path, "r");
		if (f && fgets(line, sizeof(line), f)) {
			if (strstr(line, "libmicrohttpd12"))
				cr_skip_test("libmicrohttpd12 is not installed");
			sscanf(line, "pinwarden: metrics: http://127.0.0.1:%u/metrics", &server.port);
		}
		if (f)
			fclose(f);
	}
	cr_assert_gt(server.port, 0u, "it said: %s", line);
}

static void stop_server(void)
{
	int status;

	kill(server.pid, SIGTERM);
	cr_assert_eq(waitpid(server.pid, &status, 0), server.pid);
	cr_expect_eq(status, 0, "SIGTERM is how it ends");
}

static int connect_to(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server.port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	cr_assert_eq(connect(fd, (void *)&a, sizeof(a)), 0);
	return fd;
}

/* Sends a request and reads all of the answer. */
static const char *ask(const char *request)
{
	static char text[1 << 18];
	size_t len = 0;
	int fd = connect_to();

	cr_assert_eq(send(fd, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
	for (ssize_t n; len < sizeof(text) - 1 && (n = read(fd, text + len, sizeof(text) - 1 - len)) > 0;)
		len += (size_t)n;
	text[len] = '\0';
	close(fd);
	return text;
}

#define GET "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

Test(metrics, are_served_on_loopback)
{
	live_start("", 3, 1);
	serve(e2e_traces());
	const char *answer = ask(GET);

	e2e_has(answer, "HTTP/1.1 200 OK\r\n");
	e2e_has(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	cr_expect_eq(sum(answer, "pinwarden_pinned_threads", "kind=\"cpu\""), 4);
	e2e_has(ask("GET / HTTP/1.1\r\nHost: 127.0.0.1:9464\r\nConnection: close\r\n\r\n"), "HTTP/1.1 404 ");
	e2e_has(ask("GET /metrics/../x HTTP/1.1\r\nHost: 127.0.0.1:9464\r\nConnection: close\r\n\r\n"),
	        "HTTP/1.1 404 ");
	answer = ask("POST /metrics HTTP/1.1\r\nHost: 127.0.0.1:9464\r\nContent-Length: 3\r\nConnection: "
	             "close\r\n\r\nabc");
	e2e_has(answer, "HTTP/1.1 405 ");
	e2e_has(answer, "Allow: GET, HEAD\r\n");
	answer = ask("HEAD /metrics HTTP/1.1\r\nHost: 127.0.0.1:9464\r\nConnection: close\r\n\r\n");
	e2e_has(answer, "HTTP/1.1 200 OK\r\n");
	cr_expect_null(strstr(answer, "# HELP"));
	e2e_has(ask("GET /metrics HTTP/1.1\r\nHost: rebound.example\r\nConnection: close\r\n\r\n"),
	        "HTTP/1.1 421 ");
	e2e_has(ask("GET /metrics HTTP/1.0\r\n\r\n"), " 200 OK\r\n");
	ask("nonsense\r\n\r\n");
	ask("GET /metrics HTTP/9.9\r\n\r\n");
	e2e_has(ask(GET), "200 OK");
	stop_server();
}

Test(metrics, are_served_while_others_say_nothing)
{
	int silent[100];

	live_start("", 1, 0);
	serve(e2e_traces());
	for (unsigned i = 0; i < 100; i++) {
		silent[i] = connect_to();
		if (i % 2)
			cr_expect_eq(send(silent[i], "GET /metr", 9, MSG_NOSIGNAL), 9);
	}
	e2e_has(ask(GET), "200 OK");
	/* they are sent away by and by */
	char byte;
	cr_expect_leq(read(silent[0], &byte, 1), 0);
	for (unsigned i = 0; i < 100; i++)
		close(silent[i]);
	stop_server();
}

/* Asks until `metric` with `label` has `value`: pages are made anew once a second. */
static void await_value(const char *metric, const char *label, double value)
{
	double last = 0;

	for (unsigned i = 0; i < 150; i++) {
		last = sum(ask(GET), metric, label);
		if (last == value)
			return;
		nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	}
	cr_assert_fail("%s{%s} is %g, not %g", metric, label, last, value);
}

Test(metrics, of_a_folder_come_and_go_with_its_traces)
{
	char command[1024];

	serve(e2e_traces());
	await_value("pinwarden_unreadable_traces", "", 0);
	cr_expect_eq(sum(ask(GET), "pinwarden_threads", ""), -1);
	live_start("", 2, 0);
	await_value("pinwarden_threads", "process=\"live_scene\"", 3);
	live_tell("churn");
	await_value("pinwarden_threads_created_total", "", 102);
	live_tell("quit");
	cr_assert_eq(live_end(), 0);
	await_value("pinwarden_process_running", "", 0);
	cr_expect_eq(sum(ask(GET), "pinwarden_threads_created_total", ""), 102, "what it did stays");
	snprintf(command, sizeof(command), "echo nonsense >'%s/bad.pwt'", e2e_traces());
	cr_assert_eq(system(command), 0);
	await_value("pinwarden_unreadable_traces", "", 1);
	snprintf(command, sizeof(command), "rm '%s'/*", e2e_traces());
	cr_assert_eq(system(command), 0);
	await_value("pinwarden_threads_created_total", "", -1);
	await_value("pinwarden_unreadable_traces", "", 0);
	stop_server();
}

/* A pinned thread that spins uses its CPU and nothing else; one that sleeps uses none. */
Test(metrics, of_many_that_ended_need_few_descriptors)
{
	e2e_status(0, "@@ run -q -o %d/t/ -- true");
	e2e_write("many.sh", "set -e; cd $1/t; for i in 1 2 3 4 5 6 7 8 9; do cp *e.*.pwt $i.pwt; done\n"
	                     "ulimit -n 8; exec $2 metrics .\n");
	e2e_has(e2e_status(0, "sh %d/many.sh %d @@")->out, "pinwarden_unreadable_traces 0\n");
}

Test(metrics, tell_the_cpu_time_of_pinned_threads)
{
	live_start("", 1, 1);
	serve(e2e_traces());
	ask(GET);
	for (unsigned i = 0; i < 150 && sum(ask(GET), "pinwarden_pinned_cpu_seconds_total", "") <= 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
	const char *answer = ask(GET);
	cr_expect_gt(sum(answer, "pinwarden_pinned_cpu_seconds_total", ""), 0);
	cr_expect_geq(sum(answer, "pinwarden_run_delay_seconds_sum", ""), 0);
	cr_expect_geq(sum(answer, "pinwarden_run_delay_seconds_count", ""), 0);
	/* what is on the page is what the alerts and the dashboard ask for */
	const char *page = keep(answer);
	every_name_is_there(file_text("examples/grafana/pinwarden.json"), page);
	char command[256];
	snprintf(command, sizeof(command), "@@ policy alerts");
	const char *rules = keep(e2e_status(0, command)->out);
	rules = strstr(rules, "groups:");
	every_name_is_there(rules, page);
	cr_expect_eq(system("jq -e .panels examples/grafana/pinwarden.json >/dev/null"), 0);
	expect_promtool(strstr(page, "# HELP"));
	stop_server();
}

Test(metrics, of_a_process_go_on_with_its_next_image)
{
	char pid[32];

	snprintf(pid, sizeof(pid), "%d", (int)live_start("", 3, 0));
	serve(pid);
	await_value("pinwarden_pinned_threads", "kind=\"cpu\"", 3);
	live_tell("exec");
	await_value("pinwarden_pinned_threads", "kind=\"cpu\"", 1);
	stop_server();
}

/* ---- to a file --------------------------------------------------------------------------------------------- */

Test(metrics, are_written_to_a_file_in_one_step)
{
	struct stat st;
	char path[512];

	live_through();
	umask(022);
	e2e_status(0, "@@ metrics %d/t -o %d/pw.prom");
	snprintf(path, sizeof(path), "%s/pw.prom", e2e_dir());
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_eq(st.st_mode & 0777, 0644, "node-exporter is another user");
	cr_expect_eq(sum(file_text(path), "pinwarden_threads_created_total", ""), 104);
	e2e_has(e2e_status(2, "@@ metrics %d/t -o /dev/full")->err, "No space left");
	e2e_has(e2e_status(2, "@@ metrics %d/t -o %d/none/pw.prom")->err, "No such file");
	char command[1024];
	snprintf(command, sizeof(command), "@@ metrics %%d/t -o %s", e2e_trace(NULL));
	e2e_has(e2e_status(2, command)->err, "this is one of the traces");
	snprintf(command, sizeof(command), "timeout 5 @@ metrics %%d/t -d 0.2 -o %s", e2e_trace(NULL));
	e2e_has(e2e_status(2, command)->err, "this is one of the traces");
	snprintf(command, sizeof(command), "ls -A '%s' | grep -c 'pw.prom'", e2e_dir());
	FILE *f = popen(command, "r");
	int files = 0;
	cr_assert_eq(fscanf(f, "%d", &files), 1);
	pclose(f);
	cr_expect_eq(files, 1, "nothing is left beside it");
}

Test(metrics, are_written_again_until_it_is_terminated)
{
	char path[512];
	int out, status;

	live_start("", 1, 0);
	pid_t pid = e2e_start("@@ metrics %d/t -d 0.2 -o %d/pw.prom", &out);
	snprintf(path, sizeof(path), "%s/pw.prom", e2e_dir());
	for (unsigned i = 0; i < 1500 && access(path, R_OK) != 0; i++)
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	live_tell("churn");
	for (unsigned i = 0; i < 1500 && sum(file_text(path), "pinwarden_threads_created_total", "") != 101;
	     i++)
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	cr_expect_eq(sum(file_text(path), "pinwarden_threads_created_total", ""), 101);
	kill(pid, SIGTERM);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect_eq(status, 0);
	close(out);
}

/* ---- refusals ------------------------------------------------------------------------------------------------- */

Test(metrics, are_refused_to_everybody_else)
{
	e2e_refuses(2, "@@ metrics %d/t --listen 0.0.0.0:9464", "only loopback is served");
	e2e_refuses(2, "@@ metrics %d/t --listen :9464", "only loopback is served");
	e2e_refuses(2, "@@ metrics %d/t --listen [::]:9464", "only loopback is served");
	e2e_refuses(2, "@@ metrics %d/t --listen 192.0.2.1:9464", "only loopback is served");
	e2e_refuses(2, "@@ metrics %d/t --listen 9464", "expected ADDRESS:PORT");
	e2e_refuses(2, "@@ metrics %d/t --listen 127.0.0.1:99999", "expected ADDRESS:PORT");
	e2e_refuses(2, "@@ metrics %d/t --listen example.org:80", "expected ADDRESS:PORT");
}

Test(metrics, refuse_what_cannot_be_read_and_wrong_usage)
{
	e2e_refuses(3, "@@ metrics %d/t", "nothing is recorded");
	e2e_refuses(3, "@@ metrics /etc/passwd", "not a Pinwarden trace");
	e2e_refuses(3, "@@ metrics 2147483646", "there is no process 2147483646");
	e2e_refuses(2, "@@ metrics", "name a process, a trace, or a directory");
	e2e_refuses(2, "@@ metrics --sites 0 %d/t", "expected a number, 1 to 1000");
	e2e_refuses(2, "@@ metrics -d 1 %d/t", "-d needs -o FILE");
	e2e_refuses(2, "@@ metrics --listen 127.0.0.1:0 -o x %d/t", "goes with neither -o nor -d");
	e2e_refuses(2, "@@ metrics --port 1 %d/t", "--port is no option here");
}

/* ---- the real thing ---------------------------------------------------------------------------------------------- */

Test(metrics, are_scraped_by_prometheus_and_its_alerts_fire)
{
	char command[2048];

	snprintf(command, sizeof(command), "tests/prometheus '%s' '%s'", getenv("PINW_BUILD"), e2e_dir());
	FILE *f = popen(command, "r");
	cr_assert_not_null(f);
	char said[4096] = "";
	size_t n = fread(said, 1, sizeof(said) - 1, f);
	said[n] = '\0';
	int status = pclose(f);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cr_skip_test("%s", said);
	cr_expect_eq(status, 0, "%s", said);
}
