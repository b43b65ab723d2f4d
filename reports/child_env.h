/* SPDX-License-Identifier: MIT
 *
 * The environment of the program to be run: a copy of ours with some variables set or left out.
 */
#ifndef PINW_REPORTS_CHILD_ENV_H
#define PINW_REPORTS_CHILD_ENV_H

/* All zero is empty. */
struct pinw_child_env {
	char **vars; /* NULL-terminated, for execve */
	unsigned count, room;
};

/* Copies an environment. Returns 0 or -ENOMEM. */
int pinw_child_env_init(struct pinw_child_env *env, char *const *from);
void pinw_child_env_done(struct pinw_child_env *env);

/* NULL when it is not set. */
const char *pinw_child_env_get(const struct pinw_child_env *env, const char *name);

/* Sets a variable, or leaves it out with `value` NULL. Further entries of the same name go. Returns 0 or
 * -ENOMEM. */
int pinw_child_env_set(struct pinw_child_env *env, const char *name, const char *value);

#endif
