/* SPDX-License-Identifier: MIT */
#include "reports/gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#define GZIP_WINDOW (15 + 16) /* the largest window, and a gzip header */
#define MEMORY_LEVEL 8 /* zlib's default */
#define CHUNK 65536u

struct pinw_gzip {
	z_stream stream;
	FILE *out;
	unsigned char chunk[CHUNK];
};

int pinw_gzip_open(FILE *out, struct pinw_gzip **ret_gzip)
{
	struct pinw_gzip *g = calloc(1, sizeof(*g));

	if (!g)
		return -ENOMEM;
	g->out = out;
	if (deflateInit2(&g->stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MEMORY_LEVEL,
	                 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(g);
		return -ENOMEM;
	}
	*ret_gzip = g;
	return 0;
}

static int deflate_all(struct pinw_gzip *g, int flush)
{
	do {
		g->stream.next_out = g->chunk;
		g->stream.avail_out = CHUNK;
		deflate(&g->stream, flush); /* with room for output it cannot fail */
		size_t bytes = CHUNK - g->stream.avail_out;
		if (fwrite(g->chunk, 1, bytes, g->out) != bytes)
			return errno ? -errno : -EIO;
	} while (g->stream.avail_out == 0);
	return 0;
}

int pinw_gzip_write(struct pinw_gzip *g, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	while (len) {
		size_t part = len < CHUNK ? len : CHUNK;
		g->stream.next_in = (unsigned char *)at; /* zlib only reads it */
		g->stream.avail_in = (uInt)part;
		int error = deflate_all(g, Z_NO_FLUSH);
		if (error < 0)
			return error;
		at += part;
		len -= part;
	}
	return 0;
}

int pinw_gzip_close(struct pinw_gzip *g, int error)
{
	if (error == 0)
		error = deflate_all(g, Z_FINISH);
	deflateEnd(&g->stream);
	if (error == 0 && fflush(g->out) != 0)
		error = -errno;
	free(g);
	return error;
}
