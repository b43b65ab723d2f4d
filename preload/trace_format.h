/* SPDX-License-Identifier: MIT
 *
 * The trace file: the one place where preload/ (writer) and reports/ (reader) meet.
 *
 * One file per process image. The writer maps it MAP_SHARED, so every committed
 * byte survives kill -9. All integers are little endian, all times nanoseconds.
 *
 *   offset 0      struct pinw_trace_header   4096 bytes, written once, magic last
 *   offset 4096   struct pinw_trace_live     4096 bytes, counters and histograms, always current
 *   offset 8192   segments, back to back, each starting with struct pinw_segment
 *
 * A segment holds either thread slots (live state), rule cells (what a policy did),
 * metadata records (modules, sites, functions, rules) or event records. Records are made of 64-byte cells: a record's first
 * cell is committed last, by a release store of its head, so a cell whose type
 * is 0 was never committed (in flight when the process died) and a reader steps
 * over it, cell by cell. A file may end in zeros or in a partly written segment
 * (killed while growing): that is not damage.
 *
 * Raise PINW_TRACE_VERSION when an existing field changes its meaning or place.
 * Do not raise it for a new record type, a longer record, a new counter at the
 * end of the live page, or a new flag: readers skip what they do not know.
 */
#ifndef PINW_TRACE_FORMAT_H
#define PINW_TRACE_FORMAT_H

#include <stdint.h>

#define PINW_TRACE_MAGIC "PINWTRC\n" /* 8 bytes, no NUL in the file */
#define PINW_TRACE_VERSION 1u

#define PINW_HEADER_BYTES 4096u
#define PINW_LIVE_OFFSET 4096u
#define PINW_LIVE_BYTES 4096u
#define PINW_SEGMENTS_OFFSET 8192u
#define PINW_SEGMENT_ALIGN 4096u /* segment sizes are multiples of this */
#define PINW_CELL_BYTES 64u
#define PINW_CELL_PAYLOAD 56u /* bytes of payload in each cell, after its head */
#define PINW_MASK_WORDS_MAX 128u /* 8,192 CPUs, the most a Debian kernel is built for */
#define PINW_FRAMES_MAX 64u
#define PINW_NAME_BYTES 16u /* TASK_COMM_LEN, NUL included */
#define PINW_PATH_MAX 1024u /* longest path kept in a record, NUL not included */

/* How this image came to be. */
enum pinw_image {
	PINW_IMAGE_START = 1, /* exec (or the shim's first load) */
	PINW_IMAGE_FORK = 2, /* fork child of a recorded image: keeps the parent's baseline */
};

/* Header flags. */
#define PINW_HDR_CLOCK_MISMATCH 0x1u /* clock_gettime is interposed: its time differs from the kernel's */
#define PINW_HDR_NO_UNWINDER 0x2u /* libunwind.so.8 could not be opened: frame pointers only */
#define PINW_HDR_CMDLINE_CUT 0x4u /* cmdline did not fit */
#define PINW_HDR_EXE_CUT 0x8u /* exe did not fit */

struct pinw_identity {
	uint8_t boot_id[16]; /* /proc/sys/kernel/random/boot_id, zero when unreadable */
	uint64_t pid_ns; /* inode of /proc/self/ns/pid, 0 when unreadable */
	uint64_t start_ticks; /* field 22 of /proc/PID/stat, clock ticks since boot */
	uint8_t nonce[16]; /* random per image; all zero = unknown */
	uint32_t pid; /* in the process's own pid namespace */
	uint32_t reserved;
};

