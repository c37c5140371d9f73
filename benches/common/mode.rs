//! How thorough a run is to be, by the arguments that Criterion understands too.
#![allow(dead_code)]

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `cargo bench`
    Full,
    /// `cargo bench -- --quick`: fewer and shorter samples.
    Quick,
    /// `cargo test --benches`, or `--test`: everything runs once, nothing is measured and nothing recorded.
    Test,
    /// `--list`: nothing runs.
    List,
}

/// Options of Criterion that are followed by a value, which is no filter.
const WITH_VALUE: &[&str] = &[
    "--color",
    "--save-baseline",
    "--baseline",
    "--baseline-lenient",
    "--format",
    "--profile-time",
    "--load-baseline",
    "--sample-size",
    "--warm-up-time",
    "--measurement-time",
    "--nresamples",
    "--noise-threshold",
    "--confidence-level",
    "--significance-level",
    "--plotting-backend",
    "--output-format",
];

/// What the arguments of this process ask for, and the filter among them, if any.
pub fn from_arguments() -> (Mode, Option<String>) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    parse(&arguments)
}

pub fn parse(arguments: &[String]) -> (Mode, Option<String>) {
    let has = |option| arguments.iter().any(|argument| argument == option);
    let mode = if has("--list") {
        Mode::List
    } else if has("--test") || !has("--bench") {
        Mode::Test
    } else if has("--quick") {
        Mode::Quick
    } else {
        Mode::Full
    };
    let mut words = arguments.iter();
    let mut filter = None;
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word.as_str()) {
            words.next();
        } else if !word.starts_with('-') {
            filter = Some(word.clone());
        }
    }
    (mode, filter)
}
