// SPDX-License-Identifier: MIT

// A shared library for C programs (-buildmode=c-shared) that locks threads as often as it is told to.
package main

import "C"

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// On the caller's thread: as many locks as unlocks, each `depth` deep.
//
//export golocks_here
func golocks_here(times, depth C.int) {
	for i := 0; i < int(times); i++ {
		for d := 0; d < int(depth); d++ {
			runtime.LockOSThread()
		}
		for d := 0; d < int(depth); d++ {
			runtime.UnlockOSThread()
		}
	}
}

// On threads of Go's.
//
//export golocks_goroutines
func golocks_goroutines(goroutines, times C.int) {
	var wait sync.WaitGroup
	for g := 0; g < int(goroutines); g++ {
		wait.Add(1)
		go func() {
			for i := 0; i < int(times); i++ {
				runtime.LockOSThread()
				if i%10 == 0 {
					runtime.Gosched()
				}
				runtime.UnlockOSThread()
			}
			wait.Done()
		}()
	}
	wait.Wait()
}

// A goroutine that ends locked, and its thread with it. Returns when the thread is gone; the runtime's first never is, it parks
// for ever.
//
//export golocks_destroyed
func golocks_destroyed() {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		tid <- syscall.Gettid()
	}()
	path := fmt.Sprintf("/proc/self/task/%d", <-tid)
	for waited := 0; waited < 1500; waited++ {
		if _, err := os.Stat(path); err != nil {
			return
		}
		time.Sleep(200 * time.Microsecond)
	}
}

func main() {}
