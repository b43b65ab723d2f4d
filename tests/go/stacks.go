// SPDX-License-Identifier: MIT

// Pins and locks threads where Go has called C, and C has called Go:
//
//	stacks MODE [GOROUTINES [TIMES]]
//
// The C functions have no frame pointers, as compilers make them. The tests know each stack by heart.
package main

/*
#cgo CFLAGS: -O2 -fomit-frame-pointer -D_GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <string.h>

void go_pins(void);
void go_pins_in_c(void);

// Something for each C function to do after its call, so that it has a frame, and for its registers to hold.
static volatile int sink;

static cpu_set_t all, one;

__attribute__((noinline)) static void c_init(void)
{
	int cpu = 0;

	sched_getaffinity(0, sizeof(all), &all);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
}

__attribute__((noinline)) static int c_pin(int n)
{
	char room[n + 100]; // a frame of no fixed size

	memset(room, n, sizeof(room));
	int r = sched_setaffinity(0, sizeof(one), &one);
	sink += room[n];
	return r;
}

__attribute__((noinline)) static int c_pins(int n)
{
	int r = c_pin(n);

	sink++;
	return r;
}

__attribute__((noinline)) static int c_release(void)
{
	int r = sched_setaffinity(0, sizeof(all), &all);

	sink++;
	return r;
}

__attribute__((noinline)) static int c_calls(int how)
{
	register long a = how, b = sink; // in registers that calls keep, the frame pointer perhaps

	if (how)
		go_pins_in_c();
	else
		go_pins();
	sink += (int)(a + b);
	return (int)a;
}

static void *c_thread(void *how)
{
	c_calls((int)(long)how);
	return 0;
}

__attribute__((noinline)) static void c_starts(int how)
{
	pthread_t thread;

	if (pthread_create(&thread, 0, c_thread, (void *)(long)how) == 0)
		pthread_join(thread, 0);
	sink++;
}
*/
import "C"

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"unsafe"
)

//go:noinline
func left(n int) {
	C.c_pins(C.int(n))
}

//go:noinline
func right(n int) {
	C.c_pins(C.int(n))
}

//go:noinline
func release() {
	C.c_release()
}

//go:noinline
func worker(i, n int) {
	if i%2 == 0 {
		left(n)
	} else {
		right(n)
	}
	release()
}

// So deep that only the innermost frames are kept.
//
//go:noinline
func deep(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	deep(n-1, f)
}

var all, one [128]uint64

//export go_pins
func go_pins() {
	runtime.LockOSThread()
	raw(&one)
	raw(&all)
	runtime.UnlockOSThread()
}

//go:noinline
func raw(mask *[128]uint64) {
	syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(*mask), uintptr(unsafe.Pointer(mask)))
}

func set_masks() {
	C.c_init()
	syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(all), uintptr(unsafe.Pointer(&all)))
	for i, word := range all {
		if word != 0 {
			one[i] = word & -word
			break
		}
	}
}

//export go_pins_in_c
func go_pins_in_c() {
	worker(0, 0)
}

//go:noinline
func calls(how int) {
	C.c_calls(C.int(how))
}

func argument(n, otherwise int) int {
	if len(os.Args) > n {
		if v, err := strconv.Atoi(os.Args[n]); err == nil {
			return v
		}
	}
	return otherwise
}

func each(goroutines, times int, f func(i int)) {
	var wait sync.WaitGroup
	for g := 0; g < goroutines; g++ {
		wait.Add(1)
		go func() {
			runtime.LockOSThread()
			for i := 0; i < times; i++ {
				f(i)
			}
			runtime.UnlockOSThread()
			wait.Done()
		}()
	}
	wait.Wait()
}

func main() {
	set_masks()
	goroutines, times := argument(2, 1), argument(3, 2)
	switch os.Args[1] {
	case "calls": // C called by Go: by turns from two places, with frames as large
		each(goroutines, times, func(i int) { worker(i, i/2*16%256) })
	case "deep":
		each(goroutines, times, func(i int) { deep(100, func() { worker(i, 0) }) })
	case "callbacks": // Go called by C, called by Go
		each(goroutines, times, func(i int) { calls(0) })
	case "inner": // and C once more
		each(goroutines, times, func(i int) { calls(1) })
	case "threads": // Go called by C's own threads
		each(goroutines, times, func(i int) { C.c_starts(0) })
	case "innerthreads":
		each(goroutines, times, func(i int) { C.c_starts(1) })
	}
}
