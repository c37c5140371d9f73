//! How many bytes does an idle connection keep, and does it keep more once it has been used?
//!
//! The resident memory of a server, in a process of its own, before and with so many connections, and when each has
//! carried messages. Memory of the kernel is not in it. Without Criterion, which measures time.

mod common;

use std::io::{self, BufRead, BufReader, Read};
use std::process::{self, Child, Command, Stdio};
use std::{env, thread};

use common::bench::Bench;
use common::client::{Group, Kind, Limit, Load};
use common::mode::Mode;
use common::peers::{self, Form, Job, Peer};
use common::record::Spread;
use common::sys::{self, Place, Transport};

/// How this program is told that it is to be a server.
const SERVE: &str = "--serve";

const LADEN: &str = "tidewheel, 2 closures and a timer";

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [first, subject, transport] = &arguments[..] {
        if first == SERVE {
            serve(subject, transport);
        }
    }
    let mut bench = Bench::new("idle_memory");
    let (counts, repeats): (&[usize], usize) = match bench.mode {
        Mode::Full => (&[1000, 9000], 3),
        Mode::Quick => (&[1000, 9000], 1),
        Mode::Test => (&[20], 1),
        Mode::List => (&[], 0),
    };
    // Both processes have one end of each connection.
    let room = sys::descriptors().saturating_sub(100);
    for transport in [Transport::Tcp, Transport::Unix] {
        for &wanted in counts {
            assert!(room > 0, "too few descriptors");
            let count = wanted.min(room);
            if count < wanted {
                println!(
                    "NOTE: descriptors suffice for {count} connections only, not for {wanted}."
                );
            }
            measure(&mut bench, transport, count, repeats);
        }
    }
    bench.finish();
}

/// The servers by name: all peers, and ours with what programs hang on a connection.
fn subjects() -> Vec<(&'static str, Peer, Job)> {
    let mut all: Vec<_> = peers::ALL.map(|peer| (peer.name(), peer, Job::Echo)).into();
    all.push((LADEN, Peer::Tidewheel(Form::OnData), Job::Laden));
    all
}

fn measure(bench: &mut Bench, transport: Transport, count: usize, repeats: usize) {
    let case = format!("{} {count}", name(transport));
    let mut reference = Spread::of(&[1.0]);
    for (subject, peer, _) in subjects() {
        let (mut fresh, mut growth) = (Vec::new(), Vec::new());
        for _ in 0..repeats {
            let (before, after) = bytes_per_connection(subject, transport, count);
            fresh.push(before);
            growth.push(after - before);
        }
        let spread = Spread::of(&fresh);
        if peer == Peer::Epoll {
            reference = spread;
        }
        println!(
            "idle_memory/{case}: {subject:<34} {:>8.1} bytes, after traffic {:+.1}",
            spread.median,
            Spread::of(&growth).median
        );
        let ratios: Vec<f64> = fresh.iter().map(|it| it / reference.median).collect();
        let record = bench.record();
        record.row(&case, subject, "bytes per connection", &fresh, &ratios);
        record.row(&case, subject, "growth after traffic", &growth, &[]);
    }
}

/// Of a fresh connection, and of one that was used.
fn bytes_per_connection(subject: &str, transport: Transport, count: usize) -> (f64, f64) {
    let server = Server::start(subject, transport);
    let group = |connections| Group {
        connections,
        kind: Kind::Message(64),
    };
    // What is only set up once is set up now.
    Load::new(&server.place, &[group(10)]).run(Limit::Each(10));
    let ping = || {
        Load::new(&server.place, &[group(1)]).run(Limit::Each(1));
    };
    ping();
    let empty = server.resident();
    let mut load = Load::new(&server.place, &[group(count)]);
    // Who comes later is served later, so all others are accepted when this returns.
    ping();
    let fresh = server.resident();
    // One by one, because a full batch of events touches memory of the loop that no connection has.
    load.run_one_by_one();
    load.run_one_by_one();
    let used = server.resident();
    let each = |bytes: u64| (bytes as f64 - empty as f64) / count as f64;
    (each(fresh), each(used))
}

/// A server in a process of its own, which ends with this.
struct Server {
    child: Child,
    place: Place,
}

impl Server {
    fn start(subject: &str, transport: Transport) -> Server {
        let program = env::current_exe().expect("a path of this program");
        let child = Command::new(program)
            .args([SERVE, subject, name(transport)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.expect("no child process");
        let output = child.stdout.take().expect("it has an output");
        let mut line = String::new();
        let told = BufReader::new(output).read_line(&mut line);
        told.expect("the server says nothing");
        let line = line.trim();
        let place = match transport {
            Transport::Tcp => Place::Tcp(line.parse().expect("an address")),
            Transport::Unix => Place::Unix(line.to_owned()),
        };
        Server { child, place }
    }

    fn resident(&self) -> u64 {
        sys::resident(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the parent is gone.
fn serve(subject: &str, transport: &str) -> ! {
    sys::descriptors();
    thread::spawn(|| {
        let _ = io::stdin().read(&mut [0]);
        process::exit(0);
    });
    let (_, peer, job) = subjects()
        .into_iter()
        .find(|(name, ..)| *name == subject)
        .expect("a server of that name");
    let transport = [Transport::Tcp, Transport::Unix]
        .into_iter()
        .find(|it| name(*it) == transport)
        .expect("a transport of that name");
    peer.serve(job, transport, |place| match place {
        Place::Tcp(address) => println!("{address}"),
        Place::Unix(name) => println!("{name}"),
    });
    process::exit(0)
}

fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Unix => "unix",
    }
}
