//! Node's `net` as a Rust crate.
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod arena;
mod conn;
mod connector;
mod error;
pub mod net;
mod reactor;
mod sys;
mod timer;

pub use error::{Code, Error, Result};
pub use net::{
    Builder, EventLoop, HandleInfo, HandleKind, Interest, LoopClosed, LoopHandle, LoopStats,
    Readiness, Remote, Timeout, Watch,
};

/// A simulated network and clock, with seeded faults: the whole loop runs on it without the kernel.
#[cfg(feature = "sim")]
pub mod sim {
    pub use crate::sys::{Faults, Sim};
}
