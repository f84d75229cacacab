// SPDX-License-Identifier: BSD-3-Clause
'use strict';

// http: GET /N answers N bytes of a pattern, POST /echo what it is sent. Client: tools/tests/servers.
const http = require('http');

http.createServer((request, response) => {
  if (request.method === 'POST') {
    request.pipe(response);
    return;
  }
  const data = Buffer.alloc(Number(request.url.slice(1)));
  for (let i = 0; i < data.length; i++)
    data[i] = i * 7 % 251;
  response.end(data);
}).listen(8080);