struct pinw_trace_header {
	char magic[8];
	uint32_t version;
	uint32_t header_bytes; /* PINW_HEADER_BYTES */
	uint32_t check; /* CRC-32 (IEEE, reflected) of the whole header with check = 0 */
	uint32_t cell_bytes; /* PINW_CELL_BYTES */
	uint32_t slot_bytes; /* stride of a slot: sizeof(struct pinw_slot) + 8 * mask_words */
	uint32_t mask_words; /* 64-bit words in every mask of this file, 1..PINW_MASK_WORDS_MAX */
	uint64_t max_bytes; /* bound on the file's size */
	struct pinw_identity self;
	struct pinw_identity parent; /* pid and start_ticks known for every image, nonce after fork */
	uint8_t session[16]; /* shared by all processes of one run; all zero without one */
	uint64_t start_mono_ns; /* CLOCK_MONOTONIC at image start: time 0 of every record */
	uint64_t start_real_ns; /* CLOCK_REALTIME at the same moment */
	uint32_t image; /* enum pinw_image */
	uint32_t flags; /* PINW_HDR_* */
	uint32_t uid;
	uint32_t cpus_online; /* CPUs online at image start */
	uint32_t slots_first; /* slots in the first slot segment */
	uint32_t exe_len; /* bytes used in exe */
	uint32_t cmdline_len; /* bytes used in cmdline, NULs between arguments included */
	uint32_t version_len; /* bytes used in writer */
	char writer[32]; /* version of the shim that wrote this file */
	char exe[512]; /* /proc/self/exe, not NUL terminated */
	char cmdline[1408]; /* /proc/self/cmdline */
	uint64_t baseline[PINW_MASK_WORDS_MAX]; /* first mask_words words used */
	uint8_t pad[PINW_HEADER_BYTES - 3192];
};

/* How an image ended (pinw_trace_live.end_how). 0 = no end was recorded: it still
 * runs, or it was killed, or it left by a raw exit_group. */
enum pinw_end {
	PINW_END_NONE = 0,
	PINW_END_EXIT = 1, /* end_status: exit status 0..255 */
	PINW_END_SIGNAL = 2, /* end_status: signal; written by `pinwarden run`, the parent */
	PINW_END_EXEC = 3, /* replaced by the next image */
};

/* log2 histogram: bucket b counts durations d in ns with 2^b <= d < 2^(b+1); bucket 0 also holds 0. */
#define PINW_HIST_BUCKETS 40u
struct pinw_histogram {
	uint64_t count;
	uint64_t sum_ns;
	uint64_t bucket[PINW_HIST_BUCKETS];
};

/* Always current, updated with relaxed atomics. New counters go at the end of `counters`. */
struct pinw_counters {
	/* threads; the main thread is in live and peak only */
	uint64_t threads_created; /* pthread_create, thrd_create that succeeded */
	uint64_t threads_adopted; /* seen only by census or on first contact */
	uint64_t threads_create_failed;
	uint64_t threads_live; /* now, main included */
	uint64_t threads_peak; /* most at once, main included */
	uint64_t threads_exited;
	uint64_t threads_joined;
	uint64_t threads_detached; /* born detached + detached later */
	uint64_t threads_born_detached; /* part of threads_detached */
	/* successful affinity calls by target */
	uint64_t affinity_self;
	uint64_t affinity_cross;
	uint64_t affinity_other_process;
	uint64_t affinity_attr; /* threads created with an attribute that carries a mask */
	uint64_t affinity_failed;
	uint64_t affinity_external; /* mask changes no call explains */
	/* pins; opened = released + open now + never released by an ended thread */
	uint64_t pins_opened; /* every origin */
	uint64_t pins_released;
	uint64_t pins_open; /* open now, on live threads */
	uint64_t pins_lost; /* their thread ended with the pin open */
	uint64_t pins_born; /* part of opened */
	uint64_t pins_inherited; /* part of opened */
	uint64_t pins_external; /* part of opened */
	/* leaks known inside the host; the reader derives the others */
	uint64_t leaks_exit_while_pinned;
	uint64_t leaks_inherited;
	/* go locks */
	uint64_t golocks; /* runtime.LockOSThread on a thread that was not locked by it */
	uint64_t gounlocks; /* the count came back to 0 */
	uint64_t golock_max_depth; /* most LockOSThread calls not undone on one thread */
	/* recording itself */
	uint64_t events_written; /* records committed in event segments */
	uint64_t events_dropped; /* records that found no room */
	uint64_t sites; /* distinct stacks met */
	uint64_t sites_dropped; /* stacks whose record found no room: shown as unknown */
	uint64_t slots_unfiled; /* threads whose live slot is not in the file */
	uint64_t memo_hits;
	uint64_t unwinds; /* stacks walked in full */
	uint64_t unwinds_fp_only; /* of these, without libunwind (busy, sealed or missing) */
	uint64_t raw_clones; /* clone/clone3/fork asked for through syscall() */
	uint64_t exec_unfollowed; /* exec calls whose environment drops the preload */
	uint64_t late_events; /* events of a thread after its recorded end */
	uint64_t logged; /* leak and violation blocks written to the log */
	uint64_t log_suppressed; /* of these, held back by the per-site limit */
	/* policy */
	uint64_t affinity_denied; /* affinity calls not made */
	uint64_t threads_denied; /* creations not made */
	uint64_t pins_reset; /* inherited pins taken away at birth */
	uint64_t violations; /* verdicts of every action, suppressed leaks not included */
	uint64_t leaks_suppressed;
	uint64_t
	    stack_rules_unknown; /* stacks with an unreadable object, or no site: rules on functions may miss them */
	/* Go locks, once more; golocks = gounlocks + golocks_lost + golocks_open */
	uint64_t golocks_nested; /* LockOSThread calls on a thread already locked by one */
	uint64_t golocks_open; /* now: 0 in the file, told by the reader from the others */
	uint64_t golocks_lost; /* their M was destroyed, or parked for ever, with the lock held */
	uint64_t golocks_runtime; /* the Go runtime's own: os/signal's, not part of golocks */
	uint64_t
	    golocks_covered; /* places of the program that are watched for locks and unlocks; 0: none is */
	uint64_t golocks_denied; /* LockOSThread calls that the policy made do nothing; not part of golocks */
};

