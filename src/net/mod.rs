//! TCP and UNIX sockets and servers: Node's `net`.

mod apply;
mod batch;
mod bind;
mod builder;
mod chunk;
mod dispatch;
mod dispatch_server;
mod event_loop;
mod face;
mod handler;
mod host;
mod inspect;
mod ip;
mod lease;
mod listeners;
mod lookup;
mod loop_handle;
mod mailbox;
mod options;
mod pipe;
mod remote;
mod server;
mod socket;
mod stats;
mod text;
mod timeout;
#[cfg(feature = "tls")]
pub(crate) mod tls;
mod watch;

use crate::error::{Error, Result};

pub use crate::address::{Address, Family};
pub use crate::conn::WriteStatus;
pub use crate::encoding::Encoding;
pub use builder::Builder;
pub use chunk::Chunk;
pub use event_loop::EventLoop;
pub use handler::Handler;
pub use host::Host;
pub use inspect::{HandleInfo, HandleKind};
pub use ip::{is_ip, is_ipv4, is_ipv6};
pub use listeners::EventKind;
pub use lookup::{Lookup, LookupReply};
pub use loop_handle::LoopHandle;
pub use options::{ConnectOptions, ListenOptions, PipeOptions, ServerOptions, SocketOptions};
pub use remote::{LoopClosed, Remote};
pub use server::{Dropped, Server, ServerId};
pub use socket::{ReadyState, Socket, SocketId};
pub use stats::LoopStats;
pub use timeout::Timeout;
pub use watch::{Interest, Readiness, Watch};

/// Makes a server; `on_connection` is its first `connection` listener. Node's `net.createServer`.
///
/// ```
/// use tidewheel::{net, EventLoop};
///
/// # fn main() -> Result<(), tidewheel::Error> {
/// let event_loop = EventLoop::new()?;
/// let server = net::create_server(&event_loop, |socket| {
///     socket.pipe(socket);
/// });
/// server.listen(("127.0.0.1", 0), |_| {})?;
/// # server.close();
/// # event_loop.run()
/// # }
/// ```
pub fn create_server(
    event_loop: &LoopHandle,
    on_connection: impl FnMut(&Socket) + 'static,
) -> Server {
    create_server_with(event_loop, ServerOptions::default(), on_connection)
}

/// As [`create_server`], with options.
pub fn create_server_with(
    event_loop: &LoopHandle,
    options: ServerOptions,
    on_connection: impl FnMut(&Socket) + 'static,
) -> Server {
    Server::create(event_loop, &options, on_connection)
}

/// Makes a socket and starts to connect it; `on_connect` is its first, one-shot `connect` listener. Node's
/// `net.connect`.
///
/// It always gives a socket, and reports every failure by `error` in a later turn. The socket may be written to, ended
/// or paused at once; what is written leaves when it is connected.
///
/// A port alone means `localhost` (127.0.0.1, and when that fails ::1); a host may be an address or a name. A path, for a
/// UNIX socket, is a `Path`: `Path::new("/run/app.sock")`, for a bare text could be a host as well.
///
/// ```no_run
/// use tidewheel::{net, EventLoop};
///
/// # fn main() -> Result<(), tidewheel::Error> {
/// let event_loop = EventLoop::new()?;
/// let client = net::connect(&event_loop, 8124, |socket| {
///     socket.write("world!\r\n");
/// });
/// client.on_data(|socket, data| {
///     print!("{}", String::from_utf8_lossy(data));
///     socket.end();
/// });
/// event_loop.run()
/// # }
/// ```
pub fn connect(
    event_loop: &LoopHandle,
    options: impl Into<ConnectOptions>,
    on_connect: impl FnOnce(&Socket) + 'static,
) -> Socket {
    Socket::dial(event_loop, &options.into(), on_connect)
}

/// [`connect`] by Node's other name for it, `net.createConnection`.
pub fn create_connection(
    event_loop: &LoopHandle,
    options: impl Into<ConnectOptions>,
    on_connect: impl FnOnce(&Socket) + 'static,
) -> Socket {
    connect(event_loop, options, on_connect)
}

/// Two sockets connected to each other, by a UNIX socket pair (or in memory, on a simulated loop).
///
/// # Errors
///
/// What the system says, when it has no descriptor left, say; `ERR_LOOP_CLOSED`.
pub fn pair(event_loop: &LoopHandle) -> Result<(Socket, Socket)> {
    let inner = event_loop.inner();
    if inner.is_dead() {
        return Err(Error::loop_closed());
    }
    let pair = inner.reactor.borrow_mut().pair();
    let (a, b) = pair.map_err(|error| Error::system("socketpair", &error))?;
    Ok((Socket::at(inner, a), Socket::at(inner, b)))
}
