// SPDX-License-Identifier: MIT
//
// The clients of service.go, and what became of the threads that served them.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const clients = 4

// One request on a connection of its own.
func askOne(client *http.Client, url string, n int) bool {
	reply, err := client.Get(fmt.Sprintf("%s/?n=%d", url, n))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return false
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	return err == nil && string(text) == fmt.Sprint(sumOfSquares(n))
}

// Asks for the sums of 1 to n, several at a time. Returns how many answers were right.
func ask(url string, n int) int {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	numbers, answers := make(chan int), make(chan bool)
	for i := 0; i < clients; i++ {
		go func() {
			for number := range numbers {
				answers <- askOne(client, url, number)
			}
		}()
	}
	go func() {
		for number := 1; number <= n; number++ {
			numbers <- number
		}
		close(numbers)
	}()
	right := 0
	for i := 0; i < n; i++ {
		if <-answers {
			right++
		}
	}
	return right
}

// Threads by their numbers in the kernel.
type threads struct {
	lock sync.Mutex
	seen map[int]bool
	idle int // goroutines before there were requests
}

func newThreads() *threads {
	return &threads{seen: map[int]bool{}, idle: runtime.NumGoroutine()}
}

func (t *threads) note() {
	t.lock.Lock()
	t.seen[syscall.Gettid()] = true
	t.lock.Unlock()
}

// Those that are left. The main thread does not end with its goroutine: it parks for ever.
func (t *threads) left() (left int) {
	t.lock.Lock()
	defer t.lock.Unlock()
	for thread := range t.seen {
		if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", thread)); err == nil && thread != os.Getpid() {
			left++
		}
	}
	return left
}

// What became of them, as soon as that is clear.
func (t *threads) fate() string {
	for try := 0; try < 1000; try++ {
		if t.left() == 0 && runtime.NumGoroutine() <= t.idle {
			time.Sleep(50 * time.Millisecond) // the main thread tells nobody when it parks
			return "the threads that served are gone"
		}
		time.Sleep(2 * time.Millisecond)
	}
	return "the threads that served are still there"
}