struct pinw_trace_live {
	uint32_t end_how; /* enum pinw_end, stored last with release order */
	uint32_t end_status;
	uint64_t end_ns; /* since start */
	uint32_t census_kernel; /* threads /proc/self/task listed at the last census, 0 = none taken */
	uint32_t census_seen; /* of these, threads the ledger already knew */
	uint64_t census_ns;
	uint64_t file_bytes; /* size of the file now */
	uint32_t next_thread; /* next start sequence to give out; sequences start at 1 (main) */
	uint32_t reserved;
	struct pinw_counters counters;
	uint8_t pad_counters[960 - sizeof(struct pinw_counters)];
	struct pinw_histogram create_ns; /* pthread_create, call to return (P-8) */
	struct pinw_histogram exit_ns; /* thread's recorded end to its waiting joiner's return (P-9) */
	struct pinw_histogram affinity_ns; /* affinity calls, call to return */
	uint8_t pad[PINW_LIVE_BYTES - 48 - 960 - 3 * sizeof(struct pinw_histogram)];
};

enum pinw_segment_kind {
	PINW_SEG_SLOTS = 1,
	PINW_SEG_META = 2,
	PINW_SEG_EVENTS = 3,
	PINW_SEG_RULES =
	    4, /* struct pinw_rule_cell, one for each rule of the policy; only with a policy, made first */
};

#define PINW_SEGMENT_MAGIC 0x47455350u /* "PSEG" */

/* First 64 bytes of a segment. magic is stored last: 0 = segment not finished. */
struct pinw_segment {
	uint32_t magic;
	uint32_t kind; /* enum pinw_segment_kind */
	uint64_t bytes; /* this header included; multiple of PINW_SEGMENT_ALIGN */
	uint32_t first; /* slots: index of its first slot; else: running number among its kind */
	uint32_t check; /* kind ^ (bytes as u32) ^ first ^ PINW_SEGMENT_MAGIC */
	uint64_t reserved_cells; /* records: cells handed out so far, may exceed what fits */
	uint8_t pad[32];
};

/* ---- thread slots: live state ------------------------------------------------ */

enum pinw_slot_state {
	PINW_SLOT_FREE = 0,
	PINW_SLOT_CREATED = 1, /* pthread_create called, start routine not reached */
	PINW_SLOT_RUNNING = 2,
	PINW_SLOT_EXITED = 3, /* ended, joinable, nobody joined or detached it yet */
};

enum pinw_origin { /* of a pin */
	           PINW_ORIGIN_NONE = 0,
	           PINW_ORIGIN_SELF = 1,
	           PINW_ORIGIN_CROSS = 2,
	           PINW_ORIGIN_BORN = 3,
	           PINW_ORIGIN_INHERITED = 4,
	           PINW_ORIGIN_EXTERNAL = 5,
	           PINW_ORIGIN_GOLOCK = 6, /* in reports only: no pin of CPUs, but a Go lock */
};

