/* SPDX-License-Identifier: MIT */
#include "reports/database.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES 65536u

static int copy(const char *path, FILE *out)
{
	char bytes[COPY_BYTES];
	FILE *in = fopen(path, "re");
	int error = in ? 0 : -errno;
	size_t n;

	while (error == 0 && (n = fread(bytes, 1, sizeof(bytes), in)) > 0)
		if (fwrite(bytes, 1, n, out) != n)
			error = -errno;
	if (error == 0 && ferror(in))
		error = -EIO;
	if (in)
		fclose(in);
	return error;
}

static int write_elsewhere(const struct pinw_model *m, struct pinw_stacks *stacks, FILE *out)
{
	const char *folder = getenv("TMPDIR");
	char *path;

	if (asprintf(&path, "%s/pinwarden-database.XXXXXX", folder && *folder ? folder : "/tmp") < 0)
		return -ENOMEM;
	int fd = pinw_output_temporary(path);
	int error = fd < 0 ? fd : 0;
	if (error == 0) {
		close(fd);
		error = pinw_export_sqlite(m, stacks, path);
		if (error == 0)
			error = copy(path, out);
		unlink(path);
		pinw_output_forget();
	}
	free(path);
	return error;
}

int pinw_database_write(const struct pinw_model *m, struct pinw_stacks *stacks, const struct pinw_output *out)
{
	struct stat st;

	if (out->temporary)
		return pinw_export_sqlite(m, stacks, out->temporary);
	if (fstat(fileno(out->file), &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_size != 0)
		return PINW_DATABASE_NO_FILE;
	return write_elsewhere(m, stacks, out->file);
}
