/* SPDX-License-Identifier: MIT
 *
 * The traces that a command line names, read into one model: files, and directories whose *.pwt are read.
 */
#ifndef PINW_REPORTS_INPUTS_H
#define PINW_REPORTS_INPUTS_H

#include "reports/model.h"

/* Reads them all and finishes the model, with its history where asked for. What could not be read is said on stderr, after `command`; *ret_unreadable tells
 * whether there was any such trace, a damaged one, or a directory without traces. Returns 0, or -ENOMEM, which is said too. The
 * caller frees the model in either case. */
int pinw_inputs_read(const char *command, int count, char **paths, bool with_history,
                     struct pinw_model **ret_model, bool *ret_unreadable);

/* Calls fn(arg, file) for each of them without reading any, the *.pwt of a directory by name. Returns whether all directories could
 * be read and had one; what was wrong is said on stderr, after `command`, unless that is NULL. */
bool pinw_inputs_each(const char *command, int count, char **paths, void (*fn)(void *arg, const char *file),
                      void *arg);

#endif