#define PINW_THREAD_MAIN 0x1u
#define PINW_THREAD_ADOPTED 0x2u
#define PINW_THREAD_DETACHED 0x4u /* born detached or detached */
#define PINW_THREAD_BORN_DETACHED 0x8u
#define PINW_THREAD_THRD 0x10u /* made by thrd_create */
#define PINW_THREAD_ATTR_AFFINITY 0x20u /* created with an attribute that carries a mask */
#define PINW_THREAD_CENSUS 0x40u /* adopted by census (else on first contact) */
#define PINW_THREAD_TEMPLATE                                                                                 \
	0x80u /* the template thread of a Go runtime: rules on the number of threads leave it out */

/* Followed by mask_words words: the thread's current mask. */
struct pinw_slot {
	uint32_t state; /* enum pinw_slot_state */
	uint32_t thread; /* start sequence, 1 = main */
	uint32_t tid; /* kernel tid, 0 until started */
	uint32_t flags; /* PINW_THREAD_* */
	uint32_t creator; /* start sequence of the creator, 0 unknown */
	uint32_t create_site;
	uint64_t create_ns; /* since image start */
	uint64_t start_ns;
	uint64_t exit_ns;
	uint64_t pthread; /* the pthread_t */
	char name[PINW_NAME_BYTES];
	uint32_t pin_depth; /* 0 = not pinned */
	uint32_t pin_origin; /* enum pinw_origin */
	uint32_t pin_site;
	uint32_t pin_by; /* start sequence of the thread that set it, 0 unknown or external */
	uint64_t pin_since_ns;
	uint32_t pins_opened; /* over this thread's life */
	uint32_t exit_how; /* enum pinw_exit */
	uint32_t affinity_calls; /* successful calls with this thread as target */
	uint32_t busy; /* writer's own: nonzero while the slot is being changed, the tid of who does it */
	uint64_t start_routine; /* runtime address, 0 unknown */
	/* What was said about this thread by rules that speak once (PINW_TOLD_*), inside the program, and by `pinwarden run`,
	 * which writes the three fields after it. Each looks at the other's before it speaks. */
	uint64_t told;
	uint64_t watch_told;
	uint64_t
	    watch_idle_pin; /* 1 + pin_since_ns (or golock_since_ns) of the pin (or Go lock) whose idleness it told
	                            last, 0 = none */
	uint32_t watch_thread; /* the thread that its fields are about; another one: void */
	uint32_t golock_depth; /* LockOSThread calls when it was locked last; 0 = no Go lock is open */
	uint64_t golock_since_ns;
	uint64_t golock_goid; /* goroutine that holds it */
	uint32_t golock_site;
	uint32_t golocks; /* over this thread's life */
	uint8_t pad[8];
};

/* Bits of `told` and `watch_told`. The [require] rules have the others, in their order; past the 62nd they share. */
#define PINW_TOLD_UNJOINED UINT64_C(1)
#define PINW_TOLD_IDLE UINT64_C(2) /* only in `told`, and only while the pin is held */
#define PINW_TOLD_REQUIRE(nth) (UINT64_C(4) << (nth) % 62u) /* nth: from 0 */

/* ---- rules: what a policy did, always current ------------------------------------- */

/* By rule id - 1. The rule itself is in its PINW_REC_RULE. Counters are relaxed atomics of the shim's, but for watch_*, which
 * `pinwarden run` writes: rules about time that it decided. */
struct pinw_rule_cell {
	uint32_t id; /* 1.. */
	uint32_t
	    watch_matched; /* suppress: leaks it suppressed that `pinwarden run` found; add it to `matched` */
	uint64_t matched; /* times its predicates held; suppress: leaks it suppressed */
	uint64_t violations; /* verdicts by this rule that were not withdrawn */
	uint64_t
	    done; /* of these, carried out: denied, reset, crashed (the others: logged, or would have been) */
	uint64_t last_ns; /* time of the last one, since image start */
	uint32_t last_thread; /* thread it was about */
	uint32_t watch_thread;
	uint64_t watch_violations;
	uint64_t watch_ns; /* time of the last one, since image start */
};

/* ---- records ------------------------------------------------------------------ */

/* Head of every cell. In the first cell: type, cells, bytes, check of the record.
 * In continuation cells: type PINW_REC_CONT and index 1, 2, ...; bytes and check 0. */
struct pinw_cell_head {
	uint8_t type; /* enum pinw_record, 0 = not committed */
	uint8_t cells; /* cells of the whole record, 1..255 */
	uint8_t index; /* 0 in the first cell */
	uint8_t reserved;
	uint16_t bytes; /* payload bytes used, over all cells */
	uint16_t check; /* pinw_record_check() */
};

