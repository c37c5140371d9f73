//! The one error type. Its code, fields and message are Node's; it is one
//! pointer wide, so that a `Result` costs nothing on the way where all is well.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;

use crate::address::Address;
use crate::sys::errno;

mod code;

pub use code::Code;

/// What calls of this crate return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in Node's words.
///
/// `Debug` prints the same text as `Display`, because that is what a `main`
/// that returns an error shows. A clone is the same error: cloning counts up a
/// reference.
///
/// ```
/// use tidewheel::{Code, Error};
///
/// let error = Error::new(Code::TimedOut, "the peer said nothing for a minute");
/// assert_eq!(error.code().as_str(), "ETIMEDOUT");
/// assert_eq!(error.to_string(), "the peer said nothing for a minute");
///
/// let error: std::io::Error = error.into();
/// assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
/// ```
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    errno: Option<i32>,
    kind: io::ErrorKind,
    /// `None`: the message is what failed and the name of the code. Every peer that resets costs such an error, and few are
    /// ever shown.
    text: Option<String>,
    syscall: Option<&'static str>,
    /// Apart, so that an error that has none of it is quick to make, to move and to drop.
    details: Option<Box<Details>>,
}

#[derive(Clone, Default)]
struct Details {
    address: Option<Address>,
    local: Option<Address>,
    hostname: Option<String>,
    errors: Vec<Error>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of your own, to give to `destroy_with` or to answer a lookup.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Inner::new(code, message.into()).into()
    }

    /// An error of another library, or a text. Its code is [`Code::Custom`],
    /// its message that of `error`, which is its [`source`](StdError::source).
    ///
    /// ```
    /// let error = tidewheel::Error::other("no greeting");
    /// assert_eq!(error.to_string(), "no greeting");
    /// ```
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::wrap(io::ErrorKind::Other, error.into())
    }

    /// What went wrong, by meaning (Node's `error.code`).
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// The number of an error of the system, negative as in Node: -111 is
    /// `ECONNREFUSED` on Linux. Failed lookups have libuv's numbers, from -3000
    /// down.
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }

    /// The nearest kind of the standard library.
    pub fn kind(&self) -> io::ErrorKind {
        self.0.kind
    }

    /// What failed: `"connect"`, `"listen"`, `"bind"`, `"accept"`, `"read"`,
    /// `"write"` or `"getaddrinfo"`.
    pub fn syscall(&self) -> Option<&'static str> {
        self.0.syscall
    }

    /// The address that was connected to, listened on or bound (Node's
    /// `error.address` and `error.port`; Node leaves a port of 0 out).
    pub fn address(&self) -> Option<&Address> {
        self.details()?.address.as_ref()
    }

    /// The own address of a connect that failed, if it was bound to one
    /// (Node's `error.localAddress` and `error.localPort`).
    pub fn local(&self) -> Option<&Address> {
        self.details()?.local.as_ref()
    }

    /// The name whose lookup failed.
    pub fn hostname(&self) -> Option<&str> {
        self.details()?.hostname.as_deref()
    }

    /// One error for each address of a name that was tried in vain, if there
    /// were several; the code and fields of the whole are those of the first.
    /// Empty for every other error.
    pub fn errors(&self) -> &[Error] {
        self.details().map_or(&[], |details| &details.errors)
    }

    fn details(&self) -> Option<&Details> {
        self.0.details.as_deref()
    }
}

/// Errors of system calls.
impl Error {
    /// `read ECONNRESET`.
    pub(crate) fn system(syscall: &'static str, error: &io::Error) -> Self {
        let mut inner = Inner::of_io(error);
        inner.syscall = Some(syscall);
        inner.text = inner.text.map(|text| format!("{syscall} {text}"));
        inner.into()
    }

    /// `accept EMFILE`.
    pub(crate) fn accept(error: &io::Error) -> Self {
        Self::system("accept", error)
    }

    /// `connect ECONNREFUSED 127.0.0.1:1234`.
    pub(crate) fn connect(error: &io::Error, address: &Address) -> Self {
        Self::system("connect", error).at(Some(address))
    }

