// SPDX-License-Identifier: BSD-3-Clause
// workers - worker_threads: messages both ways, shared memory with Atomics.wait/notify, transferred buffers.
'use strict';
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const crypto = require('crypto');

const WORKERS = 4, ROUNDS = 50;

if (!isMainThread) {
  const cells = new Int32Array(workerData.shared);
  for (let i = 0; i < ROUNDS; i++) {
    Atomics.add(cells, 0, 1);
    while (Atomics.load(cells, 1) % WORKERS !== workerData.index) // take turns
      Atomics.wait(cells, 1, Atomics.load(cells, 1), 20);
    cells[2] += 1; // without an atomic: it is this worker's turn
    Atomics.add(cells, 1, 1);
    Atomics.notify(cells, 1);
  }
  parentPort.on('message', (bytes) => {
    const view = new Uint8Array(bytes);
    for (let i = 0; i < view.length; i++) view[i] ^= workerData.index;
    parentPort.postMessage({ index: workerData.index, bytes }, [bytes]);
    parentPort.close();
  });
} else {
  const shared = new SharedArrayBuffer(64);
  const cells = new Int32Array(shared);
  const answers = [];
  let ended = 0;
  for (let index = 0; index < WORKERS; index++) {
    const worker = new Worker(__filename, { workerData: { shared, index } });
    const bytes = new ArrayBuffer(65536);
    new Uint8Array(bytes).fill(0x55);
    worker.postMessage(bytes, [bytes]);
    worker.on('message', (m) => { answers[m.index] = new Uint8Array(m.bytes)[1]; });
    worker.on('error', (e) => { console.error(e); process.exit(1); });
    worker.on('exit', (code) => {
      if (code !== 0) process.exit(2);
      if (++ended < WORKERS) return;
      console.log('cells', cells[0], cells[1], cells[2]);
      console.log('answers', answers.join(' '));
      crypto.pbkdf2('selkie', 'salt', 1000, 32, 'sha256', (e, key) => { // the thread pool of libuv
        console.log('key', key.toString('hex'));
        process.exitCode = 5;
      });
    });
  }
}
