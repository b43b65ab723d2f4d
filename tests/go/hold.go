// SPDX-License-Identifier: MIT
//
// Three goroutines that lock their threads, one of them twice, and hold on to them until standard input ends.
package main

import "C"

import (
	"fmt"
	"os"
	"runtime"
	"sync"
)

//go:noinline
func holdOnce(ready *sync.WaitGroup) {
	runtime.LockOSThread()
	ready.Done()
	select {}
}

//go:noinline
func holdTwice(ready *sync.WaitGroup) {
	runtime.LockOSThread()
	runtime.LockOSThread()
	ready.Done()
	select {}
}

func main() {
	var ready sync.WaitGroup
	ready.Add(3)
	go holdOnce(&ready)
	go holdOnce(&ready)
	go holdTwice(&ready)
	ready.Wait()
	fmt.Printf("ready %d\n", os.Getpid())
	if len(os.Args) > 1 {
		fifo, err := os.Open(os.Args[1])
		if err == nil {
			fifo.Read(make([]byte, 1))
		}
	}
}