    /// `listen EADDRINUSE: address already in use 127.0.0.1:8124`.
    pub(crate) fn listen<'a>(error: &io::Error, address: impl Into<Option<&'a Address>>) -> Self {
        let mut listen = Self::system("listen", error);
        if let Some((_, text)) = error.raw_os_error().and_then(errno::describe) {
            let inner = Arc::make_mut(&mut listen.0);
            inner.text = Some(format!("{}: {text}", inner.message()));
        }
        listen.at(address.into())
    }

    /// `bind EADDRINUSE 127.0.0.1:1234`, of a client's local address.
    pub(crate) fn bind(error: &io::Error, local: &Address) -> Self {
        Self::system("bind", error).at(Some(local))
    }

    /// `getaddrinfo ENOTFOUND name`.
    pub(crate) fn lookup(code: Code, hostname: &str) -> Self {
        let mut inner = Inner::new(code, format!("getaddrinfo {code} {hostname}"));
        inner.errno = code.lookup_number().or(errno::number(code)).map(|n| -n);
        inner.syscall = Some("getaddrinfo");
        inner.details_mut().hostname = Some(hostname.to_owned());
        inner.into()
    }

    /// One error for all `errors` of a connect, one per address tried. Node's
    /// has an empty message; this one tells of the first and counts the rest:
    /// `connect ECONNREFUSED ::1:8124 (and 1 more address failed)`.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub(crate) fn aggregate(errors: Vec<Error>) -> Self {
        let mut all = errors.first().expect("an address was tried").clone();
        let more = errors.len() - 1;
        if more > 0 {
            let inner = Arc::make_mut(&mut all.0);
            let noun = if more == 1 { "address" } else { "addresses" };
            let first = inner.message();
            inner.text = Some(format!("{first} (and {more} more {noun} failed)"));
            inner.details_mut().errors = errors;
        }
        all
    }

    /// Adds the own address: `.. - Local (127.0.0.1:45671)`.
    pub(crate) fn with_local(mut self, local: Address) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.text = Some(format!("{} - Local ({})", inner.message(), local.joined()));
        inner.details_mut().local = Some(local);
        self
    }

    /// Adds the address, unless there is nothing to say about it.
    fn at(mut self, address: Option<&Address>) -> Self {
        let Some(address) = address.filter(|address| **address != Address::Unnamed) else {
            return self;
        };
        let inner = Arc::make_mut(&mut self.0);
        inner.text = Some(format!("{} {}", inner.message(), address.joined()));
        inner.details_mut().address = Some(address.clone());
        self
    }

    fn wrap(kind: io::ErrorKind, error: Box<dyn StdError + Send + Sync>) -> Self {
        match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => {
                let mut inner = Inner::new(Code::Custom, error.to_string());
                inner.kind = kind;
                inner.details_mut().source = Some(error.into());
                inner.into()
            }
        }
    }
}

/// Errors of this library, with Node's texts where Node has the error.
impl Error {
    pub(crate) fn write_after_end() -> Self {
        Self::new(Code::WriteAfterEnd, "write after end")
    }

    pub(crate) fn ended_by_peer() -> Self {
        let message = "This socket has been ended by the other party";
        Self::new(Code::BrokenPipe, message)
    }

    pub(crate) fn socket_closed() -> Self {
        Self::new(Code::SocketClosed, "Socket is closed")
    }

    pub(crate) fn closed_before_connection() -> Self {
        let message = "Socket closed before the connection was established";
        Self::new(Code::SocketClosedBeforeConnection, message)
    }

    /// `connect` on a socket that is not new.
    pub(crate) fn already_connected() -> Self {
        let message = "Connect has been called on a socket that is not new";
        Self::new(Code::SocketAlreadyConnected, message)
    }

    /// `what` is the method: `"write"` or `"end"`.
    pub(crate) fn stream_destroyed(what: &str) -> Self {
        let message = format!("Cannot call {what} after a stream was destroyed");
        Self::new(Code::StreamDestroyed, message)
    }

    /// `what` is the method: `"end"`.
    pub(crate) fn already_finished(what: &str) -> Self {
        let message = format!("Cannot call {what} after a stream was finished");
        Self::new(Code::AlreadyFinished, message)
    }

    pub(crate) fn queue_full(limit: usize) -> Self {
        let message = format!("More than {limit} bytes would wait to be sent");
        Self::new(Code::SocketQueueFull, message)
    }

    /// A descriptor cannot leave while bytes wait to be sent on it.
    pub(crate) fn bytes_queued(bytes: usize) -> Self {
        Self::new(
            Code::WouldBlock,
            format!("detach EAGAIN: {bytes} bytes wait to be sent"),
        )
    }

    pub(crate) fn already_listening() -> Self {
        let message = "Listen method has been called more than once without closing.";
        Self::new(Code::ServerAlreadyListen, message)
    }

    pub(crate) fn not_running() -> Self {
        Self::new(Code::ServerNotRunning, "Server is not running.")
    }

    pub(crate) fn server_closed() -> Self {
        Self::new(Code::ServerClosed, "Server was closed")
    }

    pub(crate) fn loop_running() -> Self {
        Self::new(Code::LoopRunning, "The event loop is running already")
    }

    pub(crate) fn loop_closed() -> Self {
        Self::new(Code::LoopClosed, "The event loop is closed")
    }

