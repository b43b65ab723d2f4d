// SPDX-License-Identifier: MIT

// Locks threads in every way there is, as often as its arguments say, and prints what it did as shell words:
//
//	locks MODE [GOROUTINES [TIMES]]
//
// The tests hold the audit's counts against that line, to the last one. Only what cannot be wrong is counted: each
// goroutine counts for itself, and the sums are made when all are done.
package main

/*
#include <pthread.h>

void go_callback(int depth);

static void *thread(void *depth)
{
	go_callback((int)(long)depth);
	return 0;
}

static void from_thread(int depth)
{
	pthread_t t;

	if (pthread_create(&t, 0, thread, (void *)(long)depth) == 0)
		pthread_join(t, 0);
}

static void from_here(int depth)
{
	go_callback(depth);
}
*/
import "C"

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"syscall"
	"time"
)

type counts struct {
	locks, nested, unlocks, lost int
}

func (c *counts) add(o counts) {
	c.locks += o.locks
	c.nested += o.nested
	c.unlocks += o.unlocks
	c.lost += o.lost
}

// Locked and unlocked before main, when the runtime itself has the main thread locked.
var inInit counts

func init() {
	if len(os.Args) > 1 && os.Args[1] == "init" {
		for i := 0; i < 3; i++ {
			runtime.LockOSThread()
			runtime.LockOSThread()
			runtime.UnlockOSThread()
			runtime.UnlockOSThread()
			inInit.add(counts{1, 1, 1, 0})
		}
	}
	if len(os.Args) > 1 && os.Args[1] == "initheld" {
		runtime.LockOSThread()
		inInit.locks++
	}
}

var sink [][]byte

func garbage(i int) {
	sink = append(sink[:i%16:i%16], make([]byte, 1000))
}

//go:noinline
func grow(n int) int {
	var room [256]byte
	if n == 0 {
		return int(room[n])
	}
	return grow(n-1) + int(room[n%256])
}

func pair(c *counts) {
	runtime.LockOSThread()
	c.locks++
	runtime.UnlockOSThread()
	c.unlocks++
}

func nest(c *counts, depth int) {
	runtime.LockOSThread()
	c.locks++
	for i := 1; i < depth; i++ {
		runtime.LockOSThread()
		c.nested++
	}
	grow(20)
	for i := 0; i < depth; i++ {
		runtime.UnlockOSThread()
	}
	c.unlocks++
}

func deferred(c *counts) {
	defer func() {
		recover()
		c.unlocks++
	}()
	defer runtime.UnlockOSThread()
	runtime.LockOSThread()
	c.locks++
	panic("as planned")
}

// Its goroutine ends with the lock held, and the thread with it; waits until the thread is gone. The main thread
// never is: it parks for ever.
func destroyed(c *counts, how int) {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		tid <- syscall.Gettid()
		if how%2 == 0 {
			runtime.Goexit()
		}
	}()
	gone := <-tid
	for gone != os.Getpid() {
		if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", gone)); err != nil {
			break
		}
		time.Sleep(200 * time.Microsecond)
	}
	if gone == os.Getpid() {
		time.Sleep(300 * time.Millisecond)
	}
	c.locks++
	c.lost++
}

//export go_callback
func go_callback(depth C.int) {
	for i := 0; i < int(depth); i++ {
		runtime.LockOSThread()
	}
	for i := 0; i < int(depth); i++ {
		runtime.UnlockOSThread()
	}
}

func callbacks(c *counts, i int) {
	C.from_thread(2)
	c.add(counts{1, 1, 1, 0})
	C.from_here(1)
	c.add(counts{1, 0, 1, 0})
	if i%2 == 0 { // the goroutine is locked while C calls back
		runtime.LockOSThread()
		C.from_here(1)
		runtime.UnlockOSThread()
		c.add(counts{1, 1, 1, 0})
	}
}

func mixed(c *counts, i int) {
	pair(c)
	nest(c, 2+i%4)
	if i%7 == 0 {
		deferred(c)
	}
	if i%50 == 0 {
		destroyed(c, i/50)
	}
	if i%10 == 0 {
		callbacks(c, i)
	}
	if i%3 == 0 {
		runtime.Gosched()
	}
}

func argument(n, otherwise int) int {
	if len(os.Args) > n {
		if v, err := strconv.Atoi(os.Args[n]); err == nil {
			return v
		}
	}
	return otherwise
}

func storm(stop chan bool) {
	p, _ := os.FindProcess(os.Getpid())
	for {
		select {
		case <-stop:
			return
		default:
			p.Signal(syscall.SIGURG)
			runtime.GC()
			time.Sleep(100 * time.Microsecond)
		}
	}
}

func run(goroutines, times int, each func(c *counts, i int)) (all counts) {
	var wait sync.WaitGroup
	var lock sync.Mutex
	for g := 0; g < goroutines; g++ {
		wait.Add(1)
		go func() {
			var c counts
			for i := 0; i < times; i++ {
				each(&c, i)
			}
			lock.Lock()
			all.add(c)
			lock.Unlock()
			wait.Done()
		}()
	}
	wait.Wait()
	return
}

func main() {
	goroutines, times := argument(2, 4), argument(3, 50)
	all := inInit
	mode := "pairs"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "pairs":
		all.add(run(goroutines, times, func(c *counts, i int) { pair(c) }))
	case "nested":
		all.add(run(goroutines, times, func(c *counts, i int) { nest(c, 1+i%5) }))
	case "panics":
		all.add(run(goroutines, times, func(c *counts, i int) { deferred(c) }))
	case "destroyed":
		all.add(run(goroutines, times, destroyed))
	case "callbacks":
		all.add(run(goroutines, times, callbacks))
	case "garbage":
		all.add(run(goroutines, times, func(c *counts, i int) { garbage(0); grow(i % 200); nest(c, 2) }))
	case "exec":
		all.add(run(goroutines, times, func(c *counts, i int) {
			runtime.LockOSThread()
			c.locks++
			if exec.Command("/bin/true").Run() != nil {
				panic("true is not")
			}
			runtime.UnlockOSThread()
			c.unlocks++
		}))
	case "signals": // os/signal locks a thread for itself, which is nobody's lock
		signal.Notify(make(chan os.Signal, 1), syscall.SIGUSR1)
		all.add(run(goroutines, times, func(c *counts, i int) { pair(c) }))
	case "held":
		runtime.LockOSThread()
		runtime.LockOSThread()
		all.add(counts{1, 1, 0, 0})
	case "storm": // all of it, while garbage is collected, signals come and the profiler looks
		pprof.StartCPUProfile(io.Discard)
		stop := make(chan bool)
		go storm(stop)
		all.add(run(goroutines, times, mixed))
		stop <- true
		pprof.StopCPUProfile()
	}
	fmt.Printf("locks=%d nested=%d unlocks=%d lost=%d\n", all.locks, all.nested, all.unlocks, all.lost)
}
