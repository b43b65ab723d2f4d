/* SPDX-License-Identifier: MIT */
#include "policy/spell.h"

#include <libiberty/demangle.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "policy/goname.h"

/* Longer symbols are known by their own name only: the demangler's stack grows with the length. */
#define MANGLED_MAX 1024u

/* ---- suffixes ------------------------------------------------------------------------------------ */

/* Does `text` start with ".word", and what follows is digits, if any are needed, and then another suffix or the end? */
static bool is_suffix(const char *text, const char *word, bool numbered)
{
	size_t n = strlen(word);

	if (strncmp(text, word, n) != 0)
		return false;
	text += n;
	if (!numbered && (!*text || (*text == '.' && (text[1] < '0' || text[1] > '9'))))
		return true;
	if (*text != '.' || text[1] < '0' || text[1] > '9')
		return false;
	for (text++; *text >= '0' && *text <= '9'; text++)
		;
	return !*text || *text == '.';
}

static bool is_clone_suffix(const char *text)
{
	static const struct {
		const char *word;
		bool numbered;
	} suffixes[] = {
	    {".constprop", true}, {".isra", true},    {".part", true},  {".lto_priv", true},
	    {".llvm", true},      {"._omp_fn", true}, {".cold", false}, {".localalias", false},
	};

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (is_suffix(text, suffixes[i].word, suffixes[i].numbered))
			return true;
	return false;
}

/* The length of a symbol without what compiler and linker added: clones ("f.isra.0.cold"), versions ("f@@V2"),
 * and a demangled " [clone .cold]". Dots are ordinary in Go names, so only known words are cut. */
static size_t base_length(const char *symbol)
{
	for (size_t i = 1; symbol[0] && symbol[i]; i++)
		if (symbol[i] == '@' || (symbol[i] == '.' && is_clone_suffix(symbol + i)) ||
		    strncmp(symbol + i, " [clone ", 8) == 0)
			return i;
	return strlen(symbol);
}

/* ---- texts in the caller's buffer -------------------------------------------------------------------- */

struct spellings {
	const char **texts;
	unsigned count;
	char *buf;
	size_t used;
};

/* Keeps the text of `len` bytes that was written behind buf + used, unless it is known. */
static void keep(struct spellings *s, size_t len)
{
	char *text = s->buf + s->used;

	if (!len)
		return;
	text[len] = '\0';
	for (unsigned i = 0; i < s->count; i++)
		if (strcmp(s->texts[i], text) == 0)
			return;
	s->texts[s->count++] = text;
	s->used += len + 1;
}

/* ---- demangling ---------------------------------------------------------------------------------------- */

struct output {
	char *text;
	size_t room, len;
	bool is_rust;
	bool is_foreign; /* a Rust name outside ASCII */
	void *stop[5];
};

static bool is_ascii(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] >= 0x80)
			return false;
	return true;
}

/* A short symbol can stand for an endless text, so what exceeds the buffer is never printed: the demangler has no way to be
 * stopped, and holds nothing but stack. (Not setjmp: that would be the host's.) Only while it prints a Rust name outside ASCII
 * does it hold memory, which the shim has none of; such a name is left out everywhere, so that a policy means the same everywhere. */
static void collect(const char *piece, size_t len, void *opaque)
{
	struct output *out = opaque;

	if (out->is_rust && !is_ascii(piece, len)) {
		out->is_foreign = true;
		return;
	}
	if (len > out->room - out->len)
		__builtin_longjmp(out->stop, 1);
	memcpy(out->text + out->len, piece, len);
	out->len += len;
}

/* Returns the length written, 0 when not mangled or too long. Never inlined: __builtin_setjmp wants a frame of its own. */
__attribute__((noinline)) static size_t demangle(const char *mangled, int options, char *text, size_t size)
{
	struct output out = {.text = text, .room = size ? size - 1 : 0, .is_rust = true};

	if (__builtin_setjmp(out.stop))
		return 0;
	if (rust_demangle_callback(mangled, options, collect, &out))
		return out.is_foreign ? 0 : out.len;
	if (mangled[1] != 'Z')
		return 0;
	out.is_rust = false;
	out.len = 0;
	return cplus_demangle_v3_callback(mangled, options, collect, &out) ? out.len : 0;
}

/* ---- Go -------------------------------------------------------------------------------------------------- */

/* Keeps `len` bytes from `text` on, if there is room. */
static void keep_part(struct spellings *s, size_t size, const char *text, size_t len)
{
	if (len >= size - s->used)
		return;
	memcpy(s->buf + s->used, text, len);
	keep(s, len);
}

static void spell_go(struct spellings *s, size_t size, const char *symbol, const struct pinw_goname *name)
{
	const size_t from[] = {0, name->package, name->inside, name->last};

	for (unsigned i = 0; i < sizeof(from) / sizeof(from[0]); i++)
		keep_part(s, size, symbol + from[i], name->end - from[i]);
}

unsigned pinw_spell(const char *symbol, char *buf, size_t size, const char *ret[PINW_SPELLINGS_MAX])
{
	struct spellings s = {.texts = ret, .buf = buf};
	size_t len = strlen(symbol), base = base_length(symbol);
	char mangled[MANGLED_MAX + 1];
	struct pinw_goname go;

	ret[s.count++] = symbol;
	if (base < len)
		keep_part(&s, size, symbol, base);
	else if (symbol[0] != '_' && !pinw_goname_is_runtime(symbol) && pinw_goname_split(symbol, &go))
		spell_go(&s, size, symbol, &go);
	/* Other mangling schemes of libiberty's would take ordinary C names for theirs. */
	if (symbol[0] != '_' || (symbol[1] != 'Z' && symbol[1] != 'R') || base > MANGLED_MAX)
		return s.count;
	memcpy(mangled, symbol, base);
	mangled[base] = '\0';
	keep(&s, demangle(mangled, DMGL_PARAMS | DMGL_ANSI, buf + s.used, size - s.used));
	keep(&s, demangle(mangled, DMGL_NO_OPTS, buf + s.used, size - s.used));
	return s.count;
}
