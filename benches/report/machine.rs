//! On what, when and with which versions it was measured.

use std::fs;
use std::process::Command;

/// As lines of a list.
pub fn describe() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = std::env::var("RUSTC").unwrap_or("rustc".into());
    let versions: Vec<String> = ["tidewheel", "mio", "tokio", "criterion"]
        .iter()
        .filter_map(|name| Some(format!("{name} {}", locked(name)?)))
        .collect();
    format!(
        "- {model}, {cores} processors, Linux {}\n- {}\n- {}\n- written {}\n",
        kernel.trim(),
        said_by(&rustc, "-V"),
        versions.join(", "),
        said_by("date", "+%F"),
    )
}

/// The version of a package in use.
fn locked(name: &str) -> Option<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock");
    let lock = fs::read_to_string(path).ok()?;
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    Some(rest.split('"').next()?.into())
}

fn said_by(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output();
    let said = output.map_or(Vec::new(), |output| output.stdout);
    String::from_utf8_lossy(&said).trim().into()
}
