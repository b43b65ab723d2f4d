/* SPDX-License-Identifier: MIT */
#include "preload/image.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "policy/mask.h"
#include "policy/policy.h"
#include "preload/arch.h"
#include "preload/clock.h"
#include "preload/proc.h"
#include "preload/shim.h"

#define DEFAULT_NAME "pinwarden.%e.%p.pwt"
#define DEFAULT_MAX_BYTES (UINT64_C(64) << 20)
#define LEAST_MAX_BYTES (UINT64_C(128) << 10)
#define NAME_TRIES 10000u

struct pinw_config pinw_config;

/* ---- the environment --------------------------------------------------------------- */

static const char *env(char **envp, const char *name)
{
	size_t n = strlen(name);

	for (; envp && *envp; envp++)
		if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
			return *envp + n + 1;
	return NULL;
}

static void complain(const char *name, const char *value, const char *expected)
{
	char line[512];
	size_t n = pinw_put(line, sizeof(line), 0, "pinwarden: ");

	n = pinw_put(line, sizeof(line), n, name);
	n = pinw_put(line, sizeof(line), n, "=");
	for (size_t i = 0, len = strnlen(value, 128); i < len; i++)
		n = pinw_put_bytes(line, sizeof(line), n, value[i] < ' ' || value[i] == 127 ? "?" : value + i,
		                   1);
	n = pinw_put(line, sizeof(line), n, ": expected ");
	n = pinw_put(line, sizeof(line), n, expected);
	n = pinw_put(line, sizeof(line), n, "; using the default\n");
	pinw_proc_stderr(line, n);
}

/* "64M" in bytes; 0 when it is not a size. */
static uint64_t parse_size(const char *text)
{
	const char *p = text;
	uint64_t value = pinw_get_number(&p);
	unsigned shift = 0;

	if (p == text || p - text > 12)
		return 0;
	if (*p == 'K' || *p == 'k')
		shift = 10;
	else if (*p == 'M' || *p == 'm')
		shift = 20;
	else if (*p == 'G' || *p == 'g')
		shift = 30;
	if (shift)
		p++;
	return *p || value > (uint64_t)INT64_MAX >> shift ? 0 : value << shift;
}

static bool parse_session(const char *text, uint8_t *session)
{
	uint8_t bytes[16] = {0};

	for (unsigned i = 0; i < 32; i++) {
		char c = text[i];
		unsigned v = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
		             : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
		                                    : 16;

		if (v == 16)
			return false;
		bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | v);
	}
	if (text[32])
		return false;
	memcpy(session, bytes, sizeof(bytes));
	return true;
}

/* Makes a path absolute: the program may change its directory. Returns 0 or -errno. */
static int make_absolute(char *out, size_t size, const char *path)
{
	size_t n = 0;

	if (path[0] != '/') {
		long r = pinw_sys2(SYS_getcwd, out, size); /* counts its NUL */
		if (r < 0)
			return (int)r;
		if (out[0] != '/') /* "(unreachable)/..." */
			return -ENOENT;
		n = pinw_put(out, size, (size_t)r - 1, "/");
	}
	n = pinw_put(out, size, n, path);
	return n + 1 < size ? 0 : -ENAMETOOLONG;
}

/* A directory gets the default name inside it. */
static int configure_output(const char *value)
{
	char *out = pinw_config.output;
	struct stat st = {0};
	int r = make_absolute(out, sizeof(pinw_config.output), value && *value ? value : DEFAULT_NAME);

	if (r < 0)
		return r;
	size_t n = strlen(out);
	bool is_dir = pinw_sys2(SYS_stat, out, &st) == 0 && S_ISDIR(st.st_mode);
	if (is_dir && out[n - 1] != '/')
		n = pinw_put(out, sizeof(pinw_config.output), n, "/");
	if (is_dir || out[n - 1] == '/')
		n = pinw_put(out, sizeof(pinw_config.output), n, DEFAULT_NAME);
	return n + 1 < sizeof(pinw_config.output) ? 0 : -ENAMETOOLONG;
}

int pinw_image_set_log(const char *value)
{
	int r = 0;

	if (strcmp(value, "stderr") == 0)
		pinw_put(pinw_config.log, sizeof(pinw_config.log), 0, value);
	else
		r = make_absolute(pinw_config.log, sizeof(pinw_config.log), value);
	if (r < 0)
		pinw_config.log[0] = '\0';
	return r;
}

static void configure_log(const char *value)
{
	pinw_config.log[0] = '\0';
	pinw_config.log_leaks = value && *value;
	if (pinw_config.log_leaks && pinw_image_set_log(value) < 0)
		complain("PINWARDEN_LOG", value, "\"stderr\" or a path");
}

