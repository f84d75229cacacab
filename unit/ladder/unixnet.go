// SPDX-License-Identifier: BSD-3-Clause
// unixnet - Go's net package over AF_UNIX sockets: a stream server with many clients, datagrams, packets,
// time limits, and a file that is passed on. Prints what it has counted.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

func check(err error) {
	if err != nil {
		fmt.Println("FAIL", err)
		os.Exit(1)
	}
}

func serve(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			_, err := io.Copy(c, c)
			check(err)
		}()
	}
}

func client(path string, number, rounds int) int {
	c, err := net.Dial("unix", path)
	check(err)
	defer c.Close()
	total := 0
	for i := 0; i < rounds; i++ {
		out := make([]byte, 1+(number*7919+i*104729)%20000)
		for j := range out {
			out[j] = byte(number + i + j)
		}
		go func() {
			_, err := c.Write(out)
			check(err)
		}()
		in := make([]byte, len(out))
		_, err := io.ReadFull(c, in)
		check(err)
		for j := range in {
			if in[j] != out[j] {
				fmt.Println("FAIL wrong byte")
				os.Exit(1)
			}
		}
		total += len(in)
	}
	return total
}

func streams(path string) {
	l, err := net.Listen("unix", path)
	check(err)
	go serve(l)
	var all sync.WaitGroup
	totals := make([]int, 50)
	for i := range totals {
		all.Add(1)
		go func(i int) {
			defer all.Done()
			totals[i] = client(path, i, 20)
		}(i)
	}
	all.Wait()
	sum := 0
	for _, n := range totals {
		sum += n
	}
	fmt.Println("streams:", len(totals), "clients,", sum, "bytes")
	check(l.Close())
	_, err = os.Stat(path)
	fmt.Println("name after close:", errors.Is(err, os.ErrNotExist))
	_, err = net.Dial("unix", path)
	fmt.Println("dial after close:", errors.Is(err, syscall.ENOENT))
}

func datagrams(path string) {
	to, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	check(err)
	go func() {
		from, err := net.Dial("unixgram", path)
		check(err)
		for i := 0; i < 1000; i++ {
			_, err := fmt.Fprintf(from, "datagram %d", i)
			check(err)
		}
		from.Close()
	}()
	buf := make([]byte, 100)
	for i := 0; i < 1000; i++ {
		n, _, err := to.ReadFrom(buf)
		check(err)
		if string(buf[:n]) != fmt.Sprintf("datagram %d", i) {
			fmt.Println("FAIL", string(buf[:n]))
			os.Exit(1)
		}
	}
	check(to.SetReadDeadline(time.Now().Add(10 * time.Millisecond)))
	_, _, err = to.ReadFrom(buf)
	fmt.Println("datagrams: 1000, then a timeout:", errors.Is(err, os.ErrDeadlineExceeded))
	to.Close()
	os.Remove(path)
}

func packets() {
	// Of this process's own: on Linux another run may be at work at the same time.
	name := fmt.Sprint("@unixnet", os.Getpid())
	l, err := net.Listen("unixpacket", name)
	check(err)
	go func() {
		c, err := net.Dial("unixpacket", name)
		check(err)
		for i := 1; i <= 100; i++ {
			_, err := c.Write(make([]byte, i))
			check(err)
		}
		c.Close()
	}()
	c, err := l.Accept()
	check(err)
	buf := make([]byte, 200)
	for i := 1; i <= 100; i++ {
		n, err := c.Read(buf)
		check(err)
		if n != i {
			fmt.Println("FAIL packet of", n, "bytes, not", i)
			os.Exit(1)
		}
	}
	_, err = c.Read(buf)
	fmt.Println("packets: 100, then", err)
	l.Close()
}

func files() {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	check(err)
	r, w, err := os.Pipe()
	check(err)
	check(syscall.Sendmsg(fds[0], []byte("x"), syscall.UnixRights(int(w.Fd())), nil, 0))
	w.Close()
	buf, oob := make([]byte, 1), make([]byte, 100)
	_, n, _, _, err := syscall.Recvmsg(fds[1], buf, oob, 0)
	check(err)
	msgs, err := syscall.ParseSocketControlMessage(oob[:n])
	check(err)
	got, err := syscall.ParseUnixRights(&msgs[0])
	check(err)
	f := os.NewFile(uintptr(got[0]), "passed")
	fmt.Fprint(f, "through a socket")
	f.Close()
	text, err := io.ReadAll(r)
	check(err)
	fmt.Println("file:", string(text))
}

func main() {
	dir, err := os.MkdirTemp("", "unixnet")
	check(err)
	streams(dir + "/stream")
	datagrams(dir + "/datagram")
	packets()
	files()
	os.RemoveAll(dir)
}
