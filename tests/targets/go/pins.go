// SPDX-License-Identifier: MIT
//
// Pins its thread through C from a method, from a closure in a goroutine, and from a function of another name; prints
// what came of each. Lines are counted by tests/e2e_go.c.
package main

/*
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>

static int pin(void)
{
	cpu_set_t set;
	int cpu = 0;

	sched_getaffinity(0, sizeof(set), &set);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? errno : 0;
}
*/
import "C"

import (
	"fmt"
	"runtime"
)

type server struct{ name string }

//go:noinline
func (s *server) pinHandler() {
	runtime.LockOSThread()
	fmt.Println(s.name, C.pin())
}

// Small enough that the compiler puts it into its callers.
func inlined() C.int {
	return C.pin()
}

//go:noinline
func other() {
	fmt.Println("other", inlined())
}

func main() {
	(&server{"method"}).pinHandler()
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		fmt.Println("closure", C.pin())
		(&server{"goroutine"}).pinHandler()
		done <- true
	}()
	<-done
	other()
}
