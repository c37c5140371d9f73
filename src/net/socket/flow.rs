//! The flow of what comes: paused, resumed, piped.

use std::rc::Rc;

use super::Socket;
use crate::arena::Key;
use crate::conn::Flow;
use crate::net::PipeOptions;

impl Socket {
    /// Stops `data`. What comes stays in the kernel, so that in the end the peer has to wait. Node's
    /// `socket.pause`. It may be called at any time, also before connect, and wins over adding a listener.
    ///
    /// The peer's leaving is noticed all the same when nothing is unread: `end` comes, and then, unless half-open is
    /// allowed, our side ends. So a server that pauses while it still owes answers wants
    /// [`allow_half_open`](crate::net::ServerOptions::allow_half_open), and calls `end` itself.
    #[inline(never)]
    pub fn pause(&self) -> &Self {
        self.inner().reactor.borrow_mut().pause(self.key);
        self
    }

    /// Starts `data` (again). Without a listener what comes is discarded. Node's `socket.resume`. Nothing is
    /// delivered inside the call.
    pub fn resume(&self) -> &Self {
        self.inner().reactor.borrow_mut().resume(self.key);
        self
    }

    /// Whether [`pause`](Socket::pause) is in force. Node's `socket.isPaused`.
    pub fn is_paused(&self) -> bool {
        self.with(|socket| matches!(socket.conn.flow(), Flow::Paused | Flow::Unpiped))
            .unwrap_or(false)
    }

    /// Writes all that comes to `destination`, at the pace at which it drains, and ends it after `end`. Node's
    /// `readable.pipe`. Returns the destination. `socket.pipe(socket)` echoes.
    ///
    /// It makes the socket flow, unless you paused it. The destination need not be connected yet: what is piped into it
    /// until then waits.
    ///
    /// An `end_with` of your own before the peer has ended makes the next chunk a `write` after the end, with its error,
    /// as in Node. A proxy pipes both ways, and when one side closes with an error destroys the other:
    ///
    /// ```
    /// # fn join(client: &tidewheel::net::Socket, upstream: &tidewheel::net::Socket) {
    /// for (from, to) in [(client, upstream), (upstream, client)] {
    ///     from.pipe(to);
    ///     let to = to.clone();
    ///     // After an orderly end `to` was ended by the pipe, and still sends what it holds.
    ///     from.on_close(move |_, had_error| {
    ///         if had_error {
    ///             to.destroy();
    ///         }
    ///     });
    /// }
    /// # }
    /// ```
    ///
    /// A `data` listener that panics keeps its chunk from the pipes that were added after it.
    ///
    /// With several destinations the slowest sets the pace. When a destination fails or closes, this socket is
    /// unpiped and, if no other destination is left, paused; it is never destroyed.
    pub fn pipe<'d>(&self, destination: &'d Socket) -> &'d Socket {
        self.pipe_with(destination, PipeOptions::default())
    }

    /// As [`pipe`](Socket::pipe), with options.
    pub fn pipe_with<'d>(&self, destination: &'d Socket, options: PipeOptions) -> &'d Socket {
        self.handle
            .add_pipe(self.key, self.key_of(destination), options.end);
        destination
    }

    /// Takes back [`pipe`](Socket::pipe) to `destination`, or all with `None`. When none is left the socket is
    /// paused. Node's `readable.unpipe`.
    pub fn unpipe(&self, destination: Option<&Socket>) -> &Self {
        self.handle
            .remove_pipes(self.key, destination.map(|socket| self.key_of(socket)));
        self
    }

    /// A socket of another loop is as good as gone: here its key may be anybody's.
    fn key_of(&self, destination: &Socket) -> Key {
        if Rc::ptr_eq(self.inner(), destination.inner()) {
            destination.key
        } else {
            Key::DEAD
        }
    }
}
