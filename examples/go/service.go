// SPDX-License-Identifier: MIT
//
// The incident of every Go service with a C library: a handler calls runtime.LockOSThread "for safety" before it
// calls C. Three ways to serve the same requests:
//
//	go_service handler [REQUESTS]   locks in the handler, unlocks at its end: a thread is taken from the scheduler for each request
//	go_service leaking [REQUESTS]   the unlock is forgotten: the connection's goroutine ends locked, and its thread is destroyed
//	go_service owner   [REQUESTS]   the cure, owner.go: as many locked threads as there are devices, whatever the load
//
// It is its own client (traffic.go) and ends when all requests are answered, so what it prints is always the same.
//
//	make examples
//	build/pinwarden run -- build/examples/go_service handler 300      then: build/pinwarden report .
//	build/pinwarden run -p examples/policies/go_handler.ini --enforce -- build/examples/go_service handler
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
)

// Devices that owner.go serves requests with.
const devices = 2

type server struct {
	owners  *pool    // of the cure
	threads *threads // of the leak: those that requests were served on
}

func number(request *http.Request) (int, error) {
	return strconv.Atoi(request.URL.Query().Get("n"))
}

// The bug. The library needs no thread of its own: the comment that said so was of another version.
func (s *server) pinHandler(reply http.ResponseWriter, request *http.Request) {
	runtime.LockOSThread() // for safety
	defer runtime.UnlockOSThread()
	n, err := number(request)
	if err != nil {
		http.Error(reply, "no number", http.StatusBadRequest)
		return
	}
	fmt.Fprint(reply, sumOfSquares(n))
}

// The same without the unlock. With a connection for each request, as here, each destroys a thread; with connections
// that are used again, locks are nested until the client hangs up.
func (s *server) leakHandler(reply http.ResponseWriter, request *http.Request) {
	runtime.LockOSThread() // for safety
	s.threads.note()
	n, err := number(request)
	if err != nil {
		http.Error(reply, "no number", http.StatusBadRequest)
		return
	}
	fmt.Fprint(reply, sumOfSquares(n))
}

// The cure: the handler stays what it is, a goroutine like any other. 503 when the owners have too much to do.
func (s *server) submitHandler(reply http.ResponseWriter, request *http.Request) {
	n, err := number(request)
	if err != nil {
		http.Error(reply, "no number", http.StatusBadRequest)
		return
	}
	sum, err := s.owners.submit(request.Context(), n)
	if err != nil {
		http.Error(reply, err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprint(reply, sum)
}

// Serves on a free port of 127.0.0.1 while the clients ask.
func serve(handler http.HandlerFunc, requests int) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	service := &http.Server{Handler: handler}
	go service.Serve(listener)
	right := ask("http://"+listener.Addr().String(), requests)
	fmt.Printf("%d of %d answers right\n", right, requests)
	return service.Shutdown(context.Background())
}

func run(variant string, requests int) error {
	s := &server{}
	switch variant {
	case "handler":
		return serve(s.pinHandler, requests)
	case "leaking":
		s.threads = newThreads()
		err := serve(s.leakHandler, requests)
		fmt.Println(s.threads.fate())
		return err
	case "owner":
		owners, err := newPool(devices)
		if err != nil {
			return err
		}
		fmt.Printf("%d locked threads\n", devices)
		s.owners = owners
		err = serve(s.submitHandler, requests)
		fmt.Printf("%d calls on the owners' threads\n", owners.shutdown())
		return err
	}
	return fmt.Errorf("usage: go_service handler|leaking|owner [REQUESTS]")
}

func main() {
	variant, requests := "", 8
	if len(os.Args) > 1 {
		variant = os.Args[1]
	}
	if len(os.Args) > 2 {
		requests, _ = strconv.Atoi(os.Args[2])
	}
	if err := run(variant, requests); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
