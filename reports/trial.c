/* SPDX-License-Identifier: MIT */
#include "reports/trial.h"

#include <errno.h>
#include <string.h>

#include "reports/inputs.h"
#include "reports/policy_cmds.h"
#include "reports/say.h"

static bool same_host(const struct pinw_policy_host *a, const struct pinw_policy_host *b)
{
	return a->mask_words == b->mask_words && a->today == b->today &&
	       memcmp(a->baseline, b->baseline, a->mask_words * sizeof(*a->baseline)) == 0;
}

/* The policy as it is on that process's machine and day. Says what is wrong. */
static int parse_for(struct pinw_trial *t, const char *command, const struct pinw_process *p)
{
	struct pinw_policy_host host;
	struct pinw_policy_error wrong = {0};

	pinw_rehearsal_host(p, &host);
	if (t->has_parsed && same_host(&t->host, &host))
		return 0;
	pinw_policy_parsed_done(&t->parsed);
	t->has_parsed = false;
	int error = pinw_policy_file_parse(&t->file, &host, &t->parsed, &wrong);
	if (error == -EINVAL) {
		pinw_policy_file_complain(t->file.path, &wrong);
		pinw_say("%s: the policy was read with the CPUs and the date of %s", command, p->path);
	}
	t->host = host;
	t->has_parsed = error == 0;
	return error;
}

static int rehearse_all(struct pinw_trial *t, const char *command)
{
	bool begun = false;

	for (size_t i = 0; i < t->model->process_count; i++) {
		const struct pinw_process *p = t->model->processes[i];
		if (p->error)
			continue;
		int error = parse_for(t, command, p);
		if (error == 0 && !begun)
			error = pinw_rehearsal_init(&t->rehearsal, t->parsed.policy->rule_count);
		begun = true;
		if (error == 0)
			error = pinw_rehearse(&t->rehearsal, t->parsed.policy, p, t->stacks);
		if (error < 0)
			return error;
	}
	return 0;
}

int pinw_trial_run(struct pinw_trial *t, const char *command, const char *policy, int count, char **traces)
{
	struct pinw_policy_error wrong = {0};
	int error = pinw_policy_file_read(&t->file, policy, &wrong);

	if (error == -EINVAL) {
		pinw_policy_file_complain(policy, &wrong);
		return PINW_POLICY_BAD;
	}
	if (error == 0)
		error = pinw_stacks_open(&t->stacks);
	if (error == 0 && pinw_inputs_read(command, count, traces, false, &t->model, &t->unreadable) < 0)
		return PINW_POLICY_UNREADABLE; /* said */
	if (error == 0)
		error = rehearse_all(t, command);
	if (error == -EINVAL && !t->has_parsed)
		return PINW_POLICY_BAD; /* said */
	if (error < 0) {
		pinw_say("%s: %s", command, strerror(-error));
		return PINW_POLICY_UNREADABLE;
	}
	return 0;
}

void pinw_trial_done(struct pinw_trial *t)
{
	pinw_rehearsal_done(&t->rehearsal);
	pinw_policy_parsed_done(&t->parsed);
	pinw_policy_file_done(&t->file);
	pinw_stacks_free(t->stacks);
	pinw_model_free(t->model);
}

uint64_t pinw_trial_violations(const struct pinw_trial *t, unsigned *ret_rules)
{
	uint64_t sum = 0;

	*ret_rules = 0;
	for (unsigned i = 0; i < t->rehearsal.rule_count; i++) {
		sum += t->rehearsal.tally[i].violations;
		*ret_rules += t->rehearsal.tally[i].violations > 0;
	}
	return sum;
}
