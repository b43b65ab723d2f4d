/* SPDX-License-Identifier: MIT
 *
 * Go's names of functions: "net/http.(*conn).serve", "main.(*server).pinHandler.func1", "main.Map[...]". What they
 * are made of, and whether the functions that a lock and its unlock were called by are the same. Pure: no memory, no I/O.
 */
#ifndef PINW_POLICY_GONAME_H
#define PINW_POLICY_GONAME_H

#include <stdbool.h>
#include <stddef.h>

/* The parts of a name, as offsets from its start. */
struct pinw_goname {
	size_t package; /* after the last slash of the package's path: "http.(*conn).serve" */
	size_t inside; /* after the package: "(*conn).serve" */
	size_t last; /* the function or method alone: "serve" */
	size_t
	    end; /* of the function; beyond it is what makes it a closure, a deferred or a started call of it:
	             * ".func1", ".deferwrap1", ".gowrap1", "-range1", "-fm" */
};

/* Takes a name apart. False: it is not a name of Go's. C's names have no dots but those of clones, which policy/spell.c
 * knows; mangled names of C++ and Rust begin with an underscore. */
bool pinw_goname_split(const char *name, struct pinw_goname *ret);

/* Of package runtime itself? */
bool pinw_goname_is_runtime(const char *name);

/* Do both names belong to one function? A closure does to the function it is written in. */
bool pinw_goname_same(const char *a, const char *b);

/* Were a lock and its unlock called by one function? Each is the stack of the call, innermost first, calls that were
 * inlined included: the innermost frames that are not the runtime's are compared. An unlock that a panic or Goexit runs may
 * be called by the runtime alone, and then belongs to any function that is still on the stack. True, too, when a stack
 * has no such frame: nothing is known then. */
bool pinw_goname_pairs(const char *const *lock, unsigned lock_count, const char *const *unlock,
                       unsigned unlock_count);

#endif
