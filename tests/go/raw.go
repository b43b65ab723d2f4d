// SPDX-License-Identifier: MIT

// Changes affinities by system calls of Go's own, and prints what it did as shell words:
//
//	raw MODE [GOROUTINES [TIMES]]
//
// The tests hold the audit's counts, and strace's, against that line, to the last one.
package main

import "C" // a program with cgo: others cannot be audited

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"unsafe"
)

type mask [128]uint64 // more than any kernel's

type counts struct {
	self, cross, other, failed, opened int
}

func (c *counts) add(o counts) {
	c.self += o.self
	c.cross += o.cross
	c.other += o.other
	c.failed += o.failed
	c.opened += o.opened
}

var all, one mask // what this process may use, and the first CPU of it

func check(e, expected syscall.Errno) {
	if e != expected {
		panic(fmt.Sprintf("%d (%v), and not %d", e, e, expected))
	}
}

func get(tid int) (m mask) {
	_, _, e := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, uintptr(tid), unsafe.Sizeof(m),
		uintptr(unsafe.Pointer(&m)))
	check(e, 0)
	return
}

func raw(tid int, m *mask) syscall.Errno {
	_, _, e := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(*m),
		uintptr(unsafe.Pointer(m)))
	return e
}

func raw6(tid int, m *mask) syscall.Errno {
	_, _, e := syscall.RawSyscall6(syscall.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(*m),
		uintptr(unsafe.Pointer(m)), 4, 5, 6)
	return e
}

// The scheduler is told, and may give the processor to another goroutine meanwhile.
func cooked(tid int, m *mask) syscall.Errno {
	r1, r2, e := syscall.Syscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(*m),
		uintptr(unsafe.Pointer(m)))
	if e == 0 && (r1 != 0 || r2 != uintptr(unsafe.Pointer(m))) || e != 0 && (^r1 != 0 || r2 != 0) {
		panic("results are not as without the audit")
	}
	return e
}

//go:noinline
func deep(n int, f func()) {
	var room [200]byte
	if n == 0 {
		f()
		return
	}
	deep(n-1, f)
	room[n%200]++
}

// Pins and releases the calling thread, that of `tid`, and fails in every way there is.
func calls(c *counts, i, tid, child int) {
	check(raw(0, &one), 0)
	check(cooked(0, &one), 0)
	deep(i%20, func() { check(raw6(syscall.Gettid(), &all), 0) })
	c.add(counts{self: 3, opened: 1})

	check(cooked(tid, &one), 0)
	check(raw(tid, &all), 0)
	c.add(counts{cross: 2, opened: 1})

	check(raw6(0, new(mask)), syscall.EINVAL)
	check(cooked(tid, new(mask)), syscall.EINVAL)
	check(cooked(0, nil), syscall.EFAULT)
	check(raw(1<<30, &one), syscall.ESRCH)
	c.failed += 4

	if i%8 == 0 {
		check(cooked(child, &one), 0)
		c.other++
	}
}

// A thread for others to pin, until done is closed.
func target(done chan bool) int {
	tid := make(chan int)
	go func() {
		runtime.LockOSThread()
		tid <- syscall.Gettid()
		<-done
		runtime.UnlockOSThread()
	}()
	return <-tid
}

func storm(goroutines, times, child int) (sum counts) {
	var wait sync.WaitGroup
	var lock sync.Mutex
	done := make(chan bool)
	for g := 0; g < goroutines; g++ {
		wait.Add(1)
		go func() {
			runtime.LockOSThread()
			var c counts
			tid := target(done)
			for i := 0; i < times; i++ {
				calls(&c, i, tid, child)
			}
			lock.Lock()
			sum.add(c)
			lock.Unlock()
			runtime.UnlockOSThread()
			wait.Done()
		}()
	}
	wait.Wait()
	close(done)
	return
}

// The same system call instruction, called from the same place, in a child that has the parent's memory (then only what
// the kernel returned tells the two apart, and the frames of both must be the same) or a copy of it. The child ends with
// the error of its call.
//
//go:noinline
func in_child(call uintptr) uintptr {
	number, first, length := call, uintptr(0), uintptr(0)
	if call == syscall.SYS_CLONE {
		first = uintptr(syscall.SIGCHLD)
	}
	for {
		r, _, e := syscall.RawSyscall(number, first, length, uintptr(unsafe.Pointer(&one)))
		if e == 0 && r > 0 {
			return r
		}
		if number == call && e == 0 {
			number, first, length = syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(one)
		} else {
			number, first = syscall.SYS_EXIT_GROUP, uintptr(e)
		}
	}
}

func child_ends(call uintptr) {
	runtime.LockOSThread()
	before := get(0)
	var status syscall.WaitStatus
	pid := in_child(call)
	_, e := syscall.Wait4(int(pid), &status, 0, nil)
	fmt.Printf("child=%d wait=%v same=%v\n", status.ExitStatus(), e, get(0) == before)
}

func argument(n, otherwise int) int {
	if len(os.Args) > n {
		if v, err := strconv.Atoi(os.Args[n]); err == nil {
			return v
		}
	}
	return otherwise
}

func main() {
	all = get(0)
	for i, word := range all {
		if word != 0 {
			one[i] = word & -word
			break
		}
	}
	mode := "calls"
	if len(os.Args) > 1 {
		mode = os.Args[1]
	}
	switch mode {
	case "calls":
		child := exec.Command("/bin/cat")
		in, _ := child.StdinPipe()
		out, _ := child.StdoutPipe()
		child.Start()
		fmt.Fprintln(in, "there?")
		if n, err := out.Read(make([]byte, 10)); n == 0 { // it runs
			panic(err)
		}
		c := storm(argument(2, 4), argument(3, 10), child.Process.Pid)
		in.Close()
		child.Wait()
		fmt.Printf("self=%d cross=%d other=%d failed=%d opened=%d\n", c.self, c.cross, c.other, c.failed,
			c.opened)
	case "denied":
		runtime.LockOSThread()
		done := make(chan bool)
		tid := target(done)
		fmt.Println(int(raw(0, &one)), int(raw6(0, &one)), int(cooked(0, &one)), get(0) == all,
			int(cooked(tid, &one)), get(tid) == all, int(raw(0, &all)))
		close(done)
	case "both": // a lock alone; a pin on a locked thread, both kept to the end
		done := make(chan bool)
		target(done)
		runtime.LockOSThread()
		check(raw(0, &one), 0)
		fmt.Println(syscall.Gettid())
	case "fork":
		child_ends(syscall.SYS_CLONE)
	case "vfork":
		child_ends(syscall.SYS_VFORK)
	}
}
