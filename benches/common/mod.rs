//! What the benches of sockets share: the peers, the load they are put under, and how a case is measured.
//!
//! Server and client are threads of one process on different cores. The client polls busily, so that no server pays for
//! waking it. The servers run beside each other until the process ends; an idle one costs nothing.
#![allow(dead_code)]

pub mod bench;
pub mod churn;
pub mod client;
pub mod machine;
pub mod mode;
mod on_tidewheel;
mod on_tokio;
pub mod peers;
mod raw_epoll;
mod raw_mio;
pub mod record;
pub mod sys;
