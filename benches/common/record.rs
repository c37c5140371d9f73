//! What a bench measured, kept as JSON in `target/bench-results/<bench>.json`, from which the tables of RESULTS.md are
//! made.
//!
//! A row is one peer in one case: the median and the spread of its samples and, where there is a peer to compare with,
//! raw epoll as a rule, of the ratios to it, each taken within one round.
#![allow(dead_code)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The rows of one bench.
pub struct Record {
    bench: &'static str,
    quick: bool,
    /// The peer that ratios are to.
    reference: &'static str,
    rows: Vec<String>,
}

/// The median of samples, and the ends of their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Record {
    pub fn new(bench: &'static str, quick: bool) -> Record {
        Record::beside(bench, quick, "raw epoll")
    }

    /// Of a bench whose ratios are to another peer than raw epoll.
    pub fn beside(bench: &'static str, quick: bool, reference: &'static str) -> Record {
        Record {
            bench,
            quick,
            reference,
            rows: Vec::new(),
        }
    }

    /// One row. Without `ratios` nothing is said of the reference.
    pub fn row(&mut self, case: &str, peer: &str, metric: &str, samples: &[f64], ratios: &[f64]) {
        let Spread { median, min, max } = Spread::of(samples);
        let mut row = format!(
            "{{\"case\": {}, \"peer\": {}, \"metric\": {}, \"median\": {median}, \"min\": {min}, \"max\": {max}",
            quoted(case),
            quoted(peer),
            quoted(metric)
        );
        if !ratios.is_empty() {
            let Spread { median, min, max } = Spread::of(ratios);
            let _ = write!(
                row,
                ", \"ratio\": {median}, \"ratio_min\": {min}, \"ratio_max\": {max}"
            );
        }
        self.rows.push(row + "}");
    }

    /// Writes the file, which replaces that of an earlier run.
    pub fn write(&self) {
        let directory = directory();
        fs::create_dir_all(&directory).expect("no directory for the results");
        let path = directory.join(self.bench).with_extension("json");
        fs::write(&path, self.to_json()).expect("the results cannot be written");
        println!("{}: {} rows", path.display(), self.rows.len());
    }

    pub fn to_json(&self) -> String {
        let Record {
            bench,
            quick,
            reference,
            rows,
        } = self;
        let rows = rows.join(",\n  ");
        format!("{{\"bench\": \"{bench}\", \"quick\": {quick}, \"reference\": \"{reference}\", \"rows\": [\n  {rows}\n]}}\n")
    }
}

impl Spread {
    pub fn of(samples: &[f64]) -> Spread {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (middle, last) = (sorted.len() / 2, sorted.len() - 1);
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            (sorted[middle - 1] + sorted[middle]) / 2.0
        };
        Spread {
            median,
            min: sorted[0],
            max: sorted[last],
        }
    }
}

/// `bench-results` in the target directory, wherever that is: cargo tells benches of a directory inside it.
pub fn directory() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    target.expect("a directory above").join("bench-results")
}

/// A JSON string. What names a case or a peer has no control characters.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
