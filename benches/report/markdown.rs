//! The page.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::data::{Bench, Data, Row};
use super::targets::{self, Aim, Target};
use super::{machine, picture, tls};

const HEAD: &str = "# Results

Written by `cargo bench --bench report -- --write` from measured data, never by hand. To measure everything again and
write this page and its picture, in about forty minutes on a machine that does nothing else:

```sh
benches/results
```

With `ECHO_BENCH` naming a program that measures whole servers, as the script says, their tables are here too.
Of the data only this page, the picture and `instructions.json` are kept; the rest is in the target directory.

";

pub fn page(data: &Data) -> String {
    let mut page = String::from(HEAD);
    page += "## Machine\n\n";
    page += &machine::describe();
    page += "\n## Targets\n\n";
    page += &target_table(&targets::all(data), TARGETS);
    page.push('\n');
    page += &target_table(&tls::targets(data), TLS_TARGETS);
    for (unix, title) in [
        (false, "Whole servers, TCP"),
        (true, "Whole servers, UNIX sockets"),
    ] {
        page += &servers(data.servers(unix), title);
    }
    page += &per_message(data);
    page += &counts(data);
    for bench in &data.benches {
        page += &rows(bench);
    }
    page
}

const TARGETS: &str =
    "Ratios are to raw epoll in the same run, medians. Two figures are `pipe` and `on_data` with `write`.";

const TLS_TARGETS: &str = "Under TLS: ratios to tokio-rustls and, behind the stroke, to Node in the same run, medians. \
Handshakes that take a session up are compared with a tokio-rustls that gives tickets, as we and Node do; its default, \
sessions in its memory, is in the note.";

fn target_table(targets: &[Target], about: &str) -> String {
    let mut table = format!(
        "{about}\n\n| what | target | bound | measured | | from |\n|---|---|---|---|---|---|\n"
    );
    for target in targets {
        let (sign, aim, bound) = match target.aim {
            Aim::AtLeast(aim, bound) => (">=", aim, bound),
            Aim::AtMost(aim, bound) => ("<=", aim, bound),
        };
        let measured: Vec<String> = target.measured.iter().map(|&value| short(value)).collect();
        let mut verdict = String::from(target.aim.verdict(&target.measured));
        if !target.note.is_empty() {
            let _ = write!(verdict, "; {}", target.note);
        }
        let from = if target.measured.is_empty() {
            ""
        } else {
            target.from
        };
        let _ = writeln!(
            table,
            "| {} | {sign} {} | {} | {} | {verdict} | {from} |",
            target.what,
            short(aim),
            short(bound),
            measured.join(" / "),
        );
    }
    table
}

/// Ratio, spread and figures of each server in each scenario.
fn servers(file: &Value, title: &str) -> String {
    let Some(summary) = file["summary"].as_object() else {
        return String::new();
    };
    let names = picture::server_names(summary);
    let info = &file["info"];
    let mut text = format!(
        "\n## {title}\n\nEach server is a process on the first core and the load a process on the second. {} rounds of {} s, in \
         which all servers are visited in turn; each sample is divided by those of raw epoll next to it. Median of the ratios, \
         and their range. In `mixed` the ratio is of the wait of 99 % (lower is better), else of the rate (higher is better).\n",
        info["rounds"], info["secs"],
    );
    text += &scenario_table(summary, &names, |figures| {
        spread(figures, ["ratio", "ratio_min", "ratio_max"])
    });
    text += "\nThe figures behind them: messages or connections a second, MB/s for streams, us for `mixed`.\n";
    text += &scenario_table(summary, &names, |figures| {
        spread(figures, ["median", "min", "max"])
    });
    text += "\nProcessor time of the server for each message (lower is better), as a ratio to raw epoll.\n";
    text += &scenario_table(summary, &names, |figures| {
        figures["cpu_ratio"].as_f64().map(short)
    });
    if let Some(idle) = file["idle"].as_object().filter(|idle| !idle.is_empty()) {
        text += "\nResident bytes for each idle connection, fresh and after one message.\n\n| server | fresh | used |\n|---|---|---|\n";
        for (server, memory) in idle {
            if let Some((fresh, used)) = memory["rss_fresh"]
                .as_f64()
                .zip(memory["rss_used"].as_f64())
            {
                let _ = writeln!(text, "| {server} | {fresh:.0} | {used:.0} |");
            }
        }
    }
    text
}

fn scenario_table(
    summary: &Map<String, Value>,
    names: &[String],
    cell: impl Fn(&Value) -> Option<String>,
) -> String {
    let mut text = format!(
        "\n| scenario | {} |\n|---{}|\n",
        names.join(" | "),
        "|---".repeat(names.len())
    );
    for (scenario, figures) in summary {
        let cells: Vec<String> = names
            .iter()
            .map(|name| cell(&figures[name]).unwrap_or("-".into()))
            .collect();
        let _ = writeln!(text, "| {scenario} | {} |", cells.join(" | "));
    }
    text
}