/* A policy is never left aside in silence: what cannot be made a path stays, to be refused when it is opened. */
static void configure_policy(const char *path, const char *mode)
{
	pinw_config.policy[0] = '\0';
	pinw_config.mode = 0;
	if (path && *path && make_absolute(pinw_config.policy, sizeof(pinw_config.policy), path) < 0)
		pinw_put(pinw_config.policy, sizeof(pinw_config.policy), 0, path);
	if (mode && *mode)
		pinw_config.mode = strcmp(mode, "audit") == 0     ? PINW_MODE_AUDIT
		                   : strcmp(mode, "enforce") == 0 ? PINW_MODE_ENFORCE
		                                                  : PINW_MODE_UNKNOWN;
}

/* The name the program was started by (AT_EXECFN, getauxval(3)): for a symbolic link or a script, the one the user
 * knows. Kept, because the program may write over it. */
static void configure_exe_name(void)
{
	const char *path = (const char *)getauxval(AT_EXECFN);
	const char *name = path ? strrchr(path, '/') : NULL;
	char *out = pinw_config.exe_name;

	if (name)
		name++;
	else
		name = path ? path : "unknown";
	size_t len = strnlen(name, PINW_EXE_NAME_MAX);
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		             c == '.' || c == '_' || c == '+' || c == '-';

		pinw_put_bytes(out, sizeof(pinw_config.exe_name), i, plain ? &c : "_", 1);
	}
}

bool pinw_image_configure(char **envp)
{
	const char *value;

	configure_exe_name();
	pinw_config.follow = true;
	pinw_config.max_bytes = DEFAULT_MAX_BYTES;
	value = env(envp, "PINWARDEN_OUTPUT");
	if (configure_output(value) < 0) {
		pinw_put(pinw_config.output, sizeof(pinw_config.output), 0, "");
		complain("PINWARDEN_OUTPUT", value ? value : "", "a path shorter than 1024 bytes");
	}
	configure_log(env(envp, "PINWARDEN_LOG"));
	configure_policy(env(envp, "PINWARDEN_POLICY"), env(envp, "PINWARDEN_MODE"));
	value = env(envp, "PINWARDEN_MAX_SIZE");
	if (value && parse_size(value) < LEAST_MAX_BYTES)
		complain("PINWARDEN_MAX_SIZE", value, "a size of at least 128K, such as 64M");
	else if (value)
		pinw_config.max_bytes = parse_size(value);
	value = env(envp, "PINWARDEN_SESSION");
	if (value && !parse_session(value, pinw_config.session))
		complain("PINWARDEN_SESSION", value, "32 lower-case hexadecimal digits");
	value = env(envp, "PINWARDEN_HOLD_TIMES");
	pinw_config.untimed = value && strcmp(value, "0") == 0;
	value = env(envp, "PINWARDEN_FOLLOW");
	if (value && strcmp(value, "0") == 0) {
		const char *root = env(envp, "PINWARDEN_ROOT");

		pinw_config.follow = false;
		pinw_config.root = root ? (uint32_t)pinw_get_number(&root) : 0;
		return pinw_config.root == pinw_proc_pid();
	}
	return true;
}

/* ---- identity ---------------------------------------------------------------------- */

/* "xxxxxxxx-xxxx-..." to 16 bytes; left zero when unreadable. */
static void read_boot_id(uint8_t *id)
{
	char text[40];
	unsigned digits = 0;

	if (pinw_proc_read("/proc/sys/kernel/random/boot_id", text, sizeof(text)) < 36)
		return;
	for (const char *p = text; *p && digits < 32; p++) {
		unsigned v;

		if (*p >= '0' && *p <= '9')
			v = (unsigned)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			v = (unsigned)(*p - 'a') + 10;
		else
			continue;
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | v);
		digits++;
	}
}

static void fill_identity(struct pinw_trace_header *h, const struct pinw_identity *parent)
{
	uint32_t ppid = 0, grandparent;
	struct stat st = {0};

	memset(&h->self, 0, sizeof(h->self));
	memset(&h->parent, 0, sizeof(h->parent));
	h->self.pid = pinw_proc_pid();
	read_boot_id(h->self.boot_id);
	if (pinw_sys2(SYS_stat, "/proc/self/ns/pid", &st) == 0)
		h->self.pid_ns = st.st_ino;
	pinw_proc_stat(0, &ppid, &h->self.start_ticks);
	pinw_sys3(SYS_getrandom, h->self.nonce, sizeof(h->self.nonce), 1 /* GRND_NONBLOCK */);
	if (parent) {
		h->parent = *parent;
		return;
	}
	memcpy(h->parent.boot_id, h->self.boot_id, sizeof(h->parent.boot_id));
	h->parent.pid_ns = h->self.pid_ns;
	h->parent.pid = ppid;
	if (ppid)
		pinw_proc_stat(ppid, &grandparent, &h->parent.start_ticks);
}

