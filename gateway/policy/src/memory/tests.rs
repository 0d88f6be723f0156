#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::limit::Algorithm;

fn window(max: u32, millis: u64) -> Limit {
    Limit {
        id: 1,
        algorithm: Algorithm::Window,
        max,
        window: Duration::from_millis(millis),
        count_refused: false,
    }
}

fn pace(max: u32, millis: u64, burst: u32) -> Limit {
    Limit {
        algorithm: Algorithm::Pace { burst },
        ..window(max, millis)
    }
}

fn at(steady: u64) -> Now {
    Now {
        unix: 1_800_000_000_000 + steady,
        steady,
    }
}

fn key(of: u64) -> Key {
    crate::key::Keys::derived(b"t").start(of).finish()
}

const ONE: Key = Key(1);

/// The model: every counted hit, kept for ever.
#[derive(Default)]
struct Model(Vec<(u64, u64)>);

impl Model {
    /// Hits in the half-open window of this length that ends with `now`.
    fn within(&self, length: u64, now: u64) -> u64 {
        self.0
            .iter()
            .filter(|(time, _)| now < time + length)
            .map(|(_, cost)| cost)
            .sum()
    }

    /// Most hits in any half-open window of this length.
    fn busiest(&self, length: u64) -> u64 {
        let from = |start: u64| {
            self.0
                .iter()
                .filter(|(time, _)| (start..start + length).contains(time))
                .map(|(_, cost)| cost)
                .sum()
        };
        self.0
            .iter()
            .map(|(time, _)| from(*time))
            .max()
            .unwrap_or(0)
    }
}

