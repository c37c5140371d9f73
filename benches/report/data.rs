//! What was measured, read from its files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

/// Names of our own servers, in the rows of the benches and of the bench of whole servers.
pub const OURS: [&str; 2] = ["tidewheel (pipe)", "tidewheel (on_data)"];
pub const OUR_SERVERS: [&str; 2] = ["tidewheel", "tidewheel_listener"];

#[derive(Default)]
pub struct Data {
    /// Each bench and its rows, by name.
    pub benches: Vec<Bench>,
    /// Timings of whole servers over TCP, and over UNIX sockets.
    pub tcp: Value,
    pub unix: Value,
    /// System calls, and user-space instructions, of whole servers for each message.
    pub syscalls: Value,
    pub instructions: Value,
    /// Our own counts, on record.
    pub counts: Value,
}

pub struct Bench {
    pub name: String,
    pub quick: bool,
    /// The peer that ratios are to.
    pub reference: String,
    pub rows: Vec<Row>,
}

#[derive(Clone)]
pub struct Row {
    pub case: String,
    pub peer: String,
    pub metric: String,
    pub value: Spread,
    /// To the reference of its bench.
    pub ratio: Option<Spread>,
}

#[derive(Clone, Copy)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Data {
    pub fn read(directory: &Path) -> Data {
        let mut data = Data {
            counts: json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.json")),
            ..Data::default()
        };
        let mut syscalls = Vec::new();
        let files = fs::read_dir(directory).into_iter().flatten().flatten();
        for file in files.map(|entry| json(&entry.path())) {
            if file["bench"].is_string() {
                data.benches.extend(Bench::of(&file));
            } else {
                data.take_servers(file, &mut syscalls);
            }
        }
        data.syscalls = medians(&syscalls);
        data.benches.sort_by(|a, b| a.name.cmp(&b.name));
        data
    }

    fn take_servers(&mut self, file: Value, syscalls: &mut Vec<Value>) {
        let is_unix = file["info"]["unix"] == true;
        if file["summary"].is_object() {
            *(if is_unix {
                &mut self.unix
            } else {
                &mut self.tcp
            }) = file;
        } else if let Some(servers) = file["per_message"].as_object() {
            // System calls are told by name, instructions in one number.
            if servers.values().any(Value::is_object) {
                syscalls.push(file);
            } else {
                self.instructions = file;
            }
        }
    }

    pub fn row(&self, bench: &str, case: &str, peer: &str, metric: &str) -> Option<&Row> {
        let bench = self.benches.iter().find(|it| it.name == bench)?;
        let is_it = |row: &&Row| row.case == case && row.peer == peer && row.metric == metric;
        bench.rows.iter().find(is_it)
    }

    /// A count on record.
    pub fn count(&self, case: &str) -> Option<f64> {
        let counts = self.counts["counts"].as_array()?;
        counts.iter().find(|row| row["case"] == case)?["value"].as_f64()
    }

    pub fn servers(&self, unix: bool) -> &Value {
        if unix {
            &self.unix
        } else {
            &self.tcp
        }
    }
}

impl Bench {
    fn of(file: &Value) -> Option<Bench> {
        Some(Bench {
            name: file["bench"].as_str()?.into(),
            quick: file["quick"] == true,
            reference: file["reference"].as_str()?.into(),
            rows: file["rows"]
                .as_array()?
                .iter()
                .filter_map(Row::of)
                .collect(),
        })
    }
}

impl Row {
    fn of(row: &Value) -> Option<Row> {
        let text = |key: &str| row[key].as_str().map(String::from);
        Some(Row {
            case: text("case")?,
            peer: text("peer")?,
            metric: text("metric")?,
            value: Spread::of(row, ["median", "min", "max"])?,
            ratio: Spread::of(row, ["ratio", "ratio_min", "ratio_max"]),
        })
    }
}

impl Spread {
    pub fn of(object: &Value, keys: [&str; 3]) -> Option<Spread> {
        let [median, min, max] = keys.map(|key| object[key].as_f64());
        Some(Spread {
            median: median?,
            min: min?,
            max: max?,
        })
    }
}

/// Of several counts of the system calls one, each figure the median of those of it; a call that a count does not name was
/// not made.
fn medians(files: &[Value]) -> Value {
    if files.is_empty() {
        return Value::Null;
    }
    let mut servers: BTreeMap<&str, BTreeMap<&str, Vec<f64>>> = BTreeMap::new();
    for (server, calls) in files.iter().flat_map(|file| pairs(&file["per_message"])) {
        for (name, count) in pairs(calls) {
            let counts = servers.entry(server).or_default().entry(name).or_default();
            counts.extend(count.as_f64());
        }
    }
    let median = |(name, mut counts): (&str, Vec<f64>)| {
        counts.resize(files.len(), 0.0);
        counts.sort_by(f64::total_cmp);
        (name.to_owned(), Value::from(counts[counts.len() / 2]))
    };
    let server = |(server, calls): (&str, BTreeMap<&str, Vec<f64>>)| {
        let calls: Map<String, Value> = calls.into_iter().map(median).collect();
        (server.to_owned(), Value::from(calls))
    };
    let per_message: Map<String, Value> = servers.into_iter().map(server).collect();
    let merged = [
        ("per_message", Value::from(per_message)),
        ("samples", Value::from(files.len())),
    ];
    merged
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
}

fn pairs(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let pairs = object.as_object().into_iter().flatten();
    pairs.map(|(name, value)| (name.as_str(), value))
}

/// Null where there is no such file.
fn json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}
