//! How a part of the crate is measured that needs no second core: by Criterion, whose samples are kept for the record.
#![allow(dead_code)]

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};

use crate::mode::{self, Mode};
use crate::record::Record;

/// Does something a fixed number of times and says how long that took, preparations left out.
pub type Routine = Box<dyn FnMut() -> Duration>;

pub struct Sampled {
    pub mode: Mode,
    name: &'static str,
    record: Record,
    criterion: Criterion,
    whole: bool,
}

impl Sampled {
    pub fn new(name: &'static str) -> Sampled {
        let (mode, filter) = mode::from_arguments();
        let time = Duration::from_millis(if mode == Mode::Quick { 150 } else { 1000 });
        let criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(time / 4)
            .measurement_time(time)
            .nresamples(10_000)
            .configure_from_args();
        Sampled {
            mode,
            name,
            record: Record::new(name, mode == Mode::Quick),
            criterion,
            whole: filter.is_none(),
        }
    }

    /// That many, or few where only something must be seen to work.
    pub fn size(&self, size: usize) -> usize {
        match self.mode {
            Mode::Full | Mode::Quick => size,
            Mode::Test | Mode::List => size.min(1000),
        }
    }

    /// The same work by several peers, each made when its turn comes. One call of a routine is so many operations.
    pub fn case(
        &mut self,
        case: &str,
        operations: u64,
        peers: Vec<(&str, Box<dyn Fn() -> Routine>)>,
    ) {
        let mut group = self
            .criterion
            .benchmark_group(format!("{}/{case}", self.name));
        group.sampling_mode(SamplingMode::Flat);
        group.throughput(Throughput::Elements(operations));
        for (peer, make) in peers {
            let mut routine = None;
            let mut samples = Vec::new();
            group.bench_function(peer, |bencher| {
                let routine = routine.get_or_insert_with(&make);
                bencher.iter_custom(|calls| {
                    let time = (0..calls).map(|_| routine()).sum();
                    samples.push((calls, time));
                    time
                });
            });
            if matches!(self.mode, Mode::Full | Mode::Quick) && !samples.is_empty() {
                let nanos = per_operation(&samples, operations);
                self.record.row(case, peer, "ns/op", &nanos, &[]);
            }
        }
        group.finish();
    }

    /// Keeps what was measured, if it was all of it.
    pub fn finish(self) {
        self.criterion.final_summary();
        if matches!(self.mode, Mode::Full | Mode::Quick) && self.whole {
            self.record.write();
        }
    }
}

/// How long `work` takes.
pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let start = Instant::now();
    std::hint::black_box(work());
    start.elapsed()
}

/// Nanoseconds for each operation. The short samples are those that warm up.
fn per_operation(samples: &[(u64, Duration)], operations: u64) -> Vec<f64> {
    let longest = samples.iter().map(|(calls, _)| *calls).max();
    samples
        .iter()
        .filter(|(calls, _)| calls * 4 >= longest.unwrap_or(0))
        .map(|(calls, time)| time.as_nanos() as f64 / (calls * operations) as f64)
        .collect()
}
