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
#include <sys/time.h>
#include <time.h>

void go_callback(int depth);
void go_deeper(int levels, int held);

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

static void deeper(int levels, int held)
{
	go_deeper(levels, held);
}

static void *deeper_thread(void *held)
{
	go_deeper(3, (int)(long)held);
	return 0;
}

static void deeper_from_thread(int held)
{
	pthread_t t;

	if (pthread_create(&t, 0, deeper_thread, (void *)(long)held) == 0)
		pthread_join(t, 0);
}

static void wait_in_c(int ms)
{
	struct timespec time = {0, ms * 1000000L};

	nanosleep(&time, 0);
}

// SIGPROF so often as microseconds of CPU time say, beside those that the profiler sends itself.
static void storm_of_profiles(int us)
{
	struct itimerval timer = {{0, us}, {0, us}};

	setitimer(ITIMER_PROF, &timer, 0);
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
	"unsafe"
)

type counts struct {
	locks, nested, unlocks, lost int
}

func (c *counts) print() {
	fmt.Printf("locks=%d nested=%d unlocks=%d lost=%d\n", c.locks, c.nested, c.unlocks, c.lost)
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
func destroyed(c *counts, end func()) {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		tid <- syscall.Gettid()
		end()
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

func destroyedSomehow(c *counts, i int) {
	destroyed(c, func() {
		if i%2 == 0 {
			runtime.Goexit()
		}
	})
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

// Go to C and back, again and again: each callback locks. Held until it returns they are nested in the first; else each is one.
//
//export go_deeper
func go_deeper(levels, held C.int) {
	runtime.LockOSThread()
	if held == 0 {
		runtime.UnlockOSThread()
	}
	if levels > 1 {
		C.deeper(levels-1, held)
	}
	if held != 0 {
		runtime.UnlockOSThread()
	}
}

func deep(c *counts, i int) {
	C.deeper(3, 1)
	C.deeper_from_thread(1)
	c.add(counts{2, 4, 2, 0})
	C.deeper(3, 0)
	C.deeper_from_thread(0)
	c.add(counts{6, 0, 6, 0})
}

// In C, and in a system call that the runtime knows nothing of, for longer than the scheduler waits for a thread.
func blocked(c *counts, i int) {
	runtime.LockOSThread()
	c.locks++
	if i%2 == 0 {
		C.wait_in_c(30)
	} else {
		time := syscall.Timespec{Nsec: 30000000}
		syscall.RawSyscall(syscall.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&time)), 0, 0)
	}
	runtime.UnlockOSThread()
	c.unlocks++
}

// Locked at the bottom of a stack of megabytes, unlocked when it is small again and was moved.
//
//go:noinline
func lockAt(n int) int {
	var room [256]byte
	if n == 0 {
		runtime.LockOSThread()
		return int(room[n])
	}
	return lockAt(n-1) + int(room[n%256])
}

func tall(c *counts, i int) {
	lockAt(20000)
	c.locks++
	runtime.GC()
	grow(100)
	runtime.UnlockOSThread()
	c.unlocks++
}

// A thread destroyed with a nested lock: at its function's end, by Goexit in a deferred function, by a panic that is recovered.
func destroyedNested(c *counts, i int) {
	destroyed(c, func() {
		runtime.LockOSThread()
		runtime.LockOSThread()
		switch i % 3 {
		case 1:
			defer runtime.Goexit()
		case 2:
			defer func() { recover() }()
			panic("as planned")
		}
	})
	c.nested += 2
}

// More unlocks than locks: the runtime takes no notice.
func unmatched(c *counts, i int) {
	runtime.UnlockOSThread()
	pair(c)
	runtime.UnlockOSThread()
}

// All goroutines hold theirs at once; then they unlock, or the process ends.
func together(goroutines int, unlock bool) (all counts) {
	var locked sync.WaitGroup
	locked.Add(goroutines)
	over, done := make(chan bool), make(chan bool)
	for g := 0; g < goroutines; g++ {
		go func() {
			runtime.LockOSThread()
			locked.Done()
			<-over
			runtime.UnlockOSThread()
			done <- true
		}()
	}
	locked.Wait()
	all.locks = goroutines
	if unlock {
		close(over)
		for g := 0; g < goroutines; g++ {
			<-done
		}
		all.unlocks = goroutines
	}
	return
}

// The main goroutine ends, its thread parks for ever, another goroutine ends the process.
func goexit(all counts) {
	runtime.LockOSThread()
	runtime.LockOSThread()
	all.add(counts{1, 1, 0, 1})
	go func() {
		time.Sleep(300 * time.Millisecond)
		all.print()
		os.Exit(0)
	}()
	runtime.Goexit()
}

func mixed(c *counts, i int) {
	pair(c)
	nest(c, 2+i%4)
	if i%7 == 0 {
		deferred(c)
	}
	if i%50 == 0 {
		destroyedSomehow(c, i/50)
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

func storm() {
	p, _ := os.FindProcess(os.Getpid())
	p.Signal(syscall.SIGURG)
	runtime.GC()
	time.Sleep(100 * time.Microsecond)
}

// SIGURG, by which the runtime preempts, for every thread there is.
func preemptions() {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		tid, _ := strconv.Atoi(thread.Name())
		syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), uintptr(tid), uintptr(syscall.SIGURG))
	}
}

// Again and again, while something is done.
func during(again, something func()) {
	stop := make(chan bool)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				again()
			}
		}
	}()
	something()
	stop <- true
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
		all.add(run(goroutines, times, destroyedSomehow))
	case "destroyednested":
		all.add(run(goroutines, times, destroyedNested))
	case "goexit":
		goexit(all)
	case "callbacks":
		all.add(run(goroutines, times, callbacks))
	case "deep":
		all.add(run(goroutines, times, deep))
	case "blocked":
		all.add(run(goroutines, times, blocked))
	case "tall":
		all.add(run(goroutines, times, tall))
	case "unmatched":
		all.add(run(goroutines, times, unmatched))
	case "crowd":
		all.add(together(goroutines, true))
	case "leave":
		all.add(together(goroutines, false))
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
		during(storm, func() { all.add(run(goroutines, times, mixed)) })
		pprof.StopCPUProfile()
	case "profiles":
		pprof.StartCPUProfile(io.Discard)
		C.storm_of_profiles(100)
		all.add(run(goroutines, times, mixed))
		pprof.StopCPUProfile()
	case "preemptions":
		during(preemptions, func() { all.add(run(goroutines, times, mixed)) })
	}
	all.print()
}
