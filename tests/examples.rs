//! The examples, run as programs: what they print, what they answer, how they end.

#[path = "common/census.rs"]
mod census;
mod programs;

#[path = "examples/arguments.rs"]
mod arguments;
#[path = "examples/chat.rs"]
mod chat;
#[path = "examples/echo.rs"]
mod echo;
#[path = "examples/kv.rs"]
mod kv;
#[path = "examples/proxy.rs"]
mod proxy;
#[path = "examples/socks.rs"]
mod socks;
#[path = "examples/teaching.rs"]
mod teaching;
#[path = "examples/timeout.rs"]
mod timeout;

/// A free port on loopback.
const HERE: &str = "127.0.0.1:0";

/// How much goes through in the tests of much: 64 MiB, or `TIDEWHEEL_BIG_MIB`.
fn much() -> u64 {
    let mib = std::env::var("TIDEWHEEL_BIG_MIB").map_or(64, |mib| mib.parse().unwrap());
    mib * 1024 * 1024
}
