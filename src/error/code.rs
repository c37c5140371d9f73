//! The closed list of what can go wrong, by meaning, with Node's name of each.

use std::fmt;

macro_rules! codes {
    ($(#[doc = $doc:literal] $name:ident = $text:literal,)*) => {
        /// What went wrong, by meaning. [`as_str`](Code::as_str) is the string
        /// that Node has in `error.code`.
        ///
        /// ```
        /// use tidewheel::Code;
        ///
        /// assert_eq!(Code::AddrInUse.as_str(), "EADDRINUSE");
        /// assert_eq!(Code::WriteAfterEnd.to_string(), "ERR_STREAM_WRITE_AFTER_END");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $text, "`:", $doc)] $name,)*
            /// `UNKNOWN`: an error of the system that has no name here, by its
            /// number (positive, as in `io::Error::raw_os_error`).
            Other(i32),
        }

        impl Code {
            /// Node's name: `"EADDRINUSE"`, `"ERR_STREAM_WRITE_AFTER_END"`.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                    Code::Other(_) => "UNKNOWN",
                }
            }

            #[cfg(test)]
            pub(super) const NAMED: &'static [Code] = &[$(Code::$name,)*];
        }
    };
}

codes! {
    // Errors of the system.
    /// The address is in use already.
    AddrInUse = "EADDRINUSE",
    /// The address is not one of this machine's.
    AddrNotAvail = "EADDRNOTAVAIL",
    /// The system lacks this address family.
    AddrFamilyNotSupported = "EAFNOSUPPORT",
    /// Permission was denied.
    AccessDenied = "EACCES",
    /// The operation is not permitted.
    NotPermitted = "EPERM",
    /// Nobody listens there.
    ConnRefused = "ECONNREFUSED",
    /// The peer reset the connection.
    ConnReset = "ECONNRESET",
    /// The connection was aborted on this side.
    ConnAborted = "ECONNABORTED",
    /// The peer takes no more data.
    BrokenPipe = "EPIPE",
    /// The socket is not connected.
    NotConnected = "ENOTCONN",
    /// The socket is connected already.
    IsConnected = "EISCONN",
    /// A connection attempt is under way already.
    AlreadyInProgress = "EALREADY",
    /// Our side was shut down already.
    AlreadyShutDown = "ESHUTDOWN",
    /// The peer did not answer in time.
    TimedOut = "ETIMEDOUT",
    /// The host is down.
    HostDown = "EHOSTDOWN",
    /// No route leads to the host.
    HostUnreachable = "EHOSTUNREACH",
    /// The network is down.
    NetDown = "ENETDOWN",
    /// No route leads to the network.
    NetUnreachable = "ENETUNREACH",
    /// The process is out of descriptors.
    TooManyOpenFiles = "EMFILE",
    /// The system is out of descriptors.
    TooManyOpenFilesInSystem = "ENFILE",
    /// The system is out of socket buffers.
    NoBufferSpace = "ENOBUFS",
    /// The system is out of memory.
    OutOfMemory = "ENOMEM",
    /// A system limit or the disk is exhausted.
    NoSpace = "ENOSPC",
    /// The operation would have to wait.
    WouldBlock = "EAGAIN",
    /// A signal interrupted the call.
    Interrupted = "EINTR",
    /// The operation was called off.
    Canceled = "ECANCELED",
    /// The resource is in use.
    Busy = "EBUSY",
    /// There is no such file.
    NotFound = "ENOENT",
    /// There is such a file already.
    AlreadyExists = "EEXIST",
    /// It is a directory.
    IsADirectory = "EISDIR",
    /// A part of the path is not a directory.
    NotADirectory = "ENOTDIR",
    /// The path is too long.
    NameTooLong = "ENAMETOOLONG",
    /// Too many symbolic links in the path.
    TooManyLinks = "ELOOP",
    /// The file system is read-only.
    ReadOnlyFilesystem = "EROFS",
    /// There is no such device.
    NoSuchDevice = "ENODEV",
    /// There is no such device or address.
    NoSuchAddress = "ENXIO",
    /// The descriptor is not open.
    BadDescriptor = "EBADF",
    /// The descriptor is not a socket.
    NotASocket = "ENOTSOCK",
    /// The descriptor does not know this control call.
    WrongIoctl = "ENOTTY",
    /// A pointer was wrong.
    BadAddress = "EFAULT",
    /// An argument was wrong.
    InvalidArgument = "EINVAL",
    /// A value was too large for its type.
    ValueTooLarge = "EOVERFLOW",
    /// The message is too long for one packet.
    MessageTooLong = "EMSGSIZE",
    /// A destination address is required.
    DestinationRequired = "EDESTADDRREQ",
    /// The device failed.
    InputOutput = "EIO",
    /// The system lacks this call.
    NotImplemented = "ENOSYS",
    /// The socket does not support this.
    OperationNotSupported = "ENOTSUP",
    /// The protocol was violated.
    ProtocolError = "EPROTO",
    /// The system lacks this protocol.
    ProtocolNotSupported = "EPROTONOSUPPORT",
    /// The protocol does not go with this socket.
    WrongProtocolType = "EPROTOTYPE",
    /// There is no such socket option.
    NoSuchOption = "ENOPROTOOPT",
    /// The system lacks this type of socket.
    SocketTypeNotSupported = "ESOCKTNOSUPPORT",
    // Errors of a name lookup.
    /// The name has no address.
    HostNotFound = "ENOTFOUND",
    /// The name server did not answer; later it may.
    LookupTryAgain = "EAI_AGAIN",
    /// The name server failed.
    LookupFailed = "EAI_FAIL",
    /// The host has no address of the family asked for.
    LookupAddrFamily = "EAI_ADDRFAMILY",
    /// The lookup was asked for wrongly.
    LookupBadFlags = "EAI_BADFLAGS",
    /// The lookup does not know this address family.
    LookupFamily = "EAI_FAMILY",
    /// The lookup ran out of memory.
    LookupMemory = "EAI_MEMORY",
    /// The name is too long for the lookup.
    LookupOverflow = "EAI_OVERFLOW",
    /// The lookup does not know this service.
    LookupService = "EAI_SERVICE",
    /// The lookup does not know this type of socket.
    LookupSocketType = "EAI_SOCKTYPE",
    // Errors of this library, with Node's names where Node has one.
    /// The event loop is running already.
    LoopRunning = "ERR_LOOP_RUNNING",
    /// The event loop was dropped.
    LoopClosed = "ERR_LOOP_CLOSED",
    /// The socket is not open, or never was.
    SocketClosed = "ERR_SOCKET_CLOSED",
    /// The socket was destroyed while it was connecting.
    SocketClosedBeforeConnection = "ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
    /// `connect` on a socket that is connecting, connected or closed.
    SocketAlreadyConnected = "ERR_SOCKET_ALREADY_CONNECTED",
    /// More bytes would wait than `max_queued` allows.
    SocketQueueFull = "ERR_SOCKET_QUEUE_FULL",
    /// The port is out of range.
    SocketBadPort = "ERR_SOCKET_BAD_PORT",
    /// The socket was destroyed.
    StreamDestroyed = "ERR_STREAM_DESTROYED",
    /// A write after `end`.
    WriteAfterEnd = "ERR_STREAM_WRITE_AFTER_END",
    /// An `end` after the socket had finished.
    AlreadyFinished = "ERR_STREAM_ALREADY_FINISHED",
    /// The server listens already.
    ServerAlreadyListen = "ERR_SERVER_ALREADY_LISTEN",
    /// The server does not listen.
    ServerNotRunning = "ERR_SERVER_NOT_RUNNING",
    /// The server was closed for good.
    ServerClosed = "ERR_SERVER_CLOSED",
    /// Neither a port nor a path was given.
    MissingArgs = "ERR_MISSING_ARGS",
    /// An argument has a value that makes no sense.
    InvalidArgValue = "ERR_INVALID_ARG_VALUE",
    /// The text is not an IP address.
    InvalidIpAddress = "ERR_INVALID_IP_ADDRESS",
    /// The lookup gave an address of another family.
    InvalidAddressFamily = "ERR_INVALID_ADDRESS_FAMILY",
    /// This kind of socket cannot do that.
    InvalidHandleType = "ERR_INVALID_HANDLE_TYPE",
    /// The descriptor is not a stream socket.
    InvalidFdType = "ERR_INVALID_FD_TYPE",
    /// A number is out of its range.
    OutOfRange = "ERR_OUT_OF_RANGE",
    // The rest.
    /// An error made by the program, with no code of its own.
    Custom = "ERR_CUSTOM",
}

impl Code {
    /// The number that Node gives an error of a name lookup: libuv's own, as
    /// these have none in `errno.h`.
    pub(super) fn lookup_number(self) -> Option<i32> {
        Some(match self {
            Code::LookupAddrFamily => 3000,
            Code::LookupTryAgain => 3001,
            Code::LookupBadFlags => 3002,
            Code::LookupFailed => 3004,
            Code::LookupFamily => 3005,
            Code::LookupMemory => 3006,
            Code::HostNotFound => 3008,
            Code::LookupOverflow => 3009,
            Code::LookupService => 3010,
            Code::LookupSocketType => 3011,
            _ => return None,
        })
    }
}

/// Node's name, as [`as_str`](Code::as_str) gives it.
impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
