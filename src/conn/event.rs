//! What a connection tells its surroundings.

/// What became of the bytes given to a `write`.
///
/// `is_ok()` is the boolean that Node's `socket.write` returns.
///
/// | status | meaning |
/// |---|---|
/// | `Flushed` | these bytes and all before them are with the kernel; nothing waits |
/// | `Buffered` | taken; less than the high-water mark waits, or the socket is corked and holds less than 64 KiB; no `drain` is owed |
/// | `Queued` | taken; at least the high-water mark waits; exactly one `drain` follows when the queue is empty. Never send it again |
/// | `Refused` | nothing was taken; the reason comes as `error`, or the socket is destroyed |
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum WriteStatus {
    /// These bytes and all before them are with the kernel.
    Flushed,
    /// Taken, and little waits: go on writing.
    Buffered,
    /// Taken, and much waits: wait for `drain` before sending more.
    Queued,
    /// Nothing was taken.
    Refused,
}

impl WriteStatus {
    /// Node's boolean: true when there is no need to wait for `drain`.
    pub fn is_ok(self) -> bool {
        matches!(self, WriteStatus::Flushed | WriteStatus::Buffered)
    }
}

/// What may be done with bytes the user wants to write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    /// Nothing: the socket is gone, or became so by this write.
    Refused,
    /// Keep them: something is in the way (not connected yet, corked, others wait).
    Queue,
    /// Offer them to the kernel, then keep what it left.
    Try,
}

/// An event that waits until the running callback has returned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Notice {
    /// The queue became empty and somebody waits for it.
    Drain,
    /// The bytes of the next write callback are with the kernel.
    Wrote,
    /// Our FIN is with the kernel.
    Finish,
    /// The cause of the end is an error that must be reported.
    Error,
    /// No callback that still waits will ever succeed.
    Abort,
}

/// Nanoseconds since the loop began.
pub(crate) type Nanos = u64;
