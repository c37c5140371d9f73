//! Much of everything at once, for as long as you like: `soak [SECONDS] [CONNECTIONS]`.
//!
//! A loop of servers and a loop of clients, each in a thread of its own, talk over TCP and UNIX sockets: echoes, uploads
//! that end one side first, downloads by slow readers, sockets piped into themselves and through others, silence until
//! the server's timeout, resets and departures in the middle, dials at which nobody answers. Every byte is compared with
//! the one that was to come. Exit status 0: all of them came, no fault was met but those that were meant, and neither
//! memory nor descriptors nor the number of closures grew, and no loop left undone what it could do.

mod client;
mod owed;
mod pattern;
mod request;
mod server;
mod system;
mod tally;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tidewheel::{EventLoop, Result};

use tally::{Count, Tally};

const USAGE: &str = "soak [SECONDS] [CONNECTIONS]";
/// A connection on which nothing moves for so long hangs, if it has something to move. In the kernel, too: see `owed`.
const STUCK: Duration = Duration::from_secs(60);
/// What is left for the last connections after the end.
const DRAIN: Duration = Duration::from_secs(120);
const PROGRESS: u64 = 5;
/// Descriptors of a connection, with a share of those that go through a pipe; and of everything else.
const PER_CONNECTION: u64 = 3;
const OTHERS: u64 = 100;
/// How much memory may be resident more at the end than after the warm-up: what an allocator keeps to itself.
const SLACK_KIB: u64 = 8 * 1024;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Option<Vec<u64>> = words.iter().map(|word| word.parse().ok()).collect();
    let (seconds, asked) = match numbers.as_deref() {
        Some([]) => (60, 1_000),
        Some([seconds]) => (*seconds, 1_000),
        Some([seconds, connections]) => (*seconds, *connections),
        _ => {
            eprintln!("usage: {USAGE}");
            return ExitCode::from(2);
        }
    };
    let limit = system::raise_descriptors();
    let connections = asked.min(limit.saturating_sub(OTHERS) / PER_CONNECTION);
    if connections < asked {
        println!("only {connections} of {asked} connections: {limit} descriptors can be had");
    }
    let directory = std::env::temp_dir().join(format!("tidewheel-soak-{}", std::process::id()));
    let done = std::fs::create_dir_all(&directory)
        .map_err(Into::into)
        .and_then(|()| soak(seconds, connections, &directory));
    let _ = std::fs::remove_dir_all(&directory);
    match done {
        Ok(faults) if faults.is_empty() => {
            println!("PASSED");
            ExitCode::SUCCESS
        }
        Ok(faults) => {
            println!("FAILED: {}", faults.join("; "));
            ExitCode::FAILURE
        }
        Err(error) => {
            println!("FAILED: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was found wrong.
fn soak(seconds: u64, connections: u64, directory: &Path) -> Result<Vec<String>> {
    let before = system::descriptors();
    let tally = Arc::new(Tally::default());
    let (tell, told) = mpsc::channel();
    let servers = in_thread(&tally, "server", {
        let (tally, directory) = (Arc::clone(&tally), PathBuf::from(directory));
        move || server::run(&directory, &tally, &tell)
    });
    let Ok(places) = told.recv() else {
        return Ok(vec!["the servers did not begin".into()]);
    };
    let nobody = client::nobody(directory)?;
    let clients = in_thread(&tally, "client", {
        let tally = Arc::clone(&tally);
        move || client::run(places, nobody, connections, &tally)
    });
    let samples = watch(seconds, &tally);
    tally.stopping.store(true, Ordering::Release);
    let mut faults = Vec::new();
    for (name, thread) in [("clients", clients), ("servers", servers)] {
        if thread.recv_timeout(DRAIN) == Err(RecvTimeoutError::Timeout) {
            faults.push(format!(
                "the {name} do not end: {} are left",
                tally.live.get()
            ));
            return Ok(faults);
        }
        tally.closing.store(true, Ordering::Release);
    }
    println!("{}", line(seconds, &tally));
    check(&tally, &mut faults);
    check_flat(&samples, &mut faults);
    let left = system::descriptors();
    if left != before {
        faults.push(format!(
            "{left} descriptors are open, and {before} were before"
        ));
    }
    Ok(faults)
}

/// Runs it in a thread; what is received says that it has ended, whichever way.
fn in_thread(
    tally: &Arc<Tally>,
    name: &'static str,
    body: impl FnOnce() -> Result<()> + Send + 'static,
) -> Receiver<()> {
    let (end, ended) = mpsc::channel();
    let tally = Arc::clone(tally);
    thread::spawn(move || {
        match thread::spawn(body).join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tally.unexpected(&format!("{name}: {error}")),
            Err(_) => tally.unexpected(&format!("{name}: a panic")),
        }
        let _ = end.send(());
    });
    ended
}

/// What the process holds at one time.
struct Sample {
    live: u64,
    resident: u64,
    descriptors: u64,
    closures: u64,
}

/// Tells how it goes, until it is over.
fn watch(seconds: u64, tally: &Tally) -> Vec<Sample> {
    let start = Instant::now();
    let mut samples = Vec::new();
    for second in 1..=seconds {
        thread::sleep(
            (start + Duration::from_secs(second)).saturating_duration_since(Instant::now()),
        );
        samples.push(Sample {
            live: tally.live.get(),
            resident: system::resident(),
            descriptors: system::descriptors(),
            closures: tally.closures(),
        });
        if second % PROGRESS == 0 {
            println!("{}", line(second, tally));
        }
    }
    samples
}

fn line(second: u64, tally: &Tally) -> String {
    let mib = |count: &tally::Count| count.get() >> 20;
    format!(
        "{second:>5} s  {} open, {} begun, {} complete, {} faults met, {} busy, {} UNEXPECTED  {} MiB sent, {} MiB \
         received  {:.1} MiB resident, {} descriptors, {} closures",
        tally.live.get(),
        tally.begun.get(),
        tally.complete.get(),
        tally.faults.get(),
        tally.busy.get(),
        tally.unexpected.get(),
        mib(&tally.sent),
        mib(&tally.received),
        system::resident() as f64 / 1024.0,
        system::descriptors(),
        tally.closures(),
    )
}

/// What clients and servers counted fits together.
fn check(tally: &Tally, faults: &mut Vec<String>) {
    let mut equal = |what: &str, a: u64, b: u64| {
        println!("{what}: {a} and {b}");
        if a != b {
            faults.push(format!("{what}: {a} and {b}"));
        }
    };
    equal(
        "bytes to the servers",
        tally.sent.get(),
        tally.served_in.get(),
    );
    equal(
        "bytes to the clients",
        tally.received.get(),
        tally.served_out.get(),
    );
    let over = tally.complete.get() + tally.faults.get() + tally.busy.get();
    equal("connections begun and over", tally.begun.get(), over);
    equal(
        "states of clients and servers left",
        tally.live.get(),
        tally.served_live.get(),
    );
    if tally.live.get() + tally.closures() > 0 {
        faults.push("closures are left".into());
    }
    let (looks, due) = (tally.looks.get(), tally.due.get());
    println!("looks at sockets: {looks}, and at {due} of them the next turn had something to do");
    if tally.unexpected.get() > 0 {
        faults.push(format!("{} things unexpected", tally.unexpected.get()));
    }
    if tally.complete.get() == 0 || tally.faults.get() == 0 {
        faults.push("nothing happened".into());
    }
}

/// The first fifth is for warming up; what is left is compared, its first third with its last.
fn check_flat(samples: &[Sample], faults: &mut Vec<String>) {
    let steady = &samples[samples.len() / 5..];
    let third = steady.len() / 3;
    if third == 0 {
        return;
    }
    let (first, last) = (&steady[..third], &steady[steady.len() - third..]);
    let mean = |samples: &[Sample], of: fn(&Sample) -> u64| {
        samples.iter().map(of).sum::<u64>() / samples.len() as u64
    };
    // A busy machine may need long to get all of them going; what they need themselves is no growth.
    let live = [first, last].map(|samples| mean(samples, |sample| sample.live).max(1));
    let fair = |at_first: u64| at_first.max(at_first * live[1] / live[0]);
    let mut flat = |what: &str, of: fn(&Sample) -> u64, slack: u64| {
        let [at_first, at_last] = [first, last].map(|samples| mean(samples, of));
        println!("{what} at first and at last: {at_first} and {at_last}");
        if at_last > fair(at_first) + at_first / 10 + slack {
            faults.push(format!("{what} grew from {at_first} to {at_last}"));
        }
    };
    flat("resident KiB", |sample| sample.resident, SLACK_KIB);
    flat("descriptors", |sample| sample.descriptors, OTHERS);
    flat("closures", |sample| sample.closures, OTHERS);
}

/// A loop that has ended holds nothing. Asked while it is there: with it goes all that it has kept.
fn check_empty(event_loop: &EventLoop, tally: &Tally, name: &str, closures: &Count) {
    // One turn frees what the last calls let go of.
    let last = event_loop.turn(Some(Duration::ZERO));
    let (stats, closures) = (event_loop.stats(), closures.get());
    if last.is_err() || stats.sockets_open > 0 || stats.timers > 0 || closures > 0 {
        tally.unexpected(&format!(
            "{name}: at the end {last:?}, {closures} closures, {stats:?}"
        ));
    }
}
