//! Which processors server and client have, said aloud where that is not as it should be.

use std::fs;
use std::sync::OnceLock;

use super::sys;

/// The processors of server and client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Processors {
    Two {
        server: usize,
        client: usize,
    },
    /// They share one, so the client must not poll busily.
    Shared,
}

/// Found by the first who asks.
pub fn processors() -> Processors {
    static FOUND: OnceLock<Processors> = OnceLock::new();
    *FOUND.get_or_init(find)
}

/// Keeps the calling thread, which serves, on its processor.
pub fn pin_server() {
    if let Processors::Two { server, .. } = processors() {
        sys::pin(server);
    }
}

/// Keeps the calling thread, which is the client, on its processor.
pub fn pin_client() {
    if let Processors::Two { client, .. } = processors() {
        sys::pin(client);
    }
}

/// Two of the allowed processors, on different cores if there are such.
fn find() -> Processors {
    let allowed = sys::allowed_processors();
    let Some((&server, others)) = allowed.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        println!("NOTE: server and client share the only processor; the figures say little.");
        return Processors::Shared;
    };
    let on_another_core = |&&other: &&usize| core(other) != core(server);
    let client = *others.iter().find(on_another_core).unwrap_or_else(|| {
        println!("NOTE: server and client share one core; the figures say little.");
        &others[0]
    });
    Processors::Two { server, client }
}

/// What tells a core from another: the processors that share it, where the system says so.
fn core(processor: usize) -> String {
    let topology = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    fs::read_to_string(topology).unwrap_or_else(|_| processor.to_string())
}
