// SPDX-License-Identifier: BSD-3-Clause
// unixnet - node's net and http modules over AF_UNIX sockets: an echo server with many clients, an HTTP server, errors
// of names. Prints what it has counted.
'use strict';
const fs = require('fs');
const http = require('http');
const net = require('net');
const os = require('os');
const path = require('path');

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'unixnet-'));
const name = path.join(folder, 'sock');

function bytes(number) {
  const buf = Buffer.alloc(1 + (number * 7919) % 300000);
  for (let i = 0; i < buf.length; i++) buf[i] = (number + i * 31) & 255;
  return buf;
}

function client(number) {
  return new Promise((resolve, reject) => {
    const out = bytes(number);
    const parts = [];
    const c = net.connect(name, () => c.end(out));
    c.on('data', (d) => parts.push(d));
    c.on('error', reject);
    c.on('end', () => {
      if (Buffer.compare(out, Buffer.concat(parts))) reject(new Error('wrong bytes'));
      else resolve(out.length);
    });
  });
}

function listen(server) {
  return new Promise((resolve) => server.listen(name, resolve));
}

function close(server) {
  return new Promise((resolve) => server.close(resolve));
}

function failure(where) {
  return new Promise((resolve) => net.connect(where).on('error', (e) => resolve(e.code)));
}

async function main() {
  const echo = net.createServer({allowHalfOpen: true}, (c) => c.pipe(c));
  await listen(echo);
  const sizes = await Promise.all(Array.from({length: 40}, (_, i) => client(i)));
  console.log('echo:', sizes.length, 'clients,', sizes.reduce((a, b) => a + b), 'bytes');
  const second = net.createServer();
  console.log('second server:', await new Promise((r) => second.on('error', (e) => r(e.code)).listen(name)));
  await close(echo);
  console.log('after close:', fs.existsSync(name), await failure(name));
  fs.writeFileSync(name, '');
  console.log('a file:', await failure(name));
  fs.unlinkSync(name);

  const web = http.createServer((q, a) => a.end(q.method + ' ' + q.url));
  await listen(web);
  for (let i = 0; i < 5; i++) {
    const text = await new Promise((resolve, reject) => http.get({socketPath: name, path: '/' + i}, (a) => {
      let got = '';
      a.on('data', (d) => got += d).on('end', () => resolve(got));
    }).on('error', reject));
    console.log(text);
  }
  await close(web);
  fs.rmSync(folder, {recursive: true});
}
main().catch((e) => { console.log('FAIL', e); process.exit(1); });
