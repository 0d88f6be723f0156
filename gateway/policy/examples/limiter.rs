//! What counting costs: `cargo run --profile fast -p policy --example limiter`. Prints nanoseconds per count and
//! bytes per key for a million keys. Nanoseconds are those that the threads had a processor, waiting for locks apart.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use policy::io::{Key, Now};
use policy::limit::{Algorithm, Limit};
use policy::memory::Memory;

fn limit(algorithm: Algorithm, max: u32) -> Limit {
    Limit {
        id: 1,
        algorithm,
        max,
        window: Duration::from_secs(60),
        count_refused: false,
    }
}

/// Keys are hashes; this spreads a counter as well.
fn key(of: u64) -> Key {
    let wide = u128::from(of).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Key(wide ^ (wide >> 61))
}

fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// Nanoseconds that this thread ran.
fn ran() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    first.unwrap_or(0)
}

fn measure(name: &str, limit: &Limit, keys: u64, threads: u64) {
    const EACH: u64 = 2_000_000;
    let memory = Memory::default();
    for of in 0..keys {
        memory.count(limit, key(of), 1, Now::default());
    }
    let total = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (memory, total) = (&memory, &total);
            scope.spawn(move || {
                let start = ran();
                for of in 0..EACH {
                    let steady = of / 50;
                    let now = Now {
                        unix: steady,
                        steady,
                    };
                    memory.count(limit, key((of * 7919 + thread * 31) % keys), 1, now);
                }
                total.fetch_add(ran() - start, Ordering::Relaxed);
            });
        }
    });
    let nanos = total.into_inner() / (EACH * threads);
    println!("{name}, {keys} keys, {threads} threads: {nanos} ns");
}

fn main() {
    let before = resident();
    let memory = Memory::default();
    let start = ran();
    for of in 0..1_000_000 {
        memory.count(&limit(Algorithm::Window, 100), key(of), 1, Now::default());
    }
    let nanos = (ran() - start) / 1_000_000;
    let stats = memory.stats();
    let bytes = (resident() - before) / stats.keys as u64;
    println!("a million new keys: {nanos} ns and {bytes} bytes each, {stats:?}");
    drop(memory);
    for threads in [1, 2] {
        for keys in [1, 1000, 100_000] {
            measure(
                "window 100/1m",
                &limit(Algorithm::Window, 100),
                keys,
                threads,
            );
            measure(
                "window 10000/1m",
                &limit(Algorithm::Window, 10_000),
                keys,
                threads,
            );
            measure(
                "pace 100/1m",
                &limit(Algorithm::Pace { burst: 20 }, 100),
                keys,
                threads,
            );
        }
    }
}
