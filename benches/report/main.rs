//! Writes `benches/RESULTS.md` and `benches/results.svg` from what was measured last.
//!
//! ```text
//! benches/results                              measure everything, then write both
//! cargo bench --bench report -- --write        write both from what is there
//! ```
//!
//! It reads what the other benches left in `bench-results` in the target directory, the instruction counts on record, and
//! what a bench of whole server processes left beside them, if there was one. What nobody measured is said to be missing.

mod data;
mod machine;
mod markdown;
mod picture;
mod targets;
mod tls;

#[path = "../common/record.rs"]
mod record;

use std::fs;
use std::path::Path;

use data::Data;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let data = Data::read(&record::directory());
    let (page, picture) = (markdown::page(&data), picture::draw(&data));
    if !words.iter().any(|word| word == "--write") {
        println!("report: nothing written; `-- --write` writes benches/RESULTS.md and benches/results.svg");
        return;
    }
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches");
    fs::write(directory.join("RESULTS.md"), page).expect("RESULTS.md can be written");
    if let Some(picture) = picture {
        fs::write(directory.join("results.svg"), picture).expect("results.svg can be written");
    }
    println!("{}: RESULTS.md and results.svg", directory.display());
}
