//! The counts on record and the compiler they were made with.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

/// By how much a count may rise.
const ALLOWED: f64 = 1.10;
/// By how much the cost of a message may differ between few and many connections.
const FLAT: f64 = 0.02;

/// The same number of active connections, alone and among nine times as many.
pub const FLAT_FEW: &str = "echo, pipe, 1 k, all active";
pub const FLAT_MANY: &str = "echo, pipe, 9 k, 1 k active";

#[derive(Default)]
pub struct Counts(Vec<Count>);

struct Count {
    case: String,
    unit: String,
    value: f64,
}

impl Counts {
    pub fn add(&mut self, case: &str, unit: &str, value: f64) {
        self.0.push(Count {
            case: case.into(),
            unit: unit.into(),
            value,
        });
    }

    fn get(&self, case: &str) -> Option<f64> {
        let count = self.0.iter().find(|count| count.case == case)?;
        Some(count.value)
    }
}

pub struct Ledger {
    rustc: String,
    counts: Counts,
}

impl Ledger {
    /// Counts made just now.
    pub fn of(counts: Counts) -> Ledger {
        let rustc = std::env::var("RUSTC").unwrap_or("rustc".into());
        let version = Command::new(rustc).arg("-V").output();
        let version = version.map_or(Vec::new(), |output| output.stdout);
        let rustc = format!(
            "{}, {}",
            String::from_utf8_lossy(&version).trim(),
            std::env::consts::ARCH
        );
        Ledger { rustc, counts }
    }

    pub fn read() -> Option<Ledger> {
        let ledger: Value = serde_json::from_slice(&fs::read(path()).ok()?).ok()?;
        let mut counts = Counts::default();
        for row in ledger["counts"].as_array()? {
            counts.add(
                row["case"].as_str()?,
                row["unit"].as_str()?,
                row["value"].as_f64()?,
            );
        }
        Some(Ledger {
            rustc: ledger["rustc"].as_str()?.into(),
            counts,
        })
    }

    pub fn write(&self) {
        let mut rows = Vec::new();
        for Count { case, unit, value } in &self.counts.0 {
            rows.push(format!(
                r#"    {{"case": "{case}", "unit": "{unit}", "value": {value:.1}}}"#
            ));
        }
        let (rustc, rows) = (&self.rustc, rows.join(",\n"));
        let text = format!("{{\n  \"rustc\": \"{rustc}\",\n  \"counts\": [\n{rows}\n  ]\n}}\n");
        fs::write(path(), text).expect("the record can be written");
        println!("recorded in {}", path().display());
    }

    /// Prints the counts beside those on record. True: one has risen too far, or is not flat.
    pub fn compare(&self, recorded: Option<&Ledger>) -> bool {
        let same = recorded.is_some_and(|recorded| recorded.rustc == self.rustc);
        let mut risen = false;
        for Count { case, unit, value } in &self.counts.0 {
            let mut line = format!("{case:32}{value:>9.1}  {unit:16}");
            if let Some(before) = recorded.and_then(|recorded| recorded.counts.get(case)) {
                let change = (value / before - 1.0) * 100.0;
                let _ = write!(line, "recorded {before:.1} ({change:+.1} %)");
                if same && *value > before * ALLOWED {
                    line += "  RISEN";
                    risen = true;
                }
            }
            println!("{line}");
        }
        match recorded {
            Some(recorded) if !same => println!(
                "only reported: recorded with {}, now {}",
                recorded.rustc, self.rustc
            ),
            Some(_) => println!("{}", self.rustc),
            None => println!("nothing is on record; `--record` writes it"),
        }
        risen | !self.is_flat()
    }

    fn is_flat(&self) -> bool {
        let few = self.counts.get(FLAT_FEW);
        let many = self.counts.get(FLAT_MANY);
        let (Some(few), Some(many)) = (few, many) else {
            return true;
        };
        let difference = many / few - 1.0;
        let flat = difference.abs() <= FLAT;
        println!(
            "a message costs {:+.2} % among many idle connections{}",
            difference * 100.0,
            if flat { "" } else { "  NOT FLAT" }
        );
        flat
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.json")
}