    /// Neither port nor path for a connect.
    pub(crate) fn missing_args() -> Self {
        let message = r#"The "options" or "port" or "path" argument must be specified"#;
        Self::new(Code::MissingArgs, message)
    }

    /// Neither port nor path for a listen that was given something.
    pub(crate) fn nothing_to_listen_on() -> Self {
        let message = r#"The argument 'options' must have the property "port" or "path""#;
        Self::new(Code::InvalidArgValue, message)
    }

    /// A local address that is a name.
    pub(crate) fn invalid_ip_address(given: &impl fmt::Display) -> Self {
        Self::new(
            Code::InvalidIpAddress,
            format!("Invalid IP address: {given}"),
        )
    }

    /// A descriptor to do nothing with: nothing would ever close it.
    pub(crate) fn neither_side() -> Self {
        let message = "The argument 'options' must leave the descriptor readable or writable";
        Self::new(Code::InvalidArgValue, message)
    }

    /// A descriptor that is no stream socket.
    pub(crate) fn invalid_fd_type() -> Self {
        Self::new(
            Code::InvalidFdType,
            "Unsupported fd type: not a stream socket",
        )
    }

    /// A reset of a UNIX socket.
    pub(crate) fn invalid_handle_type() -> Self {
        Self::new(Code::InvalidHandleType, "This handle type cannot be sent")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.message())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        let source = self.details()?.source.as_deref()?;
        Some(source)
    }
}

/// The number gives the code; one without a number keeps its kind and text,
/// and one made from an [`Error`] gives that back.
impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        let kind = error.kind();
        if error.get_ref().is_none() {
            let mut inner = Inner::of_io(&error);
            if let Some((_, text)) = error.raw_os_error().and_then(errno::describe) {
                inner.text = Some(format!("{}: {text}", inner.message()));
            }
            return inner.into();
        }
        let payload = error.into_inner().expect("just seen");
        Self::wrap(kind, payload)
    }
}

/// Keeps the kind; the [`Error`] is what the `io::Error` wraps.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(error.kind(), error)
    }
}

impl From<Inner> for Error {
    fn from(inner: Inner) -> Self {
        Error(Arc::new(inner))
    }
}

impl Inner {
    fn new(code: Code, message: String) -> Self {
        Inner::of(code, kind_of(code), Some(message))
    }

    fn of(code: Code, kind: io::ErrorKind, text: Option<String>) -> Self {
        Inner {
            code,
            errno: None,
            kind,
            text,
            syscall: None,
            details: None,
        }
    }

    fn details_mut(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// The message is the name of the code, or the text of an error that the
    /// system has no number for.
    fn of_io(error: &io::Error) -> Self {
        let kind = error.kind();
        let Some(errno) = error.raw_os_error() else {
            return Inner::of(Code::Custom, kind, Some(error.to_string()));
        };
        let mut inner = match errno::describe(errno) {
            Some((code, _)) => Inner::of(code, kind, None),
            None => {
                let text = format!("Unknown system error -{errno}");
                Inner::of(Code::Other(errno), kind, Some(text))
            }
        };
        inner.errno = Some(-errno);
        inner
    }

    fn message(&self) -> Cow<'_, str> {
        match (&self.text, self.syscall) {
            (Some(text), _) => Cow::Borrowed(text),
            (None, Some(syscall)) => Cow::Owned(format!("{syscall} {}", self.code)),
            (None, None) => Cow::Borrowed(self.code.as_str()),
        }
    }
}

fn kind_of(code: Code) -> io::ErrorKind {
    if let Some(errno) = errno::number(code) {
        return io::Error::from_raw_os_error(errno).kind();
    }
    match code {
        Code::HostNotFound => io::ErrorKind::NotFound,
        Code::SocketClosed | Code::SocketClosedBeforeConnection => io::ErrorKind::NotConnected,
        Code::StreamDestroyed | Code::WriteAfterEnd | Code::AlreadyFinished => {
            io::ErrorKind::BrokenPipe
        }
        Code::MissingArgs
        | Code::InvalidArgValue
        | Code::InvalidIpAddress
        | Code::InvalidAddressFamily
        | Code::InvalidHandleType
        | Code::InvalidFdType
        | Code::OutOfRange
        | Code::SocketBadPort => io::ErrorKind::InvalidInput,
        Code::TlsHandshakeTimeout => io::ErrorKind::TimedOut,
        Code::TlsUnexpectedEof => io::ErrorKind::UnexpectedEof,
        _ if code.is_of_tls_options() => io::ErrorKind::InvalidInput,
        _ if code.is_of_tls() => io::ErrorKind::InvalidData,
        _ => io::ErrorKind::Other,
    }
}

#[cfg(test)]
mod tests;
