// SPDX-License-Identifier: BSD-3-Clause

// goroutines - a static Go program: many goroutines over several threads, channels, a garbage
// collection, a timer, a map, formatted output. Its text is the same on every machine.
package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"sort"
	"sync"
	"time"
)

func worker(id int, jobs <-chan int, results chan<- [2]int, done *sync.WaitGroup) {
	defer done.Done()
	for n := range jobs {
		results <- [2]int{n, n * n}
	}
}

func main() {
	runtime.GOMAXPROCS(4)
	jobs := make(chan int)
	results := make(chan [2]int, 64)
	var done sync.WaitGroup
	for i := 0; i < 100; i++ {
		done.Add(1)
		go worker(i, jobs, results, &done)
	}
	go func() {
		for i := 0; i < 10000; i++ {
			jobs <- i
		}
		close(jobs)
		done.Wait()
		close(results)
	}()
	squares := map[int]int{}
	for r := range results {
		squares[r[0]] = r[1]
	}
	keys := make([]int, 0, len(squares))
	sum := 0
	for k, v := range squares {
		keys = append(keys, k)
		sum += v
	}
	sort.Ints(keys)
	fmt.Println("squares", len(keys), keys[9999], sum)

	var garbage [][]byte
	for i := 0; i < 2000; i++ {
		garbage = append(garbage, make([]byte, 16384))
		if i%100 == 0 {
			garbage = nil
		}
	}
	runtime.GC()

	start := time.Now()
	select {
	case <-time.After(20 * time.Millisecond):
		fmt.Println("timer", time.Since(start) >= 20*time.Millisecond)
	}

	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var nothing *int
		*nothing = 1
	}()
	fmt.Printf("%x\n", sha256.Sum256([]byte("selkie")))
	fmt.Fprintln(os.Stderr, "standard error", len(os.Args))
	os.Exit(3)
}
