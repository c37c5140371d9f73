//! A deterministic simulation of whole programs: sockets and servers on a network in memory with every fault there is,
//! used by callbacks that do whatever the dice say, and checked against a plain model after every turn.
//!
//! A seed is a run. One that fails prints itself; `SIM_SEED=n cargo test --features sim --test simulation` runs it
//! again and says what it does, and `SIM_SEEDS=n` sets how many seeds are run (`SIM_FROM=n`: from which).
#![cfg(feature = "sim")]

#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/idle.rs"]
mod idle;
#[path = "simulation/pipes.rs"]
mod pipes;
#[path = "simulation/rules.rs"]
mod rules;
#[path = "simulation/servers.rs"]
mod servers;
#[path = "simulation/timers.rs"]
mod timers;
#[path = "simulation/user.rs"]
mod user;
#[path = "simulation/world.rs"]
mod world;

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;
use std::time::Instant;

use world::Tally;

/// Without `SIM_SEEDS`: a few seconds, unoptimised.
const SEEDS: u64 = 1_000;

#[test]
fn programs_of_any_kind_on_any_network_keep_every_promise() {
    let number = |name: &str| -> Option<u64> { std::env::var(name).ok()?.parse().ok() };
    if let Some(seed) = number("SIM_SEED") {
        println!("seed {seed}: {:?}", world::run(seed, true));
        return;
    }
    let first = number("SIM_FROM").unwrap_or(0);
    let seeds = number("SIM_SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let tally = run_all(first, first + seeds);
    println!(
        "{seeds} seeds from {first} in {:.1} s: {tally:?}",
        began.elapsed().as_secs_f64()
    );
    // A driver that does nothing finds nothing.
    assert!(tally.turns > 20 * seeds && tally.bytes > 100 * seeds && tally.events > 20 * seeds);
    let rare = [
        tally.clean,
        tally.failed,
        tally.accepted,
        tally.panics,
        tally.drains,
        tally.timeouts,
        tally.piped,
    ];
    assert!(seeds < 1_000 || rare.iter().all(|count| *count > seeds / 50));
}

#[test]
fn a_seed_is_a_run() {
    for seed in 0..20 {
        let (one, other) = (world::run(seed, false), world::run(seed, false));
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "seed {seed}");
    }
}

/// On all cores. The first seed that fails is told, and ends it.
fn run_all(first: u64, end: u64) -> Tally {
    let next = AtomicU64::new(first);
    let failed = Mutex::new(Vec::new());
    let total = Mutex::new(Tally::default());
    let work = || {
        let mut sum = Tally::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end {
                break;
            }
            match catch_unwind(AssertUnwindSafe(|| world::run(seed, false))) {
                Ok(tally) => sum += tally,
                Err(_) => {
                    failed.lock().unwrap().push(seed);
                    next.store(end, Ordering::Relaxed);
                }
            }
        }
        *total.lock().unwrap() += sum;
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    if let Some(seed) = failed.iter().min() {
        panic!(
            "seed {seed} failed; again: SIM_SEED={seed} cargo test --features sim --test simulation -- --nocapture"
        );
    }
    total.into_inner().unwrap()
}