struct pinw_cell {
	struct pinw_cell_head head;
	uint64_t payload[PINW_CELL_PAYLOAD / 8];
};

enum pinw_record {
	PINW_REC_NONE = 0,
	/* events */
	PINW_REC_THREAD_CREATE = 1,
	PINW_REC_THREAD_START = 2,
	PINW_REC_THREAD_EXIT = 3,
	PINW_REC_THREAD_JOIN = 4,
	PINW_REC_THREAD_DETACH = 5,
	PINW_REC_THREAD_NAME = 6,
	PINW_REC_THREAD_ADOPT = 7,
	PINW_REC_AFFINITY = 8,
	PINW_REC_PIN_EXTERNAL = 9,
	PINW_REC_EXEC = 10,
	PINW_REC_NOTE = 11,
	PINW_REC_VIOLATION = 12,
	PINW_REC_GOLOCK = 13,
	/* metadata */
	PINW_REC_MODULE = 64,
	PINW_REC_SITE = 65,
	PINW_REC_POLICY = 66,
	PINW_REC_RULE = 67,
	PINW_REC_FUNCTION = 68,
	PINW_REC_CONT = 255,
};

/* Every event starts with this. */
struct pinw_event {
	uint64_t time_ns; /* since image start */
	uint32_t thread; /* start sequence of the acting thread, 0 = not a known thread */
	uint32_t site; /* site id, 0 = none */
};

struct pinw_rec_create {
	struct pinw_event e; /* thread: the creator; site: creation site */
	uint32_t new_thread; /* 0 when it failed */
	uint16_t error; /* 0 or errno */
	uint16_t flags; /* PINW_THREAD_BORN_DETACHED | _THRD | _ATTR_AFFINITY | _TEMPLATE */
	uint64_t latency_ns; /* call to return */
	/* with _ATTR_AFFINITY: mask_words words, the attribute's mask */
};

struct pinw_rec_start {
	struct pinw_event e; /* thread: itself; site: the pin's site when origin is born or inherited */
	uint32_t tid;
	uint16_t origin; /* enum pinw_origin: the pin it starts with */
	uint16_t reserved;
	uint32_t pin_by; /* creator when born or inherited */
	uint32_t reserved2;
	/* mask_words words: its mask, read from the kernel */
};

enum pinw_exit {
	PINW_EXIT_UNKNOWN = 0, /* alive, or ended unseen (adopted threads) */
	PINW_EXIT_RETURN = 1,
	PINW_EXIT_PTHREAD_EXIT = 2, /* pthread_exit or thrd_exit */
	PINW_EXIT_CANCEL = 3,
};

struct pinw_rec_exit {
	struct pinw_event e; /* thread: itself; site: the open pin's site, 0 when not pinned */
	uint16_t how; /* enum pinw_exit */
	uint16_t origin; /* of the open pin, 0 = not pinned: else this is a leak */
	uint32_t depth;
	uint64_t held_ns; /* how long the open pin was held */
	uint32_t pin_by;
	uint32_t create_site;
	/* mask_words words: its mask at the end, read from the kernel */
};

struct pinw_rec_join { /* PINW_REC_THREAD_JOIN and _DETACH, successful ones */
	struct pinw_event e;
	uint32_t target; /* start sequence, 0 unknown */
	uint32_t reserved;
	uint64_t waited_ns; /* join: call to return */
};

struct pinw_rec_name {
	struct pinw_event e; /* thread: who named */
	uint32_t target;
	uint32_t reserved;
	char name[PINW_NAME_BYTES]; /* NUL padded */
};

struct pinw_rec_adopt {
	struct pinw_event e; /* thread: the adopted one's new sequence */
	uint32_t tid;
	uint32_t flags; /* PINW_THREAD_CENSUS or 0 */
	char name[PINW_NAME_BYTES];
	/* mask_words words: its mask */
};

enum pinw_call {
	PINW_CALL_SETAFFINITY = 1, /* sched_setaffinity */
	PINW_CALL_PTHREAD_SETAFFINITY = 2, /* pthread_setaffinity_np */
	PINW_CALL_SYSCALL = 3, /* syscall(SYS_sched_setaffinity, ...) */
	PINW_CALL_RAW = 4, /* a raw system call seen by other means (Go) */
};

