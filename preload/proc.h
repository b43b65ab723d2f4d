/* SPDX-License-Identifier: MIT
 *
 * What the kernel says in /proc and by simple system calls, read without libc:
 * no allocation, no errno, no cancellation point. Buffers are the caller's.
 */
#ifndef PINW_PROC_H
#define PINW_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads up to len - 1 bytes of a file and terminates them. Returns the length or -errno. */
long pinw_proc_read(const char *path, char *buf, size_t len);

/* Where a symbolic link points. Returns its length (not terminated, cut at len) or -errno. */
long pinw_proc_readlink(const char *path, char *buf, size_t len);

/* Fields of /proc/PID/stat (pid 0: this process): parent and start time in clock ticks since boot. Returns 0 or -errno. */
int pinw_proc_stat(uint32_t pid, uint32_t *ret_ppid, uint64_t *ret_start_ticks);

/* Is this thread of ours past the point where it can run user code (PF_EXITING)? Also true when it is gone. */
bool pinw_proc_is_exiting(uint32_t tid);

/* A thread's mask, from the kernel. tid 0 is the caller. Returns 0 or -errno. */
int pinw_proc_affinity(uint32_t tid, uint64_t *ret_mask, unsigned words);

/* Words that hold every CPU this machine can have. */
unsigned pinw_proc_mask_words(void);

/* CPUs online now; 0 when it cannot be told. */
unsigned pinw_proc_cpus_online(void);

/* Calls fn(tid, arg) for each task of this process. Returns their number or -errno. Not reentrant: one caller at a time. */
long pinw_proc_each_task(void (*fn)(uint32_t tid, void *arg), void *arg);

/* Does this tid belong to a thread of this process? */
bool pinw_proc_is_our_task(uint32_t pid, uint32_t tid);

/* CPU time that a thread of this process has used; 0 when it cannot be told. */
uint64_t pinw_proc_cpu_ns(uint32_t tid);

uint32_t pinw_proc_tid(void);
uint32_t pinw_proc_pid(void);

/* One write that never raises SIGPIPE in the host. Returns what was written or -errno. */
long pinw_proc_write(int fd, const char *text, size_t len);

/* Writes one message to stderr, if it is still the file it was when the image started: 0 too when it is not. -EAGAIN: nobody
 * reads what is there, and after a second's wait the message, or the rest of it, is lost. */
long pinw_proc_stderr(const char *text, size_t len);

/* Copies memory that may not be there. Returns how many bytes could be read; 0 once the target sealed itself. */
size_t pinw_proc_peek(void *to, const void *from, size_t len);

/* Zeroed memory of our own, never given back; NULL when there is none. */
void *pinw_proc_map(size_t bytes);

/* Remembers what stderr is. */
void pinw_proc_stderr_init(void);

/* String building in a fixed buffer: appends and keeps it terminated; cut when full. Returns the new length. */
size_t pinw_put(char *buf, size_t size, size_t at, const char *text);
size_t pinw_put_bytes(char *buf, size_t size, size_t at, const char *bytes, size_t len);
size_t pinw_put_number(char *buf, size_t size, size_t at, uint64_t value);
size_t pinw_put_hex(char *buf, size_t size, size_t at, uint64_t value);

/* Decimal digits at *text, advanced past them. */
uint64_t pinw_get_number(const char **text);

#endif
