// SPDX-License-Identifier: BSD-3-Clause
// channels - 10,000 goroutines: a chain of them, a fan-in through one channel, a crowd on one mutex, and
// timers; garbage collections run meanwhile.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const crowd = 10000

func chain() int {
	first := make(chan int)
	in := first
	for i := 0; i < crowd; i++ {
		out := make(chan int)
		go func(in <-chan int, out chan<- int) { out <- 1 + <-in }(in, out)
		in = out
	}
	first <- 0
	return <-in
}

func fanIn() (sum int) {
	results := make(chan int, 64)
	for i := 0; i < crowd; i++ {
		go func(n int) { results <- n }(i)
	}
	for i := 0; i < crowd; i++ {
		sum += <-results
	}
	return
}

func locked() (int, int64) {
	var group sync.WaitGroup
	var mutex sync.RWMutex
	var atomics int64
	total := 0
	for i := 0; i < crowd; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			mutex.Lock()
			total++
			mutex.Unlock()
			runtime.Gosched()
			mutex.RLock()
			atomic.AddInt64(&atomics, 1)
			mutex.RUnlock()
		}()
	}
	group.Wait()
	return total, atomics
}

func timers() (late int) {
	done := make(chan struct{})
	for i := 0; i < 1000; i++ {
		go func(n int) {
			time.Sleep(time.Duration(n%7) * time.Millisecond)
			done <- struct{}{}
		}(i)
	}
	for i := 0; i < 1000; i++ {
		select {
		case <-done:
		case <-time.After(time.Minute):
			late++
		}
	}
	return
}

func garbage() (total int) {
	var group sync.WaitGroup
	sizes := make([]int, 8)
	for worker := range sizes {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			var kept [][]byte
			for i := 0; i < 2000; i++ {
				block := make([]byte, 4096+i)
				sizes[worker] += len(block)
				if i%100 == 0 {
					kept = append(kept, block)
				}
			}
			runtime.GC()
			sizes[worker] += len(kept)
		}(worker)
	}
	group.Wait()
	for _, size := range sizes {
		total += size
	}
	return
}

func main() {
	fmt.Println("chain", chain())
	fmt.Println("fan-in", fanIn())
	total, atomics := locked()
	fmt.Println("locked", total, atomics)
	fmt.Println("timers late", timers())
	fmt.Println("garbage", garbage())
	defer func() {
		fmt.Println("recovered", recover() != nil)
		os.Exit(9)
	}()
	var nothing *struct{ x [4]int }
	fmt.Println(nothing.x[2]) // SIGSEGV becomes a panic
}
