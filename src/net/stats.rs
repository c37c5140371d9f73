//! Counters of a loop.

use std::time::Duration;

/// What a loop has done since it was made: [`LoopHandle::stats`](crate::LoopHandle::stats).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct LoopStats {
    /// Turns begun.
    pub turns: u64,
    /// Events of sockets and servers that came from the kernel.
    pub events: u64,
    /// The longest that a turn took after its poll: so long did somebody else have to wait.
    pub longest_turn: Duration,
    /// Sockets that exist, connected or not.
    pub sockets_open: usize,
    /// Timers that are set.
    pub timers: usize,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes the kernel took.
    pub bytes_out: u64,
    /// Errors nobody listened to.
    pub unhandled_errors: u64,
    /// Connections accepted and closed at once, for want of descriptors or over `max_connections`.
    pub connections_dropped: u64,
}
