/* SPDX-License-Identifier: MIT */
#include "reports/inputs.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "reports/say.h"

static const char no_traces[] = "no *.pwt in this directory; they are made by: pinwarden run -- PROGRAM";

static int read_directory(const char *command, struct pinw_model *m, const char *path, bool *ret_unreadable)
{
	int count = pinw_model_add_directory(m, path);

	if (count == -ENOMEM)
		return count;
	if (count <= 0) {
		pinw_say("%s: %s: %s", command, path, count < 0 ? strerror(-count) : no_traces);
		*ret_unreadable = true;
	}
	return 0;
}

/* A number that is no file was meant for a process. */
static bool is_number(const char *word)
{
	return *word && strspn(word, "0123456789") == strlen(word);
}

static void say_unreadable(const char *command, const struct pinw_model *m)
{
	for (size_t i = 0; i < m->process_count; i++) {
		const struct pinw_process *p = m->processes[i];
		if (!p->error)
			continue;
		pinw_say("%s: %s: %s", command, p->path, pinw_reader_strerror(p->error));
		if (p->error == -ENOENT && is_number(p->path))
			pinw_say("%s: is it a process? Then type: pinwarden top %s", command, p->path);
	}
}

int pinw_inputs_read(const char *command, int count, char **paths, bool with_history,
                     struct pinw_model **ret_model, bool *ret_unreadable)
{
	struct pinw_model *m = NULL;
	int error = pinw_model_new(&m);

	*ret_unreadable = false;
	if (error == 0)
		m->with_history = with_history;
	for (int i = 0; error == 0 && i < count; i++) {
		struct stat st;
		bool is_directory = stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode);

		error = is_directory ? read_directory(command, m, paths[i], ret_unreadable)
		                     : pinw_model_add(m, paths[i]);
	}
	if (error == 0)
		error = pinw_model_finish(m);
	*ret_model = m;
	if (error < 0) {
		pinw_say("%s: %s", command, strerror(-error));
		return error;
	}
	say_unreadable(command, m);
	*ret_unreadable = *ret_unreadable || m->damaged;
	return 0;
}

/* ---- files, unread --------------------------------------------------------------------------- */

static int is_trace(const struct dirent *d)
{
	return pinw_is_trace_name(d->d_name);
}

/* Returns how many files there were, or -errno. */
static int each_in(const char *directory, void (*fn)(void *arg, const char *file), void *arg)
{
	struct dirent **names = NULL;
	int count = scandir(directory, &names, is_trace, alphasort), error = count < 0 ? -errno : 0;

	for (int i = 0; i < count; i++) {
		char *file = NULL;

		if (error == 0 && asprintf(&file, "%s/%s", directory, names[i]->d_name) < 0) {
			error = -ENOMEM;
		} else if (error == 0) {
			fn(arg, file);
			free(file);
		}
		free(names[i]);
	}
	free(names);
	return error < 0 ? error : count;
}

bool pinw_inputs_each(const char *command, int count, char **paths, void (*fn)(void *arg, const char *file),
                      void *arg)
{
	bool all = true;

	for (int i = 0; i < count; i++) {
		struct stat st;
		int files = 1;

		if (stat(paths[i], &st) == 0 && S_ISDIR(st.st_mode))
			files = each_in(paths[i], fn, arg);
		else
			fn(arg, paths[i]);
		if (files > 0)
			continue;
		all = false;
		if (command)
			pinw_say("%s: %s: %s", command, paths[i], files < 0 ? strerror(-files) : no_traces);
	}
	return all;
}
