/* SPDX-License-Identifier: MIT
 *
 * Says what a second reader finds in traces: intact TRACE... One line "torn N in-flight N written N dropped N", the
 * sum over all of them. Status 1 when one cannot be read, holds a torn record, or holds another number of events than
 * its process counted.
 */
#include "tests/faults/scan.h"

#include <stdio.h>

static void count_event(unsigned type, const void *payload, unsigned bytes, void *arg)
{
	(void)type, (void)payload, (void)bytes;
	++*(uint64_t *)arg;
}

int main(int argc, char **argv)
{
	struct scan sum = {0};
	int status = 0;

	for (int i = 1; i < argc; i++) {
		uint64_t events = 0;
		struct scan one;

		if (scan_trace(argv[i], count_event, &events, &one) < 0) {
			fprintf(stderr, "%s: no trace\n", argv[i]);
			status = 1;
			continue;
		}
		sum.written += one.written;
		sum.torn += one.torn;
		sum.in_flight += one.in_flight;
		sum.dropped += one.dropped;
		/* A process may be killed between a record and its count. */
		if (one.torn || events < one.written || events > one.written + 64) {
			fprintf(stderr, "%s: %lu events, %lu counted, %lu torn\n", argv[i],
			        (unsigned long)events, (unsigned long)one.written, (unsigned long)one.torn);
			status = 1;
		}
	}
	printf("torn %lu in-flight %lu written %lu dropped %lu\n", (unsigned long)sum.torn,
	       (unsigned long)sum.in_flight, (unsigned long)sum.written, (unsigned long)sum.dropped);
	return status;
}
