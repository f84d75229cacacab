// SPDX-License-Identifier: BSD-3-Clause

// serve - net/http: GET /N answers N bytes of a pattern, POST /echo what it is sent. Client: tools/tests/servers.
package main

import (
	"io"
	"log"
	"net/http"
	"strconv"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.URL.Path[1:])
		if err != nil {
			http.NotFound(w, r)
			return
		}
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(i * 7 % 251)
		}
		w.Write(data)
	})
	http.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		w.Write(data)
	})
	log.Fatal(http.ListenAndServe(":8080", nil))
}
