//! Events of a socket as methods of one value, for connections with state.

use super::{Lookup, Socket};
use crate::error::Error;

/// The second form of listening: one value with a method per event and `&mut self`.
///
/// Set it with [`Socket::set_handler`]. It runs before the closures of the same event, and may live in a `Box`. It
/// makes the socket flow, as a `data` listener does. It is dropped after `on_close`.
///
/// ```
/// use tidewheel::net::{Handler, Socket};
///
/// /// Sends back every line, numbered.
/// struct Numbered { lines: usize, rest: Vec<u8> }
///
/// impl Handler for Numbered {
///     fn on_data(&mut self, socket: &Socket, data: &[u8]) {
///         self.rest.extend_from_slice(data);
///         while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
///             let line: Vec<u8> = self.rest.drain(..=end).collect();
///             self.lines += 1;
///             socket.write(format!("{} ", self.lines));
///             socket.write(line);
///         }
///     }
/// }
/// ```
#[allow(unused_variables)]
pub trait Handler: 'static {
    /// Node's `lookup`: the host's name was looked up; once for each address, or once with the error.
    fn on_lookup(&mut self, socket: &Socket, lookup: &Lookup) {}
    /// Node's `connect`: the connection is established. Not for accepted sockets, which come connected.
    fn on_connect(&mut self, socket: &Socket) {}
    /// Node's `ready`, after `connect`.
    fn on_ready(&mut self, socket: &Socket) {}
    /// Node's `secureConnect`: the handshake of TLS is done. Also for accepted sockets.
    #[cfg(feature = "tls")]
    fn on_secure_connect(&mut self, socket: &Socket) {}
    /// Node's `data`: bytes came. They are in the loop's one read buffer; who wants to keep them copies them.
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {}
    /// Node's `data` after `setEncoding`: whole characters. Only after
    /// [`set_encoding`](Socket::set_encoding)`(Some(..))`, in addition to `on_data`.
    fn on_text(&mut self, socket: &Socket, text: &str) {}
    /// Node's `end`: the peer has sent its FIN, and all its bytes have been delivered.
    fn on_end(&mut self, socket: &Socket) {}
    /// Node's `drain`: the queue is empty again, after a `write` said [`Queued`](crate::net::WriteStatus::Queued).
    fn on_drain(&mut self, socket: &Socket) {}
    /// Node's `timeout`: no byte moved for the idle timeout. The connection is not touched.
    fn on_timeout(&mut self, socket: &Socket) {}
    /// Node's `finish`: after `end()`, all bytes and our FIN are with the kernel.
    fn on_finish(&mut self, socket: &Socket) {}
    /// Node's `error`; `close` follows. Unless overridden it is an error nobody listens to.
    fn on_error(&mut self, socket: &Socket, error: &Error) {
        socket.report_unhandled(error);
    }
    /// Node's `close`, always the last event; `had_error` says whether an error was the cause.
    fn on_close(&mut self, socket: &Socket, had_error: bool) {}
}

impl<H: Handler + ?Sized> Handler for Box<H> {
    fn on_lookup(&mut self, socket: &Socket, lookup: &Lookup) {
        (**self).on_lookup(socket, lookup);
    }
    fn on_text(&mut self, socket: &Socket, text: &str) {
        (**self).on_text(socket, text);
    }
    fn on_connect(&mut self, socket: &Socket) {
        (**self).on_connect(socket);
    }
    fn on_ready(&mut self, socket: &Socket) {
        (**self).on_ready(socket);
    }
    #[cfg(feature = "tls")]
    fn on_secure_connect(&mut self, socket: &Socket) {
        (**self).on_secure_connect(socket);
    }
    fn on_data(&mut self, socket: &Socket, data: &[u8]) {
        (**self).on_data(socket, data);
    }
    fn on_end(&mut self, socket: &Socket) {
        (**self).on_end(socket);
    }
    fn on_drain(&mut self, socket: &Socket) {
        (**self).on_drain(socket);
    }
    fn on_timeout(&mut self, socket: &Socket) {
        (**self).on_timeout(socket);
    }
    fn on_finish(&mut self, socket: &Socket) {
        (**self).on_finish(socket);
    }
    fn on_error(&mut self, socket: &Socket, error: &Error) {
        (**self).on_error(socket, error);
    }
    fn on_close(&mut self, socket: &Socket, had_error: bool) {
        (**self).on_close(socket, had_error);
    }
}