enum pinw_relation {
	PINW_REL_SELF = 1,
	PINW_REL_CROSS = 2,
	PINW_REL_OTHER_PROCESS = 3,
};

enum pinw_effect { /* on the target's pin */
	           PINW_EFFECT_NONE = 0,
	           PINW_EFFECT_OPEN = 1,
	           PINW_EFFECT_NARROW = 2, /* depth + 1 */
	           PINW_EFFECT_MOVE = 3, /* still pinned, depth unchanged */
	           PINW_EFFECT_RELEASE = 4,
};

#define PINW_AFF_REQUESTED 0x1u /* a third mask follows: what was asked for, since it differs from `after` */
#define PINW_AFF_VFORK 0x2u /* made by a vfork child, before its exec */
#define PINW_AFF_CONTENDED 0x4u /* another change of the same thread ran at once: effect not booked */

struct pinw_rec_affinity {
	struct pinw_event e;
	uint32_t target; /* start sequence, 0 when in another process */
	uint32_t target_tid; /* kernel tid, as the kernel would name it */
	uint16_t error; /* 0 or errno: then before = after */
	uint8_t call; /* enum pinw_call */
	uint8_t relation; /* enum pinw_relation */
	uint8_t effect; /* enum pinw_effect */
	uint8_t flags; /* PINW_AFF_* */
	uint16_t depth; /* after the call */
	uint32_t cost_ns; /* call to return, saturated */
	uint32_t cpusetsize; /* as passed, saturated */
	/* masks: before, after [, requested], mask_words words each */
};

enum pinw_seen_at {
	PINW_SEEN_START = 1, /* thread start */
	PINW_SEEN_EXIT = 2, /* thread end */
	PINW_SEEN_CENSUS = 3, /* process end, exec or another census */
	PINW_SEEN_IMAGE = 4, /* image start (fork child) */
	PINW_SEEN_CALL = 5, /* a later affinity call */
};

struct pinw_rec_external {
	struct pinw_event e; /* thread: whose mask changed */
	uint32_t tid;
	uint8_t seen_at; /* enum pinw_seen_at */
	uint8_t effect; /* enum pinw_effect */
	uint16_t depth;
	uint64_t reserved;
	/* masks: before, after */
};

#define PINW_EXEC_UNFOLLOWED 0x1u /* the new environment has no preload of ours */
#define PINW_EXEC_FAILED 0x2u /* exec returned; error says why */

struct pinw_rec_exec {
	struct pinw_event e;
	uint16_t flags;
	uint16_t error;
	uint32_t path_len;
	/* path_len bytes: the path as passed */
};

enum pinw_note {
	PINW_NOTE_SECCOMP =
	    1, /* the target sealed itself; no optional system call since: stacks by frame pointers only */
	PINW_NOTE_NO_GROWTH = 2, /* the file could not grow; arg: errno */
	PINW_NOTE_FDS_CLOSED = 3, /* reserved */
	PINW_NOTE_CENSUS_FAILED = 4, /* /proc/self/task unreadable; arg: errno */
	PINW_NOTE_SYMBOL_MISSING = 5, /* an interposed function does not exist here; arg: its index */
	PINW_NOTE_LOG_FAILED = 6, /* the log could not be opened; arg: errno */
	PINW_NOTE_CHROOT = 7, /* the target changed its root directory */
	/* a Go program, whose locks of threads are not counted */
	PINW_NOTE_GO_NO_CGO = 8, /* it does without the C library's threads */
	PINW_NOTE_GO_NO_TABLE = 9, /* the runtime's table of functions was not found */
	PINW_NOTE_GO_INLINED = 10, /* LockOSThread is inlined everywhere (PGO) */
	PINW_NOTE_GO_UNKNOWN = 11, /* LockOSThread is not the code of a version that is known */
	PINW_NOTE_GO_UNLOCKS = 12, /* no unlock was found, or too many; arg: how many too many */
	PINW_NOTE_GO_MEMORY = 13, /* no page near the code, or the code may not be changed; arg: errno or 0 */
	PINW_NOTE_GO_LIBRARY =
	    18, /* a shared library's; arg: how many there may be, 0: the process is sealed */
	/* they are counted, but */
	PINW_NOTE_GO_MEXIT = 14, /* a locked main thread's end is not seen */
	PINW_NOTE_GO_EXIT = 15, /* the end of the process is not seen: Go leaves by a raw exit_group */
	PINW_NOTE_GO_COPIES = 21, /* not where LockOSThread is inlined (PGO); arg: at how many places */
	PINW_NOTE_GO_PLUGINS = 20, /* not in Go plugins, which the program can load */
	PINW_NOTE_GO_RAW =
	    17, /* its affinity calls are not seen: system calls go another way (before Go 1.19) */
	PINW_NOTE_GO_STACK = 19, /* those of some threads are not: there is no memory for hooks to run on */
};

