/* SPDX-License-Identifier: MIT */
#include "reports/child_env.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int append(struct pinw_child_env *env, char *text)
{
	if (!env->vars || env->count + 1 >= env->room) {
		unsigned room = env->room ? env->room * 2 : 64;
		char **vars = reallocarray(env->vars, room, sizeof(*vars));

		if (!vars) {
			free(text);
			return -ENOMEM;
		}
		env->vars = vars;
		env->room = room;
	}
	if (!text)
		return -ENOMEM;
	env->vars[env->count++] = text;
	env->vars[env->count] = NULL;
	return 0;
}

int pinw_child_env_init(struct pinw_child_env *env, char *const *from)
{
	int r = 0;

	*env = (struct pinw_child_env){0};
	for (; *from && r == 0; from++)
		r = append(env, strdup(*from));
	if (r < 0)
		pinw_child_env_done(env);
	return r;
}

void pinw_child_env_done(struct pinw_child_env *env)
{
	if (!env)
		return;
	for (unsigned i = 0; i < env->count; i++)
		free(env->vars[i]);
	free(env->vars);
	*env = (struct pinw_child_env){0};
}

static bool is_named(const char *var, const char *name, size_t len)
{
	return strncmp(var, name, len) == 0 && var[len] == '=';
}

const char *pinw_child_env_get(const struct pinw_child_env *env, const char *name)
{
	size_t len = strlen(name);

	for (unsigned i = 0; i < env->count; i++)
		if (is_named(env->vars[i], name, len))
			return env->vars[i] + len + 1;
	return NULL;
}

int pinw_child_env_set(struct pinw_child_env *env, const char *name, const char *value)
{
	size_t len = strlen(name);
	unsigned kept = 0;
	char *text = NULL;

	if (value && asprintf(&text, "%s=%s", name, value) < 0)
		return -ENOMEM;
	for (unsigned i = 0; i < env->count; i++) {
		if (is_named(env->vars[i], name, len))
			free(env->vars[i]);
		else
			env->vars[kept++] = env->vars[i];
	}
	env->count = kept;
	if (env->vars)
		env->vars[kept] = NULL;
	return text ? append(env, text) : 0;
}
