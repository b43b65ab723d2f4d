// SPDX-License-Identifier: MIT

// One workload of the benchmarks, in Go: prints nanoseconds an operation.
//
//	gocost WORKLOAD COUNT
//
// Without any shim in the process it measures the bare cost of the same code.
package main

import "C" // a shim can be loaded into programs with cgo only

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const batches = 20

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "gocost:", err)
		os.Exit(1)
	}
}

// The mean of the best of some batches: what else the machine does only ever adds.
func best(count int, batch func(count int) time.Duration) float64 {
	least := time.Duration(1 << 62)
	for i := 0; i < batches; i++ {
		if took := batch(count / batches); took < least {
			least = took
		}
	}
	return float64(least.Nanoseconds()) / float64(count/batches)
}

func pairs(count int) time.Duration {
	start := time.Now()
	for i := 0; i < count; i++ {
		runtime.LockOSThread()
		runtime.UnlockOSThread()
	}
	return time.Since(start)
}

// Both halves of a pair, each with one reading of the clock: what the audit adds to one is the difference to the
// bare program.
func halves(count int) (lock, unlock time.Duration) {
	for i := 0; i < count; i++ {
		start := time.Now()
		runtime.LockOSThread()
		locked := time.Now()
		runtime.UnlockOSThread()
		end := time.Now()
		lock += locked.Sub(start)
		unlock += end.Sub(locked)
	}
	return
}

func lockHalf(count int) time.Duration {
	lock, _ := halves(count)
	return lock
}

func unlockHalf(count int) time.Duration {
	_, unlock := halves(count)
	return unlock
}

//go:noinline
func below(frames, count int, batch func(count int) time.Duration) time.Duration {
	if frames > 0 {
		took := below(frames-1, count, batch)
		return took + 0*time.Duration(frames)
	}
	return batch(count)
}

// The batch in a stack of 10 frames: main.main, best, a closure, six of below and the batch.
func deep(batch func(count int) time.Duration) func(count int) time.Duration {
	return func(count int) time.Duration { return below(5, count, batch) }
}

func getpid(count int) time.Duration {
	start := time.Now()
	for i := 0; i < count; i++ {
		syscall.RawSyscall(syscall.SYS_GETPID, 0, 0, 0)
	}
	return time.Since(start)
}

func pinnedHandler(w http.ResponseWriter, r *http.Request) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	io.WriteString(w, "pinned\n")
}

func requests(client *http.Client, url string, count int) {
	for i := 0; i < count; i++ {
		answer, err := client.Get(url)
		fail(err)
		_, err = io.Copy(io.Discard, answer.Body)
		fail(err)
		answer.Body.Close()
	}
}

// A service that pins for each request, and clients that keep their connections, over the loopback.
func serve(count int) time.Duration {
	const clients = 4
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	server := &http.Server{Handler: http.HandlerFunc(pinnedHandler)}
	go server.Serve(listener)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	url := "http://" + listener.Addr().String() + "/"
	requests(client, url, 100)
	var wait sync.WaitGroup
	start := time.Now()
	for c := 0; c < clients; c++ {
		wait.Add(1)
		go func() {
			requests(client, url, count/clients)
			wait.Done()
		}()
	}
	wait.Wait()
	took := time.Since(start)
	client.CloseIdleConnections()
	server.Close()
	return took
}

func main() {
	if len(os.Args) != 3 {
		fail(fmt.Errorf("usage: gocost WORKLOAD COUNT"))
	}
	count, err := strconv.Atoi(os.Args[2])
	fail(err)
	batch := map[string]func(count int) time.Duration{
		"pair":       pairs,
		"deep":       deep(pairs),
		"lock":       lockHalf,
		"unlock":     unlockHalf,
		"deeplock":   deep(lockHalf),
		"deepunlock": deep(unlockHalf),
		"getpid":     getpid,
	}[os.Args[1]]
	if os.Args[1] == "serve" {
		fmt.Printf("%.1f\n", float64(serve(count).Nanoseconds())/float64(count))
		return
	}
	if batch == nil {
		fail(fmt.Errorf("no workload %s", os.Args[1]))
	}
	fmt.Printf("%.1f\n", best(count, batch))
}