struct pinw_rec_note {
	struct pinw_event e;
	uint32_t code; /* enum pinw_note */
	uint32_t arg;
};

enum pinw_golock_kind {
	PINW_GOLOCK_LOCK = 1, /* from 0 to 1 */
	PINW_GOLOCK_UNLOCK = 2, /* back to 0 */
	PINW_GOLOCK_UNLOCK_UNSEEN =
	    3, /* it had come back to 0, as the next lock shows; when and where is not known */
	PINW_GOLOCK_DESTROYED =
	    4, /* its goroutine ended, and the M with it; the main thread parks for ever */
};

#define PINW_GOLOCK_UNTIMED 1u /* an unlock, at a time that was not looked at: time_ns is that of the lock */

struct pinw_rec_golock {
	struct pinw_event
	    e; /* thread: the locked one; site: where it was locked or unlocked, 0 with _UNSEEN and _DESTROYED */
	uint32_t kind; /* enum pinw_golock_kind */
	uint32_t depth; /* most LockOSThread calls not undone while it was held */
	uint64_t goid; /* goroutine */
	uint64_t held_ns; /* 0 with _LOCK */
	uint32_t lock_site; /* where it was locked */
	uint32_t flags; /* PINW_GOLOCK_UNTIMED */
};

/* What was attempted. */
enum pinw_attempted {
	PINW_ATTEMPT_CREATE = 1, /* a thread; mask: none */
	PINW_ATTEMPT_PIN = 2, /* an affinity call; mask: the one asked for */
	PINW_ATTEMPT_BORN = 3, /* a thread with an attribute that carries a mask; mask: that */
	PINW_ATTEMPT_INHERIT = 4, /* a thread created by a pinned one; mask: that would be inherited */
	PINW_ATTEMPT_EXIT = 5, /* a thread's end */
	PINW_ATTEMPT_END = 6, /* the image's end, for each thread that it is about */
	PINW_ATTEMPT_RUN = 7, /* nothing: time passed (require) */
	PINW_ATTEMPT_LOCK = 8, /* a Go lock */
};

/* What was done about it. */
enum pinw_done {
	PINW_DONE_LOGGED = 1,
	PINW_DONE_DENIED = 2,
	PINW_DONE_RESET = 3,
	PINW_DONE_CRASHED = 4,
	PINW_DONE_WOULD = 5, /* audit: `action` says what would have been done */
	PINW_DONE_FAILED = 6, /* a reset that the kernel refused */
};

/* A verdict against a rule. */
struct pinw_rec_violation {
	struct pinw_event e; /* thread: the acting one; site: of the call, or of the leaked pin */
	uint32_t rule; /* id */
	uint8_t action; /* the rule's: 1 log, 2 deny, 3 reset, 4 crash (enum pinw_action) */
	uint8_t done; /* enum pinw_done */
	uint8_t attempt; /* enum pinw_attempted */
	uint8_t
	    leak; /* 1 + the kind's place in the [leak] section's list (enum pinw_policy_leak), 0 = no leak */
	uint32_t target; /* thread it is about, 0 = none or not a known one */
	uint32_t error; /* errno the caller was given, 0 */
	uint64_t value; /* what was counted against the limit or rate, 0 = nothing */
	uint64_t limit;
	/* mask_words words: the mask, all zero = none */
};

/* The policy this image runs under. */
struct pinw_rec_policy {
	uint64_t hash; /* FNV-1a of its text */
	uint32_t mode; /* 1 audit, 2 enforce (enum pinw_mode) */
	uint32_t rules;
	uint32_t path_len;
	uint32_t reserved;
	/* path_len bytes */
};

