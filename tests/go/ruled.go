// SPDX-License-Identifier: MIT

// Locks threads where a policy can tell why: in handlers, in workers, by another function's hand.
//
//	ruled MODE [GOROUTINES [TIMES]]
//
// It prints what it did as shell words, and does the same whether its locks are granted or not.
package main

/*
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

static void name(const char *text)
{
	pthread_setname_np(pthread_self(), text);
}

static cpu_set_t all;

static void narrow(void)
{
	cpu_set_t one;
	int cpu = 0;

	pthread_getaffinity_np(pthread_self(), sizeof(all), &all);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

static void widen(void)
{
	pthread_setaffinity_np(pthread_self(), sizeof(all), &all);
}
*/
import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

type server struct{ served int }

//go:noinline
func (s *server) pinHandler() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	s.served++
}

//go:noinline
func (s *server) nestingHandler() {
	runtime.LockOSThread()
	runtime.LockOSThread()
	s.served++
	runtime.UnlockOSThread()
	runtime.UnlockOSThread()
}

//go:noinline
func worker(times int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := 0; i < times; i++ {
		runtime.Gosched()
	}
}

// Runs f in as many goroutines at once, and waits for them.
func each(goroutines int, f func(i int)) {
	var all sync.WaitGroup
	for i := 0; i < goroutines; i++ {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			f(i)
		}(i)
	}
	all.Wait()
}

// Each serves so many requests, and is a worker between them.
func serve(goroutines, times int) {
	each(goroutines, func(int) {
		var s server
		for i := 0; i < times; i++ {
			s.pinHandler()
			s.nestingHandler()
			worker(1)
		}
		if s.served != 2*times {
			panic("a request was not served")
		}
	})
	fmt.Printf("handled=%d worked=%d\n", 2*goroutines*times, goroutines*times)
}

//go:noinline
func holder(locked, release *sync.WaitGroup) {
	runtime.LockOSThread()
	locked.Done()
	release.Wait()
	runtime.UnlockOSThread()
}

// All hold their locks at the same time, so many times over.
func hold(goroutines, times int) {
	for i := 0; i < times; i++ {
		var locked, release sync.WaitGroup
		locked.Add(goroutines)
		release.Add(1)
		go func() {
			locked.Wait()
			release.Done()
		}()
		each(goroutines, func(int) { holder(&locked, &release) })
	}
	fmt.Printf("held=%d\n", goroutines*times)
}

// As hold, with the thread pinned to a CPU as well.
func both(goroutines int) {
	var locked, release sync.WaitGroup
	locked.Add(goroutines)
	release.Add(1)
	go func() {
		locked.Wait()
		release.Done()
	}()
	each(goroutines, func(int) {
		runtime.LockOSThread()
		C.narrow()
		locked.Done()
		release.Wait()
		C.widen()
		runtime.UnlockOSThread()
	})
	fmt.Printf("both=%d\n", goroutines)
}

// Ends locked: its thread is destroyed.
//
//go:noinline
func forgetful(tid chan int) {
	runtime.LockOSThread()
	tid <- syscall.Gettid()
}

// A thread that is destroyed is gone soon; the main thread, and one whose lock was denied, stay.
func waitFor(tid int) {
	for i := 0; i < 1500; i++ {
		if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid)); err != nil {
			return
		}
		time.Sleep(200 * time.Microsecond)
	}
}

func leak(goroutines, times int) {
	for i := 0; i < times; i++ {
		each(goroutines, func(int) {
			tid := make(chan int)
			go forgetful(tid)
			waitFor(<-tid)
		})
	}
	fmt.Printf("leaked=%d\n", goroutines*times)
}

//go:noinline
func take() {
	runtime.LockOSThread()
}

//go:noinline
func giveBack() {
	runtime.UnlockOSThread()
}

//go:noinline
func inOne() {
	runtime.LockOSThread()
	defer func() {
		recover()
	}()
	defer runtime.UnlockOSThread()
	func() {
		panic("here")
	}()
}

// Locks in one function and unlocks in another, as often as in one.
func unbalanced(goroutines, times int) {
	each(goroutines, func(int) {
		for i := 0; i < times; i++ {
			take()
			giveBack()
			inOne()
			worker(0)
		}
	})
	fmt.Printf("unbalanced=%d balanced=%d\n", goroutines*times, 2*goroutines*times)
}

// Ends with the main thread locked, more often than once when asked.
func end(depth int) {
	for i := 0; i < depth; i++ {
		take()
	}
	fmt.Printf("depth=%d\n", depth)
}

// Threads that are named as devices; those of an even number are locked.
func devices(goroutines int) {
	each(goroutines, func(i int) {
		done := make(chan bool)
		go func() {
			runtime.LockOSThread() // ends with its thread, so that a name is of one goroutine only
			if i%2 == 0 {
				C.name(C.CString("device"))
			} else {
				C.name(C.CString("other"))
			}
			done <- true
		}()
		<-done
	})
	fmt.Printf("devices=%d\n", (goroutines+1)/2)
}

func number(i, otherwise int) int {
	if len(os.Args) > i {
		if n, err := strconv.Atoi(os.Args[i]); err == nil {
			return n
		}
	}
	return otherwise
}

func main() {
	goroutines, times := number(2, 1), number(3, 1)
	switch os.Args[1] {
	case "serve":
		serve(goroutines, times)
	case "hold":
		hold(goroutines, times)
	case "quiet": // ends when no thread is being started any more
		hold(goroutines, times)
		time.Sleep(300 * time.Millisecond)
	case "both":
		both(goroutines)
	case "leak":
		leak(goroutines, times)
	case "unbalanced":
		unbalanced(goroutines, times)
	case "end":
		end(goroutines)
	case "devices":
		devices(goroutines)
	case "idle":
		take()
		time.Sleep(time.Duration(goroutines) * time.Millisecond)
		giveBack()
	}
}