/// System calls and instructions of whole servers.
fn per_message(data: &Data) -> String {
    let mut text = String::new();
    if let Some(servers) = data.syscalls["per_message"].as_object() {
        let samples = &data.syscalls["samples"];
        let _ = write!(text, "\n## System calls per message\n\n50 connections x 64 B over TCP, counted by the kernel; medians of {samples} samples.\n\n| server | all | by name |\n|---|---|---|\n");
        for (server, calls) in servers {
            let calls: Vec<(&String, f64)> = calls
                .as_object()
                .into_iter()
                .flatten()
                .filter_map(|(name, count)| Some((name, count.as_f64()?)))
                .collect();
            let all = calls
                .iter()
                .find(|(name, _)| *name == "all")
                .map_or(0.0, |(_, count)| *count);
            let names = calls
                .iter()
                .filter(|(name, count)| *name != "all" && *count >= 0.005);
            let names: Vec<String> = names
                .map(|(name, count)| format!("{name} {count:.2}"))
                .collect();
            let _ = writeln!(text, "| {server} | {all:.2} | {} |", names.join(", "));
        }
    }
    if let Some(servers) = data.instructions["per_message"].as_object() {
        text += "\n## Instructions per message, whole servers\n\nUser space only, 50 connections x 64 B over TCP, by callgrind.\n\n| server | instructions |\n|---|---|\n";
        for (server, count) in servers {
            let _ = writeln!(
                text,
                "| {server} | {:.0} |",
                count.as_f64().unwrap_or(f64::NAN)
            );
        }
    }
    text
}

/// The counts that are checked.
fn counts(data: &Data) -> String {
    let Some(counts) = data.counts["counts"].as_array() else {
        return String::new();
    };
    let mut text = format!(
        "\n## instructions\n\nUser space only, by callgrind, with {}. `cargo bench --bench instructions -- --check` fails when one \
         rises by more than a tenth; `-- --record` writes them anew.\n\n| case | count | |\n|---|---|---|\n",
        data.counts["rustc"].as_str().unwrap_or("an unknown compiler"),
    );
    for row in counts {
        let text_of = |key: &str| row[key].as_str().unwrap_or_default();
        let value = row["value"].as_f64().unwrap_or(f64::NAN);
        let _ = writeln!(
            text,
            "| {} | {value:.1} | {} |",
            text_of("case"),
            text_of("unit")
        );
    }
    text
}

/// A table for each metric of a bench: a line for each case, a column for each peer.
fn rows(bench: &Bench) -> String {
    let mut text = format!("\n## {}\n", bench.name);
    if bench.quick {
        text += "\nOf a quick run: rough.\n";
    }
    for metric in distinct(bench.rows.iter().map(|row| &row.metric)) {
        let rows: Vec<&Row> = bench
            .rows
            .iter()
            .filter(|row| row.metric == metric)
            .collect();
        let peers = distinct(rows.iter().map(|row| &row.peer));
        let _ = writeln!(
            text,
            "\n{metric}: median (range){}\n\n| case | {} |\n|---{}|",
            if rows.iter().any(|row| row.ratio.is_some()) {
                format!(", and its ratio to {}", bench.reference)
            } else {
                String::new()
            },
            peers.join(" | "),
            "|---".repeat(peers.len()),
        );
        for case in distinct(rows.iter().map(|row| &row.case)) {
            let cell = |peer: &String| {
                let row = rows
                    .iter()
                    .find(|row| row.case == case && row.peer == *peer);
                row.map_or("-".into(), |row| figure(row))
            };
            let cells: Vec<String> = peers.iter().map(cell).collect();
            let _ = writeln!(text, "| {case} | {} |", cells.join(" | "));
        }
    }
    text
}

fn figure(row: &Row) -> String {
    let value = row.value;
    let mut text = format!(
        "{} ({} to {})",
        short(value.median),
        short(value.min),
        short(value.max)
    );
    if let Some(ratio) = row.ratio {
        let _ = write!(text, ", {:.2}", ratio.median);
    }
    text
}

fn spread(figures: &Value, keys: [&str; 3]) -> Option<String> {
    let [median, min, max] = keys.map(|key| figures[key].as_f64());
    let mut text = short(median?);
    if let Some((min, max)) = min.zip(max) {
        let _ = write!(text, " ({} to {})", short(min), short(max));
    }
    Some(text)
}

/// Each once, in the order in which they first come.
fn distinct<'a>(all: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(one) {
            seen.push(one.clone());
        }
    }
    seen
}

/// As many digits as are worth reading.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if size >= 100_000.0 {
        format!("{:.0} k", value / 1000.0)
    } else if size >= 100.0 || value == value.trunc() && size >= 10.0 {
        format!("{value:.0}")
    } else if size >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