struct pinw_rec_rule {
	uint32_t id; /* 1.. */
	uint32_t line;
	uint8_t section; /* enum pinw_section */
	uint8_t action; /* enum pinw_action */
	uint16_t reserved;
	uint32_t label_len; /* at most PINW_PATH_MAX */
	/* label_len bytes: "ban:NAME", "caps:max_threads" */
};

/* A loaded object. ids start at 1 and are never reused, so a path loaded again
 * after dlclose is a new module. */
struct pinw_rec_module {
	uint32_t id;
	uint16_t path_len;
	uint16_t build_id_len; /* 0..32 */
	uint64_t base; /* load bias: file address = runtime address - base */
	uint64_t start; /* mapped range at runtime */
	uint64_t end;
	uint8_t build_id[32];
	/* path_len bytes of path; "[vdso]" for the vDSO */
};

#define PINW_SITE_TRUNCATED 0x1u /* the stack goes on, the walk ended early */
#define PINW_SITE_FP 0x2u /* at least one frame found by frame pointer */
#define PINW_SITE_SIGNAL 0x4u /* crosses a signal frame */

struct pinw_rec_frame {
	uint32_t module; /* 0 = in no module: offset is the runtime address (JIT code) */
	uint32_t offset_low; /* module-relative address (runtime address - base), low half */
	uint32_t offset_high;
};

/* A stack, innermost frame first. Frame 0 is the call site: the innermost frame outside the shim.
 * Addresses are return addresses: subtract 1 to look up the call. */
struct pinw_rec_site {
	uint32_t id; /* starts at 1 */
	uint16_t frames; /* 0..PINW_FRAMES_MAX */
	uint16_t flags; /* PINW_SITE_* */
	/* frames * struct pinw_rec_frame */
};

#define PINW_FUNCTION_INLINED 0x1u /* into the function of the next depth */

/* What the program itself calls the function of a frame, where it carries its own table of them (Go): known still when its
 * file is gone. Where calls were inlined, one record for each. Written after the first site that has the frame; not of every
 * frame where there are very many. */
struct pinw_rec_function {
	uint32_t module;
	uint32_t line; /* 0 unknown */
	uint64_t offset; /* as the frame has it: a return address */
	uint32_t distance; /* of that from the start of the function that has the code */
	uint16_t name_len; /* at most PINW_PATH_MAX */
	uint16_t file_len; /* at most PINW_PATH_MAX, 0 unknown */
	uint16_t depth; /* 0: innermost */
	uint16_t flags; /* PINW_FUNCTION_* */
	uint32_t reserved;
	/* name_len bytes: the name; file_len bytes: the path of the source, as the compiler saw it */
};

static inline uint64_t pinw_frame_offset(const struct pinw_rec_frame *frame)
{
	return frame->offset_low | (uint64_t)frame->offset_high << 32;
}

/* The check of a record: over its first head (with check = 0) and every payload word of its cells. */
static inline uint64_t pinw_check_step(uint64_t sum, uint64_t word)
{
	return ((sum << 7) | (sum >> 57)) ^ word;
}

static inline uint16_t pinw_check_fold(uint64_t sum)
{
	sum ^= sum >> 32;
	return (uint16_t)(sum ^ (sum >> 16));
}

_Static_assert(sizeof(struct pinw_identity) == 56, "identity layout");
_Static_assert(sizeof(struct pinw_trace_header) == PINW_HEADER_BYTES, "header layout");
_Static_assert(sizeof(struct pinw_trace_live) == PINW_LIVE_BYTES, "live page layout");
_Static_assert(sizeof(struct pinw_segment) == PINW_CELL_BYTES, "segment header is one cell");
_Static_assert(sizeof(struct pinw_slot) == 184, "slot layout");
_Static_assert(sizeof(struct pinw_cell) == PINW_CELL_BYTES, "cell layout");
_Static_assert(sizeof(struct pinw_rec_affinity) == 40, "one-word masks keep an affinity record in one cell");
_Static_assert(sizeof(struct pinw_rec_golock) == 48, "a Go lock is one cell");
_Static_assert(sizeof(struct pinw_rec_exit) == 40, "exit record layout");
_Static_assert(sizeof(struct pinw_rec_frame) == 12, "frame layout");
_Static_assert(sizeof(struct pinw_rec_function) == 32, "function layout");
_Static_assert(sizeof(struct pinw_rule_cell) == 64, "rule cell layout");
_Static_assert(sizeof(struct pinw_rec_violation) == 48, "violation layout");

#endif
