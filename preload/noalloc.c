/* SPDX-License-Identifier: MIT
 *
 * What malloc is inside the shim: nothing. The shim itself never asks; libiberty's
 * demangler, which it links, has paths that do, most not taken here, one (Rust names
 * outside ASCII) taken and told that there is no memory. The linker sends all of
 * them here (--wrap in the Makefile), so the host's allocator is out of reach
 * whatever a library does.
 */
#include <stddef.h>

void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *memory, size_t size);
void __wrap_free(void *memory);

void *__wrap_malloc(size_t size)
{
	(void)size;
	return NULL;
}

void *__wrap_realloc(void *memory, size_t size)
{
	(void)memory;
	(void)size;
	return NULL;
}

void __wrap_free(void *memory)
{
	(void)memory;
}
