//! What is fuzzed: the pure parts of the crate, taken from its source, and the targets.
//!
//! The pure parts are private to the crate, and fuzzing is no reason to show them. So their files are part of this
//! library as well, at the places where they look for one another.

#[path = "../../src"]
#[allow(dead_code, unused_imports)]
mod pure {
    pub(crate) mod address;
    pub(crate) mod arena;
    pub(crate) mod conn;
    pub(crate) mod encoding;
    pub(crate) mod error;
    pub(crate) mod timer;
    #[cfg(feature = "tls")]
    pub(crate) mod tls;

    /// What `conn` keeps to itself.
    #[path = "conn"]
    pub(crate) mod queue {
        pub(crate) mod write_queue;
    }

    /// `error` asks it for the names of error numbers; no system call comes with it.
    pub(crate) mod sys {
        pub(crate) mod errno;
    }
}

#[cfg(feature = "tls")]
mod net;

#[cfg(feature = "tls")]
use pure::tls;
use pure::{address, arena, conn, encoding, error, sys, timer};

pub mod targets;
