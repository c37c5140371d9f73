//! How many instructions of our own one message, one connection and one timer cost: counted by callgrind, so that a
//! busy machine makes no difference. The kernel's part is not in it.
//!
//! ```text
//! cargo bench --bench instructions                 print the counts beside the recorded ones
//! cargo bench --bench instructions -- --check      and fail if one rose by more than a tenth
//! cargo bench --bench instructions -- --record     and write them to benches/instructions.json
//! ```
//!
//! A compiler other than the recorded one counts differently: then `--check` reports and does not fail. `--quick` leaves
//! out what takes seconds. The program starts itself once more under valgrind as the server and is its client; the server
//! takes its turns when the client says so, and only these are counted, each with a full batch of messages: the counts
//! are the same to a fraction of a percent, run after run.

mod client;
mod counted;
mod ledger;
mod processor;
mod server;

#[path = "../common/mode.rs"]
mod mode;
#[path = "../common/record.rs"]
mod record;

// Parts of the crate that the outside does not see. Their tests come along, of which without a harness only the imports
// are left.
#[path = "../../src/arena.rs"]
#[allow(dead_code, unused_imports)]
mod arena;
#[path = "../../src/conn"]
#[allow(dead_code, unused_imports)]
mod conn {
    mod event;
    pub mod idle;
}
#[path = "../../src/timer/mod.rs"]
#[allow(dead_code, unused_imports)]
mod timer;

use std::io;
use std::process::{Command, ExitCode, Stdio};

use client::{Child, Clients};
use ledger::{Counts, Ledger, FLAT_FEW, FLAT_MANY};
use mode::Mode;

/// Connections of an ordinary case.
const FEW: usize = 50;
/// Connections of the flat-cost pair: many of which few are active, and the same number active alone.
const MANY: usize = 9000;
const ACTIVE: usize = 1000;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [first, role, rest @ ..] = &words[..] {
        if first == "serve" {
            return server::serve(role, rest);
        }
    }
    if !valgrind_is_there() {
        println!("instructions: skipped, valgrind is missing");
        return ExitCode::SUCCESS;
    }
    let has = |flag: &str| words.iter().any(|word| word == flag);
    let (mode, _) = mode::from_arguments();
    // What is on record is all of it.
    let mode = if has("--record") { Mode::Full } else { mode };
    let counts = match count(mode) {
        Ok(counts) => counts,
        Err(error) => {
            eprintln!("instructions: {error}");
            return ExitCode::FAILURE;
        }
    };
    if matches!(mode, Mode::Test | Mode::List) {
        return ExitCode::SUCCESS;
    }
    let present = Ledger::of(counts);
    let risen = present.compare(Ledger::read().as_ref());
    if has("--record") {
        present.write();
    }
    if has("--check") {
        return if risen {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    if mode == Mode::Full {
        processor::record();
    }
    ExitCode::SUCCESS
}

fn valgrind_is_there() -> bool {
    let version = Command::new("valgrind")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

fn count(mode: Mode) -> io::Result<Counts> {
    let mut counts = Counts::default();
    if mode == Mode::List {
        return Ok(counts);
    }
    let messages = "per message";
    let few = |how| ping_pong(how, FEW, FEW);
    counts.add("echo, pipe, 50 x 64 B", messages, few("pipe")?);
    if mode == Mode::Test {
        return Ok(counts);
    }
    counts.add("echo, listener, 50 x 64 B", messages, few("listener")?);
    counts.add("echo, handler, 50 x 64 B", messages, few("handler")?);
    counts.add("echo, pipe, idle timeout set", messages, few("timeout")?);
    for (how, case) in [
        ("listener", "connect, echo, close"),
        ("pipe", "connect, echo, close, pipe"),
        ("bare", "connect, echo, close, raw mio"),
    ] {
        counts.add(case, "per connection", churn(how)?);
    }
    counts.add(
        "idle timer re-armed",
        "per activity",
        alone("touch", 10_000)?,
    );
    for (size, name) in [(1_000, "1 k"), (1_000_000, "1 M")] {
        let (set_again, set) = (alone("rearm", size)?, alone("insert", size)?);
        counts.add(
            &format!("timer set again, of {name}"),
            "per timer",
            set_again,
        );
        counts.add(
            &format!("timer set and cleared, of {name}"),
            "per timer",
            set,
        );
        if mode == Mode::Quick {
            return Ok(counts);
        }
    }
    let (many, active) = affordable();
    counts.add(FLAT_FEW, messages, ping_pong("pipe", active, active)?);
    counts.add(FLAT_MANY, messages, ping_pong("pipe", many, active)?);
    Ok(counts)
}

/// As many connections as there are descriptors for, with both ends of one under the same limit.
fn affordable() -> (usize, usize) {
    let limit = client::raise_descriptor_limit();
    let many = MANY.min(limit.saturating_sub(100));
    if many < MANY {
        println!(
            "instructions: only {many} connections instead of {MANY}, for want of descriptors"
        );
    }
    (many, ACTIVE.min(many / 9))
}

/// Instructions per message, with `active` of `connections` sending 64 bytes each and waiting for them.
fn ping_pong(how: &str, connections: usize, active: usize) -> io::Result<f64> {
    const MESSAGES: usize = 20_000;
    let mut child = Child::counted(&[how])?;
    let mut clients = Clients::default();
    clients.connect(&mut child, connections)?;
    let chosen = spread_out(active, connections);
    let rounds = MESSAGES / active;
    for _ in 0..rounds {
        clients.exchange(&mut child, &chosen)?;
    }
    Ok(child.finish()? as f64 / (rounds * active) as f64)
}

/// Which ones are active: apart from one another.
fn spread_out(active: usize, connections: usize) -> Vec<usize> {
    (0..active).map(|n| n * connections / active).collect()
}

/// Instructions per connection that is accepted, echoes 64 bytes and is closed by its peer.
fn churn(how: &str) -> io::Result<f64> {
    const CONNECTIONS: usize = 50;
    const ROUNDS: usize = 20;
    let mut child = Child::counted(&[how])?;
    // The first round is not like the others: arenas and buffers grow.
    for _ in 0..2 {
        let mut clients = Clients::default();
        clients.connect(&mut child, CONNECTIONS)?;
        drop(clients);
        child.turns(4)?;
    }
    for _ in 0..ROUNDS {
        let mut clients = Clients::default();
        clients.open(&child, CONNECTIONS)?;
        child.counted_turns(1)?;
        let all: Vec<usize> = (0..CONNECTIONS).collect();
        clients.exchange(&mut child, &all)?;
        drop(clients);
        child.counted_turns(2)?;
    }
    Ok(child.finish()? as f64 / (ROUNDS * CONNECTIONS) as f64)
}

/// Instructions per operation of a part that needs no client.
fn alone(what: &str, size: usize) -> io::Result<f64> {
    let count = Child::counted(&[what, &size.to_string()])?.finish()?;
    Ok(count as f64 / counted::OPERATIONS as f64)
}