static void fill_program(struct pinw_trace_header *h)
{
	long n = pinw_proc_readlink("/proc/self/exe", h->exe, sizeof(h->exe));

	h->exe_len = n > 0 ? (uint32_t)n : 0;
	if (h->exe_len == sizeof(h->exe))
		h->flags |= PINW_HDR_EXE_CUT;
	n = pinw_proc_read("/proc/self/cmdline", h->cmdline, sizeof(h->cmdline));
	h->cmdline_len = n > 0 ? (uint32_t)n : 0;
	if (h->cmdline_len == sizeof(h->cmdline) - 1)
		h->flags |= PINW_HDR_CMDLINE_CUT;
}

/* ---- the output name --------------------------------------------------------------- */

struct name_parts {
	const struct pinw_trace_header *header;
	unsigned unique; /* what %n stands for */
};

static size_t put_host(char *buf, size_t size, size_t at)
{
	char host[65];
	long n = pinw_proc_read("/proc/sys/kernel/hostname", host, sizeof(host));

	for (long i = 0; i < n && host[i] != '\n'; i++)
		at = pinw_put_bytes(buf, size, at, host[i] == '/' ? "_" : &host[i], 1);
	return at;
}

/* One conversion of the pattern. Sets *has_n for %n. */
static size_t put_conversion(char *buf, size_t size, size_t at, char c, const struct name_parts *parts,
                             bool *has_n)
{
	switch (c) {
	case 'p':
		return pinw_put_number(buf, size, at, parts->header->self.pid);
	case 'e':
		return pinw_put(buf, size, at, pinw_config.exe_name);
	case 'h':
		return put_host(buf, size, at);
	case 't':
		return pinw_put_number(buf, size, at, parts->header->start_real_ns / 1000000000u);
	case 'n':
		*has_n = true;
		return pinw_put_number(buf, size, at, parts->unique);
	case '%':
		return pinw_put(buf, size, at, "%");
	default: {
		char text[3] = {'%', c, '\0'};
		return pinw_put(buf, size, at, text);
	}
	}
}

/* Expands the pattern. Without a %n, try number 2 and later insert "-2" before a final ".pwt". */
static void expand_name(char *buf, size_t size, const struct name_parts *parts)
{
	const char *last = strrchr(pinw_config.output, '/');
	bool has_n = false;
	size_t n = 0;

	for (const char *p = pinw_config.output; *p; p++) {
		if (*p == '%' && p > last && p[1])
			n = put_conversion(buf, size, n, *++p, parts, &has_n);
		else
			n = pinw_put_bytes(buf, size, n, p, 1);
	}
	if (has_n || parts->unique == 1)
		return;
	bool suffixed = n > 4 && strcmp(buf + n - 4, ".pwt") == 0;
	if (suffixed)
		n -= 4;
	n = pinw_put(buf, size, n, "-");
	n = pinw_put_number(buf, size, n, parts->unique);
	if (suffixed)
		pinw_put(buf, size, n, ".pwt");
}

/* Creates the first name that is free. A planted link or file is never followed, used or replaced. */
static int create_file(struct pinw_trace_setup *setup)
{
	struct name_parts parts = {.header = &setup->header};
	long fd = -EEXIST;

	for (parts.unique = 1; parts.unique < NAME_TRIES && fd == -EEXIST; parts.unique++) {
		expand_name(setup->path, sizeof(setup->path), &parts);
		if (strlen(setup->path) + 1 >= sizeof(setup->path))
			return -ENAMETOOLONG;
		fd = pinw_sys3(SYS_open, setup->path,
		               O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);
	}
	if (fd < 0)
		return (int)fd;
	setup->fd = (int)fd;
	return 0;
}

int pinw_image_create(struct pinw_trace_setup *setup, const struct pinw_identity *parent)
{
	struct pinw_trace_header *h = &setup->header;

	memset(h, 0, sizeof(*h));
	h->image = parent ? PINW_IMAGE_FORK : PINW_IMAGE_START;
	h->start_mono_ns = pinw_clock_mono();
	h->start_real_ns = pinw_clock_real();
	h->mask_words = pinw_shim.mask_words;
	h->uid = (uint32_t)pinw_sys0(SYS_getuid);
	h->cpus_online = pinw_proc_cpus_online();
	memcpy(h->session, pinw_config.session, sizeof(h->session));
	pinw_mask_copy(h->baseline, pinw_shim.baseline, pinw_shim.mask_words);
	h->version_len = (uint32_t)pinw_put(h->writer, sizeof(h->writer), 0, PINW_VERSION);
	fill_identity(h, parent);
	fill_program(h);
	setup->max_bytes = pinw_config.max_bytes;
	return create_file(setup);
}
