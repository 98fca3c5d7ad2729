// SPDX-License-Identifier: BSD-2-Clause
// Threads, channels, locks and panics of Rust's own library.
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex};
use std::thread;
use std::time::Duration;

static DROPPED: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::SeqCst);
    }
}

thread_local! { static OWN: RefCell<Option<Counted>> = RefCell::new(None); }

fn deep(n: u64) -> u64 {
    let frame = [n; 64];
    if n == 0 { 0 } else { deep(n - 1) + frame[(n % 64) as usize] }
}

fn main() {
    let (sender, receiver) = mpsc::channel();
    let threads: Vec<_> = (0..6u64)
        .map(|i| {
            let sender = sender.clone();
            thread::Builder::new()
                .name(format!("sender-{}", i))
                .spawn(move || {
                    for j in 0..500u64 {
                        sender.send(i * j).unwrap();
                    }
                    thread::current().name().unwrap().to_string()
                })
                .unwrap()
        })
        .collect();
    drop(sender);
    println!("{}", receiver.iter().sum::<u64>());
    for one in threads {
        print!("{} ", one.join().unwrap());
    }
    println!("{:?}", receiver.recv_timeout(Duration::from_millis(2)));

    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let other = shared.clone();
    let counter = thread::spawn(move || {
        for _ in 0..300 {
            *other.0.lock().unwrap() += 1;
            other.1.notify_all();
        }
    });
    let mut count = shared.0.lock().unwrap();
    while *count < 300 {
        count = shared.1.wait(count).unwrap();
    }
    println!("{}", *count);
    drop(count);
    counter.join().unwrap();

    let barrier = Arc::new(Barrier::new(4));
    let leaders: usize = (0..4)
        .map(|_| {
            let barrier = barrier.clone();
            thread::spawn(move || {
                OWN.with(|own| *own.borrow_mut() = Some(Counted));
                (0..20).filter(|_| barrier.wait().is_leader()).count()
            })
        })
        .collect::<Vec<_>>()
        .into_iter()
        .map(|one| one.join().unwrap())
        .sum();
    println!("{} {}", leaders, DROPPED.load(Ordering::SeqCst));

    println!("{}", thread::spawn(|| panic!("taken")).join().is_err());
    let big = thread::Builder::new().stack_size(16 << 20);
    println!("{}", big.spawn(|| deep(10000)).unwrap().join().unwrap());
    std::process::exit(7);
}
