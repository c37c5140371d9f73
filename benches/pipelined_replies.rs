//! What is gained when the replies to many requests of one read leave in one piece?
//!
//! 16 requests come in one read, and 16 replies go back: uncorked by 16 system calls, corked by one. That it is one is
//! seen by the segments which the client gets: without Nagle's algorithm each `send` is a segment of its own.

mod common;

use std::time::Duration;

use common::bench::{Bench, Stand, Unit};
use common::client::{Group, Kind, Limit, Load};
use common::mode::Mode;
use common::peers::{Job, Peer, Running, ONCE_EACH, REPLY};
use common::sys::Transport;

/// Requests in a read.
const REQUESTS: usize = 16;
const CONNECTIONS: usize = 50;

const BATCH: Kind = Kind::Message(REQUESTS * REPLY);

fn main() {
    let mut bench = Bench::new("pipelined_replies");
    for (transport, name) in [(Transport::Tcp, "tcp"), (Transport::Unix, "unix")] {
        let [uncorked, corked] = [false, true].map(|corked| {
            let job = Job::Replies { corked };
            ONCE_EACH.map(|peer| peer.start(job.clone(), transport))
        });
        let group = Group {
            connections: bench.connections(CONNECTIONS, 4 * ONCE_EACH.len()),
            kind: BATCH,
        };
        let under_load =
            |server: &Running| Stand::under(server, Load::new(&server.place, &[group]));
        let mut one_by_one: Vec<Stand> = uncorked.iter().map(under_load).collect();
        let mut at_once: Vec<Stand> = corked.iter().map(under_load).collect();
        let unit = Unit::replies(group.connections, REQUESTS);
        bench.case(&format!("{name} uncorked"), &unit, &mut one_by_one);
        bench.case(&format!("{name} corked"), &unit, &mut at_once);
        gain(&mut bench, name, &mut one_by_one, &mut at_once);
        if transport == Transport::Tcp {
            for (server, case) in uncorked
                .iter()
                .map(|it| (it, "tcp uncorked"))
                .chain(corked.iter().map(|it| (it, "tcp corked")))
            {
                count_sends(&mut bench, case, server);
            }
        }
    }
    bench.finish();
}

/// Corked against uncorked, one right after the other.
fn gain(bench: &mut Bench, name: &str, one_by_one: &mut [Stand], at_once: &mut [Stand]) {
    let peers: Vec<Peer> = at_once.iter().map(|stand| stand.peer).collect();
    let last = peers.len() - 1;
    bench.rounds(&format!("{name} gain"), &peers, |index, time| {
        let (uncorked, _) = rate(&mut one_by_one[index], time / 2);
        let (corked, busy) = rate(&mut at_once[index], time / 2);
        vec![
            ("corked / uncorked", corked / uncorked),
            ("server busy share, corked", busy),
        ]
    });
    // Of all it has done until now, and it has only ever been corked.
    let (user, kernel) = at_once[last].clock.ticks();
    if user + kernel > 0 {
        let share = kernel as f64 / (user + kernel) as f64;
        bench.record().row(
            &format!("{name} gain"),
            peers[last].name(),
            "kernel share, corked",
            &[share],
            &[],
        );
        println!(
            "    {:.0} % of the time of the corked server is the kernel's",
            share * 100.0
        );
    }
}

/// Batches a second, and the share of the time in which the server was busy.
fn rate(stand: &mut Stand, time: Duration) -> (f64, f64) {
    let (sample, busy) = stand.run(Limit::For(time));
    let seconds = sample.time.as_secs_f64();
    (
        sample.count.messages as f64 / seconds,
        busy.as_secs_f64() / seconds,
    )
}

fn count_sends(bench: &mut Bench, case: &str, server: &Running) {
    const BATCHES: u64 = 100;
    if bench.mode == Mode::List {
        return;
    }
    let group = Group {
        connections: 1,
        kind: BATCH,
    };
    let mut load = Load::new(&server.place, &[group]);
    let before = load.segments();
    load.run(Limit::Each(BATCHES));
    let (Some(before), Some(after)) = (before, load.segments()) else {
        println!("NOTE: the kernel does not tell how many segments came.");
        return;
    };
    let sends = f64::from(after - before) / BATCHES as f64;
    let (peer, metric) = (server.peer.name(), "segments for 16 replies");
    println!("{case}: {peer}: {sends:.2} {metric}");
    bench.record().row(case, peer, metric, &[sends], &[]);
}
