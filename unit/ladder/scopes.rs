// SPDX-License-Identifier: BSD-3-Clause
//! scopes - the standard library's threads: scoped ones, channels, locks, condition variables, barriers,
//! parking, thread locals, and a panic that stays in its thread.
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{channel, sync_channel};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, RwLock};
use std::thread;
use std::time::Duration;

thread_local! { static LOCAL: Cell<usize> = Cell::new(0); }

fn scoped() {
    let numbers: Vec<u64> = (0..100_000).collect();
    let total = AtomicUsize::new(0);
    thread::scope(|scope| {
        for part in numbers.chunks(2_500) {
            let total = &total;
            scope.spawn(move || total.fetch_add(part.iter().sum::<u64>() as usize, Ordering::Relaxed));
        }
    });
    println!("scoped {}", total.load(Ordering::Relaxed));
}

fn channels() {
    let (send, receive) = channel();
    for n in 0..32u64 {
        let send = send.clone();
        thread::spawn(move || (0..100).for_each(|i| send.send(n * 1000 + i).unwrap()));
    }
    drop(send);
    let mut sum = receive.iter().sum::<u64>();
    let (send, receive) = sync_channel(0); // each value is handed over
    let sender = thread::spawn(move || (0..500u64).for_each(|i| send.send(i).unwrap()));
    sum += receive.iter().sum::<u64>();
    sender.join().unwrap();
    println!("channels {}", sum);
}

fn locks() {
    let shared = Arc::new((Mutex::new(0u32), Condvar::new(), RwLock::new(0u32), Barrier::new(16)));
    let threads: Vec<_> = (0..16u32)
        .map(|n| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let (turn, changed, written, meet) = &*shared;
                for round in 0..10 {
                    let mut now = turn.lock().unwrap();
                    while *now != round * 16 + n {
                        now = changed.wait(now).unwrap();
                    }
                    *now += 1;
                    changed.notify_all();
                    drop(now);
                    *written.write().unwrap() += 1;
                    meet.wait();
                    assert_eq!(*written.read().unwrap(), (round + 1) * 16);
                    meet.wait();
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    println!("locks {} {}", shared.0.lock().unwrap(), shared.2.read().unwrap());
}

fn others() {
    static ONCE: Once = Once::new();
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    let threads: Vec<_> = (0..50)
        .map(|n| {
            thread::Builder::new().name(format!("t{}", n)).stack_size(128 << 10).spawn(move || {
                ONCE.call_once(|| {
                    RUNS.fetch_add(1, Ordering::SeqCst);
                });
                LOCAL.with(|l| l.set(n));
                thread::park_timeout(Duration::from_millis(1));
                LOCAL.with(|l| l.get())
            })
        })
        .collect();
    let sum: usize = threads.into_iter().map(|t| t.unwrap().join().unwrap()).sum();
    let parked = thread::spawn(|| thread::park());
    parked.thread().unpark();
    parked.join().unwrap();
    println!("others {} {}", sum, RUNS.load(Ordering::SeqCst));
}

fn main() {
    scoped();
    channels();
    locks();
    others();
    let outcome = thread::Builder::new().name("doomed".into()).spawn(|| panic!("on purpose")).unwrap().join();
    println!("panic {}", outcome.is_err());
    std::process::exit(6);
}
