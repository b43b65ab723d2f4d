/* SPDX-License-Identifier: MIT
 *
 * Loaded objects, by the addresses of stack frames. An object is found with
 * _dl_find_object, which takes no lock, and recorded in the trace when a frame
 * in it is first met. An object that is unloaded and another that takes its place
 * are two modules. All calls need the site lock.
 */
#ifndef PINW_MODULE_H
#define PINW_MODULE_H

#include <stdint.h>

/* Bumped by the dlclose wrapper when an object went away: what was learnt by address must be checked again. */
extern uint32_t pinw_module_gen; /* atomic */

/* The module that holds `pc`: its id, and pc's address inside its file in *ret_offset. 0 (JIT code, or no room
 * for more modules): *ret_offset is pc itself. */
uint32_t pinw_module_of(uintptr_t pc, uint64_t *ret_offset);

/* Records a module in this image's trace unless it is there. */
void pinw_module_keep(uint32_t id);

/* Where the code at `offset` of a module is in memory; 0 when the module is not there any more. */
uintptr_t pinw_module_address(uint32_t id, uint64_t offset);

/* Path of a module for the log, or NULL. */
const char *pinw_module_path(uint32_t id);

/* Its build id as it was loaded, *ret_len bytes; 0 when it has none. */
const uint8_t *pinw_module_build_id(uint32_t id, unsigned *ret_len);

/* The main program's path, for objects the loader leaves unnamed. Borrowed for ever. */
void pinw_module_init(const char *exe, uint32_t exe_len);

#endif
