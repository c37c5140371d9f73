//! What does TLS cost a server: for a handshake, for a megabyte, and in memory for a connection that is idle?
//!
//! Beside tokio-rustls, which has the same cryptography, and Node, where that is installed. Each server is a process of
//! its own with the same certificate (ECDSA P-256), and as it is by default otherwise; but tokio-rustls, which keeps
//! sessions in memory, is there with tickets, too, as we and Node have them. The client shakes hands one by one, so
//! the rate has the client's half in it, and the processor time of the server says more. Without Criterion, which
//! measures one process.

#[path = "../common/mod.rs"]
mod common;

mod client;
mod node;
mod servers;

use std::time::Duration;

use common::machine;
use common::mode::{self, Mode};
use common::record::{Record, Spread};
use common::sys;

use client::{Client, Direction, Version};
use servers::Server;

/// Of one sample, by metric.
type Figures = Vec<(&'static str, f64)>;

fn main() {
    servers::serve_if_told();
    let (mode, filter) = mode::from_arguments();
    if mode == Mode::List {
        return;
    }
    let mut bench = Bench {
        mode,
        filter,
        record: Record::beside("tls", mode == Mode::Quick, "tokio-rustls"),
    };
    let identity = servers::Identity::new();
    for version in [Version::Tls13, Version::Tls12] {
        for resumed in [false, true] {
            let what = if resumed { "resumed" } else { "full" };
            let case = format!("{version} handshake, {what}");
            bench.case(&case, &identity, |server| {
                let mut client = Client::new(server.address, &identity.cert, version, resumed);
                // The first one has nothing to resume.
                client.shake_hands(1);
                Box::new(move |server, time| {
                    let figures = handshakes(server, &mut client, time);
                    // Node gives two tickets with a full handshake and none with a resumed one, so that every third of its
                    // is full.
                    let expected = if resumed { client.shaken / 2 } else { 0 };
                    assert!(
                        client.resumed >= expected,
                        "{} resumes too few",
                        server.name
                    );
                    assert!(resumed || client.resumed == 0, "{} resumes", server.name);
                    figures
                })
            });
        }
    }
    for direction in [Direction::Down, Direction::Up] {
        let case = format!("{} stream, {direction}", Version::Tls13);
        bench.case(&case, &identity, |server| {
            let client = Client::new(server.address, &identity.cert, Version::Tls13, false);
            let mut stream = client.stream(direction);
            Box::new(move |server, time| megabytes(server, &mut stream, time))
        });
    }
    bench.memory(&identity);
    bench.finish();
}

fn handshakes(server: &Server, client: &mut Client, time: Duration) -> Figures {
    let busy = server.clock.read();
    let (count, time) = client.shake_hands_for(time);
    let busy = server.clock.read() - busy;
    vec![
        ("handshakes/s", f64::from(count) / time.as_secs_f64()),
        (
            "server us/handshake",
            busy.as_secs_f64() * 1e6 / f64::from(count),
        ),
    ]
}

fn megabytes(server: &Server, stream: &mut client::Bulk, time: Duration) -> Figures {
    let busy = server.clock.read();
    let (bytes, time) = stream.run(time);
    let busy = server.clock.read() - busy;
    let megabytes = bytes as f64 / 1e6;
    vec![
        ("MB/s", megabytes / time.as_secs_f64()),
        ("server us/MB", busy.as_secs_f64() * 1e6 / megabytes),
    ]
}

struct Bench {
    mode: Mode,
    filter: Option<String>,
    record: Record,
}

/// Measures one server for so long.
type Load = Box<dyn FnMut(&Server, Duration) -> Figures>;

impl Bench {
    /// Short samples of all servers in turn. Ratios are to tokio-rustls in the same round.
    fn case(
        &mut self,
        case: &str,
        identity: &servers::Identity,
        mut load: impl FnMut(&Server) -> Load,
    ) {
        if !self.wants(case) {
            return;
        }
        let (rounds, time) = match self.mode {
            // Short ones, so that a neighbour of this machine slows all servers down alike.
            Mode::Full => (31, Duration::from_millis(100)),
            Mode::Quick => (3, Duration::from_millis(100)),
            Mode::Test | Mode::List => (1, Duration::from_millis(1)),
        };
        let servers: Vec<Server> = servers::start_all(identity);
        machine::pin_client();
        let mut loads: Vec<Load> = servers.iter().map(&mut load).collect();
        let mut samples: Vec<Vec<Figures>> = servers.iter().map(|_| Vec::new()).collect();
        for round in 0..rounds {
            // Another one is first in each round, so that none is always behind the same neighbour.
            for turn in 0..servers.len() {
                let index = (turn + round) % servers.len();
                samples[index].push(loads[index](&servers[index], time));
            }
        }
        for (server, of_server) in servers.iter().zip(&samples) {
            for metric in 0..of_server[0].len() {
                self.tell(case, server.name, metric, of_server, &samples[0]);
            }
        }
    }

    fn tell(
        &mut self,
        case: &str,
        server: &str,
        metric: usize,
        samples: &[Figures],
        reference: &[Figures],
    ) {
        let values: Vec<f64> = samples.iter().map(|figures| figures[metric].1).collect();
        let ratios: Vec<f64> = values
            .iter()
            .zip(reference)
            .map(|(value, reference)| value / reference[metric].1)
            .collect();
        let name = samples[0][metric].0;
        let (value, ratio) = (Spread::of(&values), Spread::of(&ratios));
        println!(
            "tls/{case}: {server:<21} {name:<20} {:>10.1} ({:.1} to {:.1}), to tokio-rustls {:.3}",
            value.median, value.min, value.max, ratio.median
        );
        self.record.row(case, server, name, &values, &ratios);
    }

    /// Resident bytes of a connection after one message.
    fn memory(&mut self, identity: &servers::Identity) {
        let case = "idle connection after one message";
        if !self.wants(case) {
            return;
        }
        let (count, rounds) = match self.mode {
            Mode::Full => (4000, 3),
            Mode::Quick => (1000, 1),
            Mode::Test | Mode::List => (5, 1),
        };
        let count = count.min(sys::descriptors().saturating_sub(100));
        let mut samples: Vec<(&str, Vec<f64>)> = Vec::new();
        for _ in 0..rounds {
            for (index, server) in servers::start_all(identity).into_iter().enumerate() {
                let mut client = Client::new(server.address, &identity.cert, Version::Tls13, false);
                // What is only set up once is set up now.
                client.shake_hands(10);
                let before = server.resident();
                let open: Vec<_> = (0..count).map(|_| client.connect()).collect();
                let bytes = (server.resident() as f64 - before as f64) / count as f64;
                drop(open);
                match samples.get_mut(index) {
                    Some((_, values)) => values.push(bytes),
                    None => samples.push((server.name, vec![bytes])),
                }
            }
        }
        let reference = samples[0].1.clone();
        for (server, values) in samples {
            let figures = |values: &[f64]| -> Vec<Figures> {
                values.iter().map(|it| vec![("bytes", *it)]).collect()
            };
            self.tell(case, server, 0, &figures(&values), &figures(&reference));
        }
    }

    fn wants(&self, case: &str) -> bool {
        let id = format!("tls/{case}");
        self.filter
            .as_ref()
            .is_none_or(|filter| id.contains(filter))
    }

    /// Keeps what was measured, if it was all of it.
    fn finish(self) {
        if matches!(self.mode, Mode::Full | Mode::Quick) && self.filter.is_none() {
            self.record.write();
        }
    }
}
