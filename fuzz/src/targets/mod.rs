//! The targets: each takes the bytes of a fuzzer for operations, and panics when a promise is broken.
//!
//! They are run by libFuzzer, and over the committed corpora by `tests/fuzz_corpora.rs` of the crate.

pub mod address;
pub mod conn_ops;
pub mod decoder;
mod input;
pub mod loop_ops;
#[cfg(feature = "tls")]
pub mod tls_input;
#[cfg(feature = "tls")]
pub mod tls_material;
pub mod wheel;
pub mod write_queue;

/// All of them, by the names of their corpora.
pub const ALL: &[(&str, fn(&[u8]))] = &[
    ("address", address::run),
    ("conn_ops", conn_ops::run),
    ("decoder", decoder::run),
    ("loop_ops", loop_ops::run),
    #[cfg(feature = "tls")]
    ("tls_input", tls_input::run),
    #[cfg(feature = "tls")]
    ("tls_material", tls_material::run),
    ("wheel", wheel::run),
    ("write_queue", write_queue::run),
];
