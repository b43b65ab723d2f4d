// SPDX-License-Identifier: MIT
//
// The cure of service.go, and the single-owner pattern in Go: each device belongs to one goroutine, which is locked to
// its thread for life, because the C library keeps the device in thread-local storage. Handlers send jobs and wait.
//
//	start      locks, then opens the device, then says that it is ready
//	submit     waits while the queue is full (backpressure) and no longer than its caller does; refused after shutdown
//	reply      a channel of its own for each job, with room for one answer: an owner never waits for who asked
//	shutdown   what was accepted is answered (drain), devices are closed on their threads, then these are unlocked
package main

/*
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>

// Any thread may call this one.
static long long sum_of_squares(int n)
{
	long long sum = 0;

	for (int i = 0; i < n; i++)
		sum += (long long)i * i;
	return sum;
}

// A library as there are many: what it opens belongs to the thread that opened it.
static __thread struct { int ready; long calls; } device;

static int device_open(int number)
{
	char name[16];

	snprintf(name, sizeof(name), "owner-%d", number); // seen in reports, ps and gdb
	pthread_setname_np(pthread_self(), name);
	device.ready = 1;
	return 0;
}

static long long device_sum(int n)
{
	if (!device.ready)
		return -1;
	device.calls++;
	return sum_of_squares(n);
}

static long device_close(void)
{
	device.ready = 0;
	return device.calls;
}
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

const queueLength = 8

var errClosed = errors.New("the owners are shut down")

func sumOfSquares(n int) int64 {
	return int64(C.sum_of_squares(C.int(n)))
}

type job struct {
	n     int
	reply chan int64
}

type pool struct {
	jobs   chan job
	lock   sync.RWMutex // held for reading while a job is sent
	closed bool
	ended  sync.WaitGroup
	calls  chan int // of each owner, when it has ended
}

// Opens all devices, or none.
func newPool(owners int) (*pool, error) {
	p := &pool{jobs: make(chan job, queueLength), calls: make(chan int, owners)}
	started := make(chan error)
	for number := 0; number < owners; number++ {
		p.ended.Add(1)
		go p.own(number, started)
	}
	var failed error
	for number := 0; number < owners; number++ {
		if err := <-started; err != nil {
			failed = err
		}
	}
	if failed != nil {
		p.shutdown()
		return nil, failed
	}
	return p, nil
}

// The only function that locks a thread.
func (p *pool) own(number int, started chan<- error) {
	defer p.ended.Done()
	runtime.LockOSThread() // devices are thread-local
	defer runtime.UnlockOSThread()
	if C.device_open(C.int(number)) != 0 {
		started <- fmt.Errorf("device %d cannot be opened", number)
		return
	}
	defer func() { p.calls <- int(C.device_close()) }()
	started <- nil
	for j := range p.jobs {
		j.reply <- int64(C.device_sum(C.int(j.n)))
	}
}

func (p *pool) send(ctx context.Context, j job) error {
	p.lock.RLock()
	defer p.lock.RUnlock()
	if p.closed {
		return errClosed
	}
	select {
	case p.jobs <- j:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *pool) submit(ctx context.Context, n int) (int64, error) {
	j := job{n, make(chan int64, 1)}
	if err := p.send(ctx, j); err != nil {
		return 0, err
	}
	select {
	case sum := <-j.reply:
		return sum, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// Waits until what was accepted is answered. Returns how many calls were made on the owners' threads.
func (p *pool) shutdown() (calls int) {
	p.lock.Lock()
	p.closed = true
	close(p.jobs)
	p.lock.Unlock()
	p.ended.Wait()
	close(p.calls)
	for n := range p.calls {
		calls += n
	}
	return calls
}
