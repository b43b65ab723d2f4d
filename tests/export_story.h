/* SPDX-License-Identifier: MIT
 *
 * One process for tests of the formats for tools, with one of each thing they have to show and names that want to break
 * out of them. What it tells, by thread (all times in ns):
 *
 *   1  main; alive. A Go lock from 2000, still open; goroutine 17
 *   2  created at 100 at site 1, ran 110..5000. Pins itself at site 2 on CPU 1 from 1000 to 3000, then on CPU 2 at 4000
 *      and ends with it: exit-while-pinned
 *   3  created at 200 at site 1, ran 210..: born pinned on CPU 0, alive: pinned-at-end. Takes a Go lock at 300, unlocks it
 *      at site 3 at 800; another at 900 that is destroyed at 1900
 *   4  created at 400 at site 4 whose stack is not in the trace, ran 410..600; neither joined nor detached: unjoined
 *   5  adopted at 700; inherited nothing; mask changed from outside at 750
 *
 * One violation (thread 2 at 1000, rule 1, denied). The process ends at 9000 ns with status 3.
 */
#ifndef PINW_TESTS_EXPORT_STORY_H
#define PINW_TESTS_EXPORT_STORY_H

#include "tests/trace_builder.h"

#define STORY_EXE "/opt/a;b\"</script>\n\xff/pro;gram"
#define STORY_NAME "wo;r\"\n\xfe<k" /* of thread 2 */
#define STORY_END 9000u

void tell_all(struct pinw_builder *b);

#endif
