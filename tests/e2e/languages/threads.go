// SPDX-License-Identifier: BSD-2-Clause
// Goroutines on several threads, preemption by a signal, the collector, nil checks. Ends by a panic.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type node struct {
	values [4096]int
	next   *node
}

func readNil(n *node) (text string) {
	defer func() { text = fmt.Sprint(recover()) }()
	return fmt.Sprint(n.next.values[1])
}

func compute() {
	var group sync.WaitGroup
	results := make([]int, 8)
	for i := range results {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for j := 0; j < 500000; j++ {
				results[i] += j % (i + 1)
			}
		}(i)
	}
	group.Wait()
	fmt.Println(results)
}

func channels() {
	numbers, sum := make(chan int), make(chan int)
	go func() {
		total := 0
		for n := range numbers {
			total += n
		}
		sum <- total
	}()
	for i := 0; i < 3000; i++ {
		numbers <- i
	}
	close(numbers)
	fmt.Println(<-sum)
}

func collect() {
	var group sync.WaitGroup
	var total int64
	for k := 0; k < 4; k++ {
		group.Add(1)
		go func() {
			defer group.Done()
			kept := map[string][]byte{}
			for i := 0; i < 2000; i++ {
				kept[strings.Repeat("x", i%200)] = make([]byte, i%3000)
			}
			for _, bytes := range kept {
				atomic.AddInt64(&total, int64(len(bytes)))
			}
		}()
	}
	group.Wait()
	fmt.Println(total)
}

// The collector stops threads that compute and call nothing.
func preempt() {
	var group sync.WaitGroup
	var over int64
	for k := 0; k < 3; k++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for x := 0; over == 0; x++ {
			}
		}()
	}
	for i := 0; i < 3; i++ {
		runtime.GC()
	}
	atomic.StoreInt64(&over, 1)
	fmt.Println("preempted")
}

func main() {
	runtime.GOMAXPROCS(4)
	compute()
	channels()
	collect()
	fmt.Println(readNil(&node{}), readNil(nil))
	preempt()
	limited, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	<-limited.Done()
	fmt.Println(limited.Err())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-signals)
	var none []int
	defer func() {
		fmt.Println(recover())
		os.Exit(3)
	}()
	fmt.Println(none[5])
}