fn arrivals() -> impl Strategy<Value = (u32, u64, Vec<(u64, u32)>)> {
    let max = prop_oneof![1..=8u32, 100..=130u32, 1..=1000u32];
    (max, 1..5000u64).prop_flat_map(|(max, length)| {
        // From bursts at one moment to gaps of more than a window, crowded enough to reach the limit.
        let gap = prop_oneof![4 => Just(0), 4 => 0..=(length * 2 / u64::from(max) + 1), 1 => 0..=length + 2];
        let cost = prop_oneof![6 => Just(1u32), 2 => 1..=max.div_ceil(20) + 1, 1 => 1..=max];
        let some = prop::collection::vec((gap, cost), 1..(400.min(max as usize * 4) + 8));
        (Just(max), Just(length), some)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn never_more_than_the_limit_in_any_window_and_not_needlessly_strict((max, length, arrivals) in arrivals()) {
        let (memory, limit, mut model) = (Memory::default(), window(max, length), Model::default());
        // Above 128 a hit may count for one sub-bucket longer than the window, never longer.
        let slack = if max <= 128 { 0 } else { length.div_ceil(30) };
        let mut now = 12_345;
        for (gap, cost) in arrivals {
            now += gap;
            let before = memory.count(&limit, ONE, 0, at(now));
            let standing = memory.count(&limit, ONE, cost, at(now));
            prop_assert_eq!(standing.allowed, before.remaining >= cost, "asking tells what counting does");
            if standing.allowed {
                model.0.push((now, u64::from(cost)));
                prop_assert!(u64::from(standing.remaining) + model.within(length, now) <= u64::from(max));
            } else {
                prop_assert!(model.within(length + slack, now) + u64::from(cost) > u64::from(max), "refused too early");
            }
        }
        prop_assert!(model.busiest(length) <= u64::from(max));
    }

    #[test]
    fn a_refused_request_passes_after_its_reset((max, length, arrivals) in arrivals()) {
        let (memory, limit) = (Memory::default(), window(max, length));
        let mut now = 99;
        for (gap, cost) in arrivals {
            now += gap;
            let standing = memory.count(&limit, ONE, cost, at(now));
            if !standing.allowed && cost <= max {
                prop_assert!(standing.reset_ms > 0 && standing.reset_ms <= length + length.div_ceil(30));
                now += standing.reset_ms;
                prop_assert!(memory.count(&limit, ONE, 0, at(now - 1)).remaining < cost, "not before");
                prop_assert!(memory.count(&limit, ONE, cost, at(now)).allowed);
            }
        }
    }

    #[test]
    fn counting_refused_requests_agrees_with_the_model((max, length, arrivals) in arrivals()) {
        prop_assume!(max <= 128);
        let (memory, mut model) = (Memory::default(), Model::default());
        let limit = Limit { count_refused: true, ..window(max, length) };
        let mut now = 5;
        for (gap, cost) in arrivals {
            now += gap;
            let fits = model.within(length, now) + u64::from(cost) <= u64::from(max);
            model.0.push((now, u64::from(cost)));
            prop_assert_eq!(memory.count(&limit, ONE, cost, at(now)).allowed, fits);
        }
    }

    #[test]
    fn a_clock_that_goes_back_opens_nothing((max, length, arrivals) in arrivals(), back in prop::collection::vec(0..9000u64, 50)) {
        let (memory, limit, mut model) = (Memory::default(), window(max, length), Model::default());
        let (mut now, mut latest) = (50_000, 0);
        for (position, (gap, cost)) in arrivals.into_iter().enumerate() {
            now += gap;
            let shown = now - back[position % back.len()] * u64::from(position % 3 == 1);
            latest = latest.max(shown);
            if memory.count(&limit, ONE, cost, at(shown)).allowed {
                model.0.push((latest, u64::from(cost)));
            }
        }
        prop_assert!(model.busiest(length) <= u64::from(max));
    }

    #[test]
    fn a_reload_keeps_what_was_counted(
        arrivals in prop::collection::vec((0..200u64, 1..4u32), 1..300),
        reloads in prop::collection::vec((1..300u32, 100..4000u64), 1..6),
    ) {
        let (memory, mut model) = (Memory::default(), Model::default());
        let per_policy = arrivals.len().div_ceil(reloads.len());
        let (mut now, mut shortest) = (7, u64::MAX);
        for (position, (gap, cost)) in arrivals.into_iter().enumerate() {
            let (max, length) = reloads[position / per_policy];
            // What lay outside an earlier, shorter window is gone; everything else still counts.
            shortest = shortest.min(length);
            now += gap;
            if memory.count(&window(max, length), ONE, cost, at(now)).allowed {
                model.0.push((now, u64::from(cost)));
                prop_assert!(model.within(shortest, now) <= u64::from(max));
            }
        }
    }

    #[test]
    fn pace_keeps_to_burst_and_rate(
        max in 1..500u32, length in 100..5000u64, burst in 1..50u32,
        arrivals in prop::collection::vec((0..100u64, 1..4u32), 1..300),
    ) {
        let (memory, limit, mut model) = (Memory::default(), pace(max, length, burst), Model::default());
        let mut now = 3;
        for (gap, cost) in arrivals {
            now += gap;
            let before = memory.count(&limit, ONE, 0, at(now));
            let standing = memory.count(&limit, ONE, cost, at(now));
            prop_assert_eq!(standing.allowed, before.remaining >= cost);
            if standing.allowed {
                model.0.push((now, u64::from(cost)));
            } else if cost <= burst {
                now += standing.reset_ms;
                let later = memory.count(&limit, ONE, 0, at(now));
                prop_assert!(later.remaining >= cost, "after its reset it would pass");
            }
        }
        for (index, (start, _)) in model.0.iter().enumerate() {
            let mut sum = 0;
            for (time, cost) in &model.0[index..] {
                sum += cost;
                // burst + elapsed / interval, and one for rounding the interval to nanoseconds.
                let most = u64::from(burst) + (time - start) * u64::from(max) / length + 1;
                prop_assert!(sum <= most, "{} in {} ms", sum, time - start);
            }
        }
    }
}

#[test]
fn equal_timestamps_are_distinct_hits_and_refused_ones_do_not_count() {
    let (memory, limit) = (Memory::default(), window(3, 1000));
    let hit = |now| memory.count(&limit, ONE, 1, at(now));
    assert!((0..3).all(|_| hit(10).allowed));
    let refused = hit(10);
    assert_eq!(
        (
            refused.allowed,
            refused.remaining,
            refused.reset_ms,
            refused.window_s
        ),
        (false, 0, 1000, 1)
    );
    assert!((0..100).all(|_| !hit(1009).allowed));
    assert!(hit(1010).allowed, "a client that retries recovers");
}

#[test]
fn a_burst_over_the_window_edge_is_refused() {
    for max in [5, 128, 129, 1000] {
        let (memory, limit) = (Memory::default(), window(max, 60_000));
        assert!((0..max).all(|_| memory.count(&limit, ONE, 1, at(59_999)).allowed));
        assert!(
            !memory.count(&limit, ONE, 1, at(60_000)).allowed,
            "a fixed window would open here"
        );
        assert!(!memory.count(&limit, ONE, 1, at(119_998)).allowed);
        assert!(memory.count(&limit, ONE, 1, at(122_000)).allowed);
    }
}

#[test]
fn long_windows_and_late_clocks_count_right() {
    let day = 86_400_000;
    for max in [3, 1000] {
        let (memory, limit) = (Memory::default(), window(max, 31 * day));
        let start = (1 << 32) - 5;
        assert!((0..max).all(|_| memory.count(&limit, ONE, 1, at(start)).allowed));
        assert!(
            !memory
                .count(&limit, ONE, 1, at(start + 31 * day - 1))
                .allowed
        );
        assert!(memory.count(&limit, ONE, 1, at(start + 33 * day)).allowed);
        assert_eq!(
            memory
                .count(&limit, ONE, 0, at(start + 500 * day))
                .remaining,
            max,
            "49.7 days do not wrap"
        );
    }
}

#[test]
fn keys_limits_and_algorithms_are_apart() {
    let memory = Memory::default();
    let other = Limit {
        id: 2,
        ..window(1, 1000)
    };
    assert!(memory.count(&window(1, 1000), ONE, 1, at(0)).allowed);
    assert!(!memory.count(&window(1, 1000), ONE, 1, at(0)).allowed);
    assert!(memory.count(&window(1, 1000), Key(2), 1, at(0)).allowed);
    assert!(memory.count(&other, ONE, 1, at(0)).allowed);
    assert!(memory.count(&pace(1, 1000, 1), ONE, 1, at(0)).allowed);
    assert!(!memory.count(&pace(1, 1000, 1), ONE, 1, at(0)).allowed);
    assert_eq!(memory.stats().keys, 4);
}

#[test]
fn when_full_the_oldest_go_first_and_are_counted() {
    let (memory, limit) = (Memory::new(Bounds::each(100)), window(1, 60_000));
    for of in 0..150 {
        assert!(memory.count(&limit, key(of), 1, at(of)).allowed);
    }
    let stats = memory.stats();
    assert_eq!((stats.keys, stats.dropped, stats.expired), (100, 50, 0));
    assert!(
        !memory.count(&limit, key(149), 1, at(150)).allowed,
        "the latest are kept"
    );
    assert!(!memory.count(&limit, key(50), 1, at(150)).allowed);
    assert!(
        memory.count(&limit, key(49), 1, at(150)).allowed,
        "the oldest are forgotten"
    );
}

#[test]
fn a_flood_of_keys_in_one_limit_forgets_only_that_limits() {
    let memory = Memory::new(Bounds::each(100));
    let logins = Limit {
        id: 9,
        ..window(1, 60_000)
    };
    for of in 0..20 {
        memory.count(&logins, key(of), 1, at(0));
    }
    for of in 0..10_000 {
        memory.count(&window(1, 60_000), key(of), 1, at(1));
    }
    assert!((0..20).all(|of| !memory.count(&logins, key(of), 1, at(2)).allowed));
    let bounded = Memory::new(Bounds {
        keys_per_limit: 10,
        ..Bounds::each(100)
    });
    for of in 0..50 {
        bounded.count(&logins, key(of), 1, at(0));
    }
    assert_eq!(bounded.stats().keys, 10);
}

#[test]
fn what_no_longer_counts_goes_before_what_does() {
    let (memory, limit) = (Memory::new(Bounds::each(100)), window(1, 1000));
    for of in 0..100 {
        memory.count(&limit, key(of), 1, at(0));
    }
    for of in 100..200 {
        memory.count(&limit, key(of), 1, at(1000));
    }
    assert_eq!((memory.stats().dropped, memory.stats().expired), (0, 100));
    memory.sweep(at(5000), 1000);
    assert_eq!((memory.stats().keys, memory.stats().expired), (0, 200));
    assert!(memory.count(&limit, key(1), 1, at(5001)).allowed);
}

#[test]
fn a_full_size_store_stays_within_its_bound() {
    let (memory, limit) = (Memory::new(Bounds::each(20_000)), window(2, 60_000));
    for of in 0..60_000 {
        memory.count(&limit, key(of), 1, at(of / 100));
    }
    let stats = memory.stats();
    assert!(
        stats.keys <= 20_000 + 64 && stats.keys > 19_000,
        "{stats:?}"
    );
    assert_eq!(stats.keys as u64 + stats.dropped + stats.expired, 60_000);
}

#[test]
fn leases_are_given_back() {
    let memory = Memory::default();
    let lease = Lease { id: 1, max: 2 };
    assert!(memory.lease(&lease, ONE) && memory.lease(&lease, ONE) && !memory.lease(&lease, ONE));
    assert!(memory.lease(&lease, Key(2)) && memory.lease(&Lease { id: 2, max: 1 }, ONE));
    memory.release(&lease, ONE);
    assert!(memory.lease(&lease, ONE) && !memory.lease(&lease, ONE));
    for _ in 0..5 {
        memory.release(&lease, ONE);
    }
    assert_eq!(
        memory.stats().leases,
        2,
        "nothing is left of what nobody holds"
    );
    assert!(memory.lease(&lease, ONE) && memory.lease(&lease, ONE) && !memory.lease(&lease, ONE));
    assert!(!memory.lease(&Lease { id: 3, max: 0 }, ONE));
}

#[test]
fn values_live_for_their_time_and_are_never_dropped_for_room() {
    let memory = Memory::new(Bounds {
        values: 16,
        ..Bounds::default()
    });
    let put = |key, value: &'static str, ttl, now| {
        memory.put(
            Space::Ban,
            key,
            value.into(),
            Duration::from_millis(ttl),
            at(now),
        )
    };
    put(ONE, "a", 100, 0).unwrap();
    assert_eq!(memory.get(Space::Ban, ONE, at(99)).unwrap(), "a");
    assert_eq!(memory.get(Space::Ban, ONE, at(100)), None);
    assert_eq!(memory.get(Space::Revocation, ONE, at(0)), None);
    put(ONE, "b", 1000, 50).unwrap();
    assert_eq!(memory.get(Space::Ban, ONE, at(500)).unwrap(), "b");
    assert_eq!(
        put(Key(17), "c", 1000, 500),
        Err(StoreFault::Full),
        "same shard, one place, one living value"
    );
    assert_eq!(put(ONE, "d", 1000, 500), Ok(()), "a known one is replaced");
    assert_eq!(
        put(Key(17), "c", 1000, 1500),
        Ok(()),
        "a dead one makes room"
    );
    memory.remove(Space::Ban, Key(17));
    assert_eq!(
        (
            memory.get(Space::Ban, Key(17), at(1500)),
            memory.stats().values
        ),
        (None, 0)
    );
}

#[test]
fn threads_together_pass_no_more_than_the_limit() {
    for limit in [
        window(100, 60_000),
        window(1000, 60_000),
        pace(60, 60_000, 100),
    ] {
        let (memory, passed) = (Memory::default(), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        passed.fetch_add(
                            u32::from(memory.count(&limit, ONE, 1, at(1)).allowed),
                            Ordering::Relaxed,
                        );
                    }
                });
            }
        });
        let most = if limit.algorithm == Algorithm::Window {
            limit.max
        } else {
            100
        };
        assert_eq!(passed.into_inner(), most);
    }
}

#[test]
fn a_swap_happens_once_however_many_try() {
    let memory = Memory::default();
    let (space, key, ttl) = (Space::Once, Key(7), Duration::from_secs(60));
    let now = at(0);
    let value = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let swap = |expected: Option<Bytes>, value: Option<Bytes>, now: Now| {
        memory
            .swap(space, key, expected.as_ref(), value, ttl, now)
            .unwrap()
    };
    let won: usize = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| usize::from(swap(None, value("a"), now))))
            .collect();
        tries.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(won, 1);
    assert!(!swap(value("b"), value("c"), now));
    assert!(swap(value("a"), value("b"), now));
    assert!(swap(value("b"), None, now));
    assert_eq!(memory.get(space, key, now), None);
    assert!(swap(None, value("d"), now));
    // What has ended is nothing.
    let later = at(60_000);
    assert!(!swap(value("d"), value("e"), later));
    assert!(swap(None, value("e"), later));
}
