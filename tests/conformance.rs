//! CONFORMANCE.md is whole and true: one row for each behaviour, and each test that it names exists. So does each that
//! RELIABILITY.md and the invariants of ARCHITECTURE.md name, and each promise there has one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// All rows there are: the last number of each group, whose numbers start at 01.
const GROUPS: &str = "CN-24 LS-21 AC-15 RD-20 WR-33 CK-05 ED-19 EC-17 PR-13 TO-17 SO-07 AD-09 RF-07 UX-16 FD-09 \
                      SC-10 GC-04 ER-09 DN-10 HE-09 EN-06 OR-05 BL-08 IP-04 TL-O25 TL-E22 TL-P14 TL-S20";
const ROWS: usize = 378;

/// Groups whose every `follows` row must name a test.
const COMPLETE: &str = "CN LS AC RD WR CK ED EC PR TO SO AD RF UX FD SC GC ER DN HE EN IP";

const STATUSES: [&str; 4] = ["follows", "differs", "not applicable", "planned"];

/// `| ID | behaviour | status | note | tests |`
struct Row {
    line: usize,
    id: String,
    behaviour: String,
    status: String,
    note: String,
    tests: String,
}

#[test]
fn every_behaviour_has_one_row() {
    let mut missing = ids();
    assert_eq!(missing.len(), ROWS);
    let mut report = String::new();
    for row in rows(&read(&root().join("CONFORMANCE.md"))) {
        if !missing.remove(&row.id) {
            report += &format!("line {}: {} is unknown or has two rows\n", row.line, row.id);
        }
    }
    for id in missing {
        report += &format!("{id} has no row\n");
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn every_row_says_what_it_must() {
    let mut report = String::new();
    for row in rows(&read(&root().join("CONFORMANCE.md"))) {
        if let Some(fault) = fault(&row) {
            report += &format!("line {}: {}: {fault}\n", row.line, row.id);
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn every_test_that_is_named_exists() {
    let mut files = BTreeMap::new();
    let mut report = String::new();
    for row in rows(&read(&root().join("CONFORMANCE.md"))) {
        for name in names(&row.tests) {
            if !exists(&name, &mut files) {
                report += &format!("line {}: {}: no test `{name}`\n", row.line, row.id);
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

#[test]
fn every_promise_and_every_invariant_names_tests_that_exist() {
    let mut files = BTreeMap::new();
    let mut report = String::new();
    for page in ["RELIABILITY.md", "ARCHITECTURE.md"] {
        let text = read(&root().join(page));
        let promises = promises(&text);
        assert!(promises.len() > 20, "{page}: the table was not found");
        for (line, tests) in promises {
            let holds = |name: &String| exists(name, &mut files) || root().join(name).is_file();
            if let Some(fault) = unheld(tests, holds) {
                report += &format!("{page}:{line}: {fault}\n");
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn ids() -> BTreeSet<String> {
    let all_of = |group: &str| {
        let (name, last) = group.split_at(group.len() - 2);
        let name = name.to_owned();
        (1..=last.parse().unwrap()).map(move |number: u32| format!("{name}{number:02}"))
    };
    GROUPS.split_whitespace().flat_map(all_of).collect()
}

/// The lines that begin with the ID of a row.
fn rows(text: &str) -> Vec<Row> {
    let groups = GROUPS.split_whitespace().map(group).collect::<Vec<_>>();
    let mut rows = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let id = cells.get(1).copied().unwrap_or_default();
        let numbered = id.ends_with(|c: char| c.is_ascii_digit());
        if !line.starts_with('|') || !numbered || !groups.contains(&group(id)) {
            continue;
        }
        // A line with too few or too many cells shows as one with a wrong status.
        let cell = |at: usize| match cells.len() {
            7 => cells[at].to_owned(),
            _ => String::new(),
        };
        rows.push(Row {
            line: at + 1,
            id: id.to_owned(),
            behaviour: cell(2),
            status: cell(3),
            note: cell(4),
            tests: cell(5),
        });
    }
    rows
}

/// `TL-O` of `TL-O01`.
fn group(id: &str) -> &str {
    id.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn fault(row: &Row) -> Option<&'static str> {
    let status = row.status.as_str();
    let has_tests = !names(&row.tests).is_empty();
    let complete = COMPLETE
        .split_whitespace()
        .any(|name| name == group(&row.id).trim_end_matches('-'));
    if !STATUSES.contains(&status) {
        Some("not five cells with a status in the third")
    } else if is_blank(&row.behaviour) {
        Some("it does not say what the behaviour is")
    } else if status == "differs" && is_blank(&row.note) {
        Some("it does not say how it differs")
    } else if status == "not applicable" && is_blank(&row.note) {
        Some("it does not say why not")
    } else if status == "planned" && has_tests {
        Some("what is planned has no test; is it built?")
    } else if !has_tests && !is_blank(&row.tests) {
        Some("tests are written `file::function`, in backticks")
    } else if complete && status == "follows" && !has_tests {
        Some("it names no test")
    } else {
        None
    }
}

fn is_blank(cell: &str) -> bool {
    cell.is_empty() || cell == "—"
}

/// The rows of the tables whose second column is headed `tests`: the line, and what that column says.
fn promises(text: &str) -> Vec<(usize, &str)> {
    let cell = |line| str::split(line, '|').nth(2).map(str::trim);
    let mut found = Vec::new();
    let mut inside = false;
    for (at, line) in text.lines().enumerate() {
        let is_head = cell(line) == Some("tests");
        inside = line.starts_with('|') && (inside || is_head);
        if inside && !is_head && !line.starts_with("|---") {
            found.push((at + 1, cell(line).unwrap_or_default()));
        }
    }
    found
}

/// What is wrong with the tests of a promise. One that no test can show says so in words.
fn unheld(tests: &str, mut holds: impl FnMut(&String) -> bool) -> Option<String> {
    let missing = names(tests).into_iter().find(|name| !holds(name));
    match missing {
        Some(name) => Some(format!("no test `{name}`")),
        None if is_blank(tests) => Some("it names no test".into()),
        None => None,
    }
}

/// What stands in backticks.
fn names(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Whether `tests/write.rs::function` is there. `files` keeps what was read.
fn exists(name: &str, files: &mut BTreeMap<PathBuf, String>) -> bool {
    let Some((file, function)) = name.split_once("::") else {
        return false;
    };
    let path = root().join(file);
    if !path.is_file() {
        return false;
    }
    let text = files.entry(path.clone()).or_insert_with(|| read(&path));
    has_function(text, function)
}

fn has_function(text: &str, name: &str) -> bool {
    !name.is_empty() && text.contains(&format!("fn {name}("))
}

mod the_checks_find_what_they_look_for {
    use super::*;

    fn fault_of(line: &str) -> Option<&'static str> {
        fault(&rows(line)[0])
    }

    #[test]
    fn rows_are_told_from_other_lines() {
        let text = "| ID | behaviour |\n|---|---|\n| CN-01 | a | follows | — | — |\n| XX-01 | b |\n| a | b | SC-01 |";
        let rows = rows(text);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].line, rows[0].id.as_str()), (3, "CN-01"));
    }

    #[test]
    fn rows_that_lack_something() {
        assert_eq!(fault_of("| TL-O01 | a | follows | — | — |"), None);
        assert_eq!(fault_of("| TL-O01 | a | differs | so | `x::y` |"), None);
        for line in [
            "| CN-01 | a | fellows | — | — |",
            "| CN-01 | a | follows | — |",
            "| CN-01 | a | follows | — | — | — |",
            "| CN-01 | | follows | — | — |",
            "| CN-01 | a | differs | — | `x::y` |",
            "| CN-01 | a | not applicable | — | — |",
            "| CN-01 | a | planned | — | `x::y` |",
            "| CN-01 | a | follows | — | x::y |",
            "| IP-01 | a | follows | — | — |",
        ] {
            assert!(fault_of(line).is_some(), "{line}");
        }
    }

    #[test]
    fn promises_that_nothing_holds() {
        let text = "| promise | tests | figures |\n|---|---|---|\n| a | `x::y`, `z` | 1 |\n| b | |\n\n| c | `d` |";
        let promises = promises(text);
        assert_eq!(promises, [(3, "`x::y`, `z`"), (4, "")]);
        assert_eq!(unheld(promises[0].1, |_| true), None);
        assert!(unheld(promises[0].1, |name| name != "z").is_some());
        assert!(unheld(promises[1].1, |_| true).is_some());
    }

    #[test]
    fn tests_that_do_not_exist() {
        let mut files = BTreeMap::new();
        assert_eq!(names("`a::b`, `c::d`"), ["a::b", "c::d"]);
        assert!(exists(
            "tests/conformance.rs::tests_that_do_not_exist",
            &mut files
        ));
        assert!(!exists(
            "tests/conformance.rs::no_such_function",
            &mut files
        ));
        assert!(!exists("tests/conformance.rs::", &mut files));
        assert!(!exists("tests/no_such_file.rs::exists", &mut files));
        assert!(!exists("tests_that_do_not_exist", &mut files));
    }
}
