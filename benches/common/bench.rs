//! How a case is measured: by Criterion, one server after another, for its plots; and in rounds, for the ratios.
//!
//! A machine may be faster for tens of seconds and slower for the next. So a round visits all servers in short samples,
//! raw epoll first and last, and each sample is divided by what raw epoll did in the same round. What is told is the
//! median of these ratios and their spread.

use std::time::Duration;

use criterion::{Criterion, Throughput};

use super::client::{Count, Limit, Load, Sample, CHUNK};
use super::machine;
use super::mode::{self, Mode};
use super::peers::{Peer, Running};
use super::record::{Record, Spread};
use super::sys::{self, ThreadClock};

pub struct Bench {
    pub mode: Mode,
    name: &'static str,
    filter: Option<String>,
    record: Record,
    criterion: Criterion,
}

/// A server and the load it is under.
pub struct Stand {
    pub peer: Peer,
    pub clock: ThreadClock,
    run: Box<dyn FnMut(Limit) -> Sample>,
}

/// What is counted in a case.
#[derive(Clone)]
pub struct Unit {
    rate: &'static str,
    busy: &'static str,
    /// How many of them one message of a sample is.
    per_message: f64,
    /// What one iteration of Criterion is: one message on each connection.
    iteration: Throughput,
}

/// Names of what was measured, and the figures.
pub type Figures = Vec<(&'static str, f64)>;

impl Unit {
    pub fn messages(connections: usize) -> Unit {
        Unit {
            rate: "msgs/s",
            busy: "server us/msg",
            per_message: 1.0,
            iteration: Throughput::Elements(connections as u64),
        }
    }

    /// Each message has several replies in it.
    pub fn replies(connections: usize, in_a_message: usize) -> Unit {
        Unit {
            rate: "replies/s",
            busy: "server us/reply",
            per_message: in_a_message as f64,
            iteration: Throughput::Elements((connections * in_a_message) as u64),
        }
    }

    pub fn megabytes(connections: usize) -> Unit {
        Unit {
            rate: "MB/s",
            busy: "server us/MB",
            per_message: CHUNK as f64 / 1e6,
            iteration: Throughput::Bytes((connections * CHUNK) as u64),
        }
    }

    pub fn connections() -> Unit {
        Unit {
            rate: "connections/s",
            busy: "server us/connection",
            per_message: 1.0,
            iteration: Throughput::Elements(1),
        }
    }
}

impl Stand {
    pub fn new(server: &Running, run: impl FnMut(Limit) -> Sample + 'static) -> Stand {
        Stand {
            peer: server.peer,
            clock: server.clock,
            run: Box::new(run),
        }
    }

    pub fn under(server: &Running, mut load: Load) -> Stand {
        // The first message of each connection is for what is set up then.
        load.run(Limit::Each(1));
        Stand::new(server, move |limit| load.run(limit))
    }

    /// A run, and how much of the time the server was busy.
    pub fn run(&mut self, limit: Limit) -> (Sample, Duration) {
        let before = self.clock.read();
        let sample = (self.run)(limit);
        (sample, self.clock.read() - before)
    }

    /// The rate, and the processor time of the server for each unit.
    fn figures(&mut self, time: Duration, unit: &Unit) -> Figures {
        let (sample, busy) = self.run(Limit::For(time));
        let units = |count: Count| {
            let messages = count.messages as f64 + count.bulk as f64 / CHUNK as f64;
            messages * unit.per_message
        };
        let (seconds, busy) = (sample.time.as_secs_f64(), busy.as_secs_f64());
        vec![
            (unit.rate, units(sample.count) / seconds),
            (unit.busy, busy * 1e6 / units(sample.in_all)),
        ]
    }
}

impl Bench {
    /// Reads the arguments, and makes the calling thread the client.
    pub fn new(name: &'static str) -> Bench {
        let (mode, filter) = mode::from_arguments();
        machine::pin_client();
        let time = Duration::from_millis(if mode == Mode::Quick { 300 } else { 1000 });
        let criterion = Criterion::default()
            .sample_size(20)
            .warm_up_time(time / 4)
            .measurement_time(time)
            .nresamples(10_000)
            .configure_from_args();
        Bench {
            mode,
            name,
            filter,
            record: Record::new(name, mode == Mode::Quick),
            criterion,
        }
    }

    /// How many connections a server is to have when it is to have `count`, each taking so many descriptors of this
    /// process on all servers together: fewer where only something must be seen to work, and where descriptors do not
    /// suffice. What the servers still have to close is closed then.
    pub fn connections(&self, count: usize, descriptors: usize) -> usize {
        let open = settled();
        let count = match self.mode {
            Mode::Full | Mode::Quick => count,
            Mode::Test | Mode::List => count.min(5),
        };
        let room = sys::descriptors().saturating_sub(open + 50) / descriptors;
        assert!(room > 0, "too few descriptors");
        if room < count {
            println!("NOTE: descriptors suffice for {room} connections only, not for {count}.");
        }
        count.min(room)
    }

    pub fn case(&mut self, case: &str, unit: &Unit, stands: &mut [Stand]) {
        let mut group = self
            .criterion
            .benchmark_group(format!("{}/{case}", self.name));
        group.throughput(unit.iteration.clone());
        for stand in stands.iter_mut() {
            let run = &mut stand.run;
            group.bench_function(stand.peer.name(), |bencher| {
                bencher.iter_custom(|count| run(Limit::Each(count)).time);
            });
        }
        group.finish();
        let peers: Vec<Peer> = stands.iter().map(|stand| stand.peer).collect();
        self.rounds(case, &peers, |index, time| {
            stands[index].figures(time, unit)
        });
    }

    /// Short samples of all peers in turn, `measure` being told which and for how long. The first peer is raw epoll.
    pub fn rounds(
        &mut self,
        case: &str,
        peers: &[Peer],
        mut measure: impl FnMut(usize, Duration) -> Figures,
    ) {
        let (rounds, time) = match self.mode {
            Mode::Full => (11, Duration::from_millis(200)),
            Mode::Quick => (3, Duration::from_millis(60)),
            Mode::Test => (1, Duration::from_millis(2)),
            Mode::List => return,
        };
        let id = format!("{}/{case}", self.name);
        if self
            .filter
            .as_ref()
            .is_some_and(|filter| !id.contains(filter))
        {
            return;
        }
        let mut table = Table::new(peers.len());
        let mut before = measure(0, time);
        for round in 0..rounds {
            // Another one is first in each round, so that none is always behind the same neighbour.
            let others = peers.len() - 1;
            let turn = (0..others).map(|index| 1 + (index + round) % others);
            let samples: Vec<_> = turn.map(|index| (index, measure(index, time))).collect();
            let after = measure(0, time);
            table.add(&before, &after, samples);
            before = after;
        }
        println!("{id}: {rounds} rounds");
        if self.mode != Mode::Test {
            table.tell(case, peers, &mut self.record);
        }
    }

    /// A row of a bench that makes its own.
    pub fn record(&mut self) -> &mut Record {
        &mut self.record
    }

    /// Keeps what was measured, if it was all of it.
    pub fn finish(self) {
        self.criterion.final_summary();
        if matches!(self.mode, Mode::Full | Mode::Quick) && self.filter.is_none() {
            self.record.write();
        }
    }
}

/// Descriptors that are open when servers have closed what their clients have closed.
fn settled() -> usize {
    let open = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let mut before = open();
    loop {
        std::thread::sleep(Duration::from_millis(5));
        let now = open();
        if now == before {
            return now;
        }
        before = now;
    }
}

/// The samples of all rounds, by peer and then by figure.
struct Table(Vec<Vec<Series>>);

#[derive(Clone)]
struct Series {
    metric: &'static str,
    values: Vec<f64>,
    ratios: Vec<f64>,
}

impl Table {
    fn new(peers: usize) -> Table {
        Table(vec![Vec::new(); peers])
    }

    fn add(&mut self, before: &Figures, after: &Figures, samples: Vec<(usize, Figures)>) {
        let reference: Vec<f64> = before
            .iter()
            .zip(after)
            .map(|((_, before), (_, after))| (before + after) / 2.0)
            .collect();
        for (peer, figures) in samples.into_iter().chain([(0, after.clone())]) {
            let all = &mut self.0[peer];
            for (index, (metric, value)) in figures.into_iter().enumerate() {
                if index == all.len() {
                    all.push(Series {
                        metric,
                        values: Vec::new(),
                        ratios: Vec::new(),
                    });
                }
                all[index].values.push(value);
                all[index].ratios.push(if peer == 0 {
                    1.0
                } else {
                    value / reference[index]
                });
            }
        }
    }

    fn tell(self, case: &str, peers: &[Peer], record: &mut Record) {
        for (peer, all) in peers.iter().zip(self.0) {
            for series in all {
                let (value, ratio) = (Spread::of(&series.values), Spread::of(&series.ratios));
                println!(
                    "    {:<20} {:<16} {:>12.2} ({:.2} to {:.2}), to raw epoll {:.3} ({:.3} to {:.3})",
                    peer.name(),
                    series.metric,
                    value.median,
                    value.min,
                    value.max,
                    ratio.median,
                    ratio.min,
                    ratio.max
                );
                record.row(
                    case,
                    peer.name(),
                    series.metric,
                    &series.values,
                    &series.ratios,
                );
            }
        }
    }
}
