//! TLS over real sockets.
#![cfg(feature = "tls")]

#[path = "common/child.rs"]
mod child;
mod common;
#[path = "common/faults.rs"]
mod faults;
#[path = "common/loud.rs"]
mod loud;
#[path = "common/panicking.rs"]
mod panicking;

#[path = "tls/alerts.rs"]
mod alerts;
#[path = "tls/bounds.rs"]
mod bounds;
#[path = "tls/calls.rs"]
mod calls;
#[path = "tls/certs.rs"]
mod certs;
#[path = "tls/cuts.rs"]
mod cuts;
#[path = "tls/data.rs"]
mod data;
#[path = "tls/false_start.rs"]
mod false_start;
#[path = "tls/handshakes.rs"]
mod handshakes;
#[path = "tls/load.rs"]
mod load;
#[path = "tls/matrix.rs"]
mod matrix;
#[path = "tls/memory.rs"]
mod memory;
#[path = "tls/nested.rs"]
mod nested;
#[path = "tls/ocsp.rs"]
mod ocsp;
#[path = "tls/panics.rs"]
mod panics;
#[cfg(feature = "tls-pfx")]
#[path = "tls/pfx.rs"]
mod pfx;
#[path = "tls/pressure.rs"]
mod pressure;
#[path = "tls/revocation.rs"]
mod revocation;
#[path = "tls/scene.rs"]
mod scene;
#[path = "tls/session_stores.rs"]
mod session_stores;
#[path = "tls/sessions.rs"]
mod sessions;
#[path = "tls/severed.rs"]
mod severed;
#[cfg(feature = "sim")]
#[path = "tls/simulated.rs"]
mod simulated;
#[cfg(feature = "sim")]
#[path = "tls/simulated_sessions.rs"]
mod simulated_sessions;
#[path = "tls/sockets.rs"]
mod sockets;
#[path = "tls/upgrades.rs"]
mod upgrades;
