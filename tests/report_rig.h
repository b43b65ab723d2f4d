/* SPDX-License-Identifier: MIT
 *
 * A folder of traces for tests of what is read from them, and what they say: as a model, as
 * a report. Suites have make_folder and remove_folder as their .init and .fini.
 */
#ifndef PINW_TESTS_REPORT_RIG_H
#define PINW_TESTS_REPORT_RIG_H

#include <stdbool.h>

#include "policy/policy.h"
#include "reports/model.h"
#include "tests/trace_builder.h"

#define SECOND UINT64_C(1000000000)

extern char folder[64];

void make_folder(void);
void remove_folder(void);

/* The path of a file there; good for three calls more. */
const char *in_folder(const char *name);

/* Ends the story: the builder is done with. */
void write_trace(struct pinw_builder *b, const char *name);

/* The model of all traces there; of a single one; and the process of that. */
struct pinw_model *read_folder(void);
struct pinw_model *model_of(struct pinw_builder *b);
const struct pinw_process *only(const struct pinw_model *m);

enum format { TEXT, COLORED_TEXT, ALL_TEXT, JSON };

/* The report on every trace in the folder. The caller frees it. */
char *render(enum format format);

/* Runs a command with up to three arguments (NULL ends them), everything it says going to the files "out" and "err" in the
 * folder. Returns its status. */
int run_command(int (*command)(int, char **), const char *one, const char *two, const char *three);

/* What is in a file of the folder, 64 KiB at most. The caller frees it. */
char *said_in(const char *name);

/* Nothing in it can act on a terminal, and no line is longer than the page. */
void expect_harmless(const char *text, bool limited);
void expect_has(const char *text, const char *part);
void expect_has_not(const char *text, const char *part);
void expect_starts(const char *text, const char *part);

/* A process with some of everything in it, hostile names included; and one in which nothing happens. */
void tell_much(struct pinw_builder *b);
void tell_nothing(struct pinw_builder *b, uint32_t pid, uint32_t parent);

/* Locks by Go of every end, all taken by a function of this very program that is called handle_request. */
void tell_golocks(struct pinw_builder *b);

/* A process under a policy: rules broken in every way, rules that never matched, suppressions used and unused. */
void tell_breaches(struct pinw_builder *b, enum pinw_mode mode);

/* A story whose only pin was made from somebody_calls(), in this very program. */
void tell_of_myself(struct pinw_builder *b, uint16_t build_id_len);

#endif
