//! The programs that taught `net`, from Node's v0.10 manual and from lessons about it, line by line in Rust: what they
//! send, what they print, and that they end.
//!
//! Each stands as it was, but for the ports (a free one), and for what was wrong in it: that is mended, and a comment
//! says how. Who talks to it is a blocking peer of the standard library; `Console` keeps what it prints.

#[path = "common/census.rs"]
mod census;
mod programs;

#[allow(dead_code)]
#[path = "../examples/common/node.rs"]
mod node;

#[path = "seed_programs/console.rs"]
mod console;
#[path = "seed_programs/conversation.rs"]
mod conversation;
#[path = "seed_programs/lessons.rs"]
mod lessons;
#[path = "seed_programs/manual.rs"]
mod manual;
#[path = "seed_programs/write_data.rs"]
mod write_data;
