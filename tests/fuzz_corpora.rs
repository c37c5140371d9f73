//! The fuzz targets over their committed corpora, and over inputs of a fixed sequence, on a stable toolchain: so the
//! targets never rot, and what fuzzing has found stays found.
//!
//! `fuzz/src/lib.rs` and this file are the two roots that the targets and the pure parts of the crate are compiled
//! under. There is no harness, since this is one process with one thread: the targets count its descriptors, and the
//! tests that the pure parts bring with them run where they belong. `cargo test --test fuzz_corpora NAME` runs one
//! target.
#![allow(clippy::duplicate_mod)] // The models are modules of the targets and of their own tests.

#[path = "../src"]
#[allow(dead_code, unused_imports)]
mod pure {
    pub(crate) mod address;
    pub(crate) mod arena;
    pub(crate) mod conn;
    pub(crate) mod encoding;
    pub(crate) mod error;
    pub(crate) mod timer;
    #[cfg(feature = "tls")]
    pub(crate) mod tls;

    /// What `conn` keeps to itself.
    #[path = "conn"]
    pub(crate) mod queue {
        pub(crate) mod write_queue;
    }

    /// `error` asks it for the names of error numbers; no system call comes with it.
    pub(crate) mod sys {
        pub(crate) mod errno;
    }
}

#[cfg(feature = "tls")]
#[path = "../fuzz/src/net.rs"]
mod net;
#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use std::fs;
use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

#[cfg(feature = "tls")]
use pure::tls;
use pure::{address, arena, conn, encoding, error, sys, timer};

/// Inputs that nobody chose, for each target.
const RANDOM: u64 = 150;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for &(name, run) in targets::ALL {
        let names: Vec<&String> = wanted
            .iter()
            .filter(|name| !name.starts_with('-'))
            .collect();
        if !names.is_empty() && !names.iter().any(|wanted| name.contains(wanted.as_str())) {
            continue;
        }
        let files = corpus(name);
        for file in &files {
            let bytes = fs::read(file).unwrap();
            checked(&file.display().to_string(), || run(&bytes));
        }
        for seed in 1..=RANDOM {
            let bytes = random_bytes(seed);
            checked(&format!("{name}, random input {seed}"), || run(&bytes));
        }
        println!(
            "test {name} ... ok, {} files and {RANDOM} random inputs",
            files.len()
        );
    }
}

/// The committed files of a target, in order.
fn corpus(name: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "{name} has no corpus");
    files.sort();
    files
}

/// Says what was run when it fails.
fn checked(what: &str, run: impl FnOnce() + std::panic::UnwindSafe) {
    if let Err(payload) = catch_unwind(run) {
        eprintln!("failed: {what}");
        resume_unwind(payload);
    }
}

/// Bytes from a small generator (xorshift), the same on every machine.
fn random_bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let length = 16 + 2 * usize::from(next());
    (0..length).map(|_| next()).collect()
}
