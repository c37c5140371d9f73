//! How long do others wait beside a greedy connection, and what does it get?
//!
//! 100 ping-pongs share the loop with one connection that sends as fast as it is echoed. Whoever serves the greedy one
//! for longer at a time gets more bytes and lets the others wait. Beside that, without a neighbour, the same 100 with a
//! callback that works for a microsecond. Without Criterion, because it knows one figure only, and here there are three.

mod common;

use common::bench::{Bench, Figures};
use common::client::{Group, Kind, Limit, Load};
use common::peers::{self, Job};
use common::sys::Transport;

const PING_PONGS: usize = 100;

const GREEDY: Group = Group {
    connections: 1,
    kind: Kind::Bulk {
        window: 4 * 1024 * 1024,
        in_a_row: 16,
    },
};

fn main() {
    let mut bench = Bench::new("fairness");
    for (transport, name) in [(Transport::Tcp, "tcp"), (Transport::Unix, "unix")] {
        for (job, case) in [
            (Job::Echo, "100 x 64 B and a greedy one"),
            (Job::Work, "100 x 64 B, 1 us callback"),
        ] {
            run(&mut bench, &format!("{name} {case}"), job, transport);
        }
    }
    bench.finish();
}

fn run(bench: &mut Bench, case: &str, job: Job, transport: Transport) {
    // Work is done in a callback, and a pipe has none.
    let peers = match job {
        Job::Work => peers::ONCE_EACH.to_vec(),
        _ => peers::ALL.to_vec(),
    };
    let ping_pongs = Group {
        connections: bench.connections(PING_PONGS, 2 * peers.len()),
        kind: Kind::Message(64),
    };
    let groups = match job {
        Job::Work => vec![ping_pongs],
        _ => vec![ping_pongs, GREEDY],
    };
    let open = |peer: &peers::Peer| {
        let server = peer.start(job.clone(), transport);
        let mut load = Load::new(&server.place, &groups);
        load.run(Limit::Each(1));
        load
    };
    let mut loads: Vec<Load> = peers.iter().map(open).collect();
    bench.rounds(case, &peers, |index, time| {
        let load = &mut loads[index];
        load.latencies = Some(Vec::new());
        let sample = load.run(Limit::For(time));
        let mut latencies = load.latencies.take().unwrap_or_default();
        latencies.sort_by(f64::total_cmp);
        let seconds = sample.time.as_secs_f64();
        let mut figures: Figures = vec![
            ("p50 us", quantile(&latencies, 0.50)),
            ("p99 us", quantile(&latencies, 0.99)),
            ("msgs/s", sample.count.messages as f64 / seconds),
        ];
        if groups.len() > 1 {
            figures.push(("greedy MB/s", sample.count.bulk as f64 / 1e6 / seconds));
        }
        figures
    });
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}
