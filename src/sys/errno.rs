//! The system's error numbers, which differ between systems, each with its
//! meaning and with the text that Node (libuv) gives it.

use crate::error::Code;

/// What an error number (positive, as in `errno.h`) means, and its text:
/// `"address already in use"`.
pub(crate) fn describe(errno: i32) -> Option<(Code, &'static str)> {
    let row = TABLE.iter().find(|row| row.0 == errno)?;
    Some((row.1, row.2))
}

/// Of an attempt that this crate gives up.
pub(crate) const TIMED_OUT: i32 = libc::ETIMEDOUT;

/// The error number (positive) of a code that the system has one for.
pub(crate) fn number(code: Code) -> Option<i32> {
    match code {
        Code::Other(errno) => Some(errno),
        _ => TABLE.iter().find(|row| row.1 == code).map(|row| row.0),
    }
}

/// The first row with a number or a code counts: `EOPNOTSUPP` is another name
/// for `ENOTSUP` on Linux, and a number of its own elsewhere.
#[rustfmt::skip]
const TABLE: &[(i32, Code, &str)] = &[
    (libc::EACCES, Code::AccessDenied, "permission denied"),
    (libc::EADDRINUSE, Code::AddrInUse, "address already in use"),
    (libc::EADDRNOTAVAIL, Code::AddrNotAvail, "address not available"),
    (libc::EAFNOSUPPORT, Code::AddrFamilyNotSupported, "address family not supported"),
    (libc::EAGAIN, Code::WouldBlock, "resource temporarily unavailable"),
    (libc::EALREADY, Code::AlreadyInProgress, "connection already in progress"),
    (libc::EBADF, Code::BadDescriptor, "bad file descriptor"),
    (libc::EBUSY, Code::Busy, "resource busy or locked"),
    (libc::ECANCELED, Code::Canceled, "operation canceled"),
    (libc::ECONNABORTED, Code::ConnAborted, "software caused connection abort"),
    (libc::ECONNREFUSED, Code::ConnRefused, "connection refused"),
    (libc::ECONNRESET, Code::ConnReset, "connection reset by peer"),
    (libc::EDESTADDRREQ, Code::DestinationRequired, "destination address required"),
    (libc::EEXIST, Code::AlreadyExists, "file already exists"),
    (libc::EFAULT, Code::BadAddress, "bad address in system call argument"),
    (libc::EHOSTDOWN, Code::HostDown, "host is down"),
    (libc::EHOSTUNREACH, Code::HostUnreachable, "host is unreachable"),
    (libc::EINTR, Code::Interrupted, "interrupted system call"),
    (libc::EINVAL, Code::InvalidArgument, "invalid argument"),
    (libc::EIO, Code::InputOutput, "i/o error"),
    (libc::EISCONN, Code::IsConnected, "socket is already connected"),
    (libc::EISDIR, Code::IsADirectory, "illegal operation on a directory"),
    (libc::ELOOP, Code::TooManyLinks, "too many symbolic links encountered"),
    (libc::EMFILE, Code::TooManyOpenFiles, "too many open files"),
    (libc::EMSGSIZE, Code::MessageTooLong, "message too long"),
    (libc::ENAMETOOLONG, Code::NameTooLong, "name too long"),
    (libc::ENETDOWN, Code::NetDown, "network is down"),
    (libc::ENETUNREACH, Code::NetUnreachable, "network is unreachable"),
    (libc::ENFILE, Code::TooManyOpenFilesInSystem, "file table overflow"),
    (libc::ENOBUFS, Code::NoBufferSpace, "no buffer space available"),
    (libc::ENODEV, Code::NoSuchDevice, "no such device"),
    (libc::ENOENT, Code::NotFound, "no such file or directory"),
    (libc::ENOMEM, Code::OutOfMemory, "not enough memory"),
    (libc::ENOPROTOOPT, Code::NoSuchOption, "protocol not available"),
    (libc::ENOSPC, Code::NoSpace, "no space left on device"),
    (libc::ENOSYS, Code::NotImplemented, "function not implemented"),
    (libc::ENOTCONN, Code::NotConnected, "socket is not connected"),
    (libc::ENOTDIR, Code::NotADirectory, "not a directory"),
    (libc::ENOTSOCK, Code::NotASocket, "socket operation on non-socket"),
    (libc::ENOTSUP, Code::OperationNotSupported, "operation not supported on socket"),
    (libc::EOPNOTSUPP, Code::OperationNotSupported, "operation not supported on socket"),
    (libc::ENOTTY, Code::WrongIoctl, "inappropriate ioctl for device"),
    (libc::ENXIO, Code::NoSuchAddress, "no such device or address"),
    (libc::EOVERFLOW, Code::ValueTooLarge, "value too large for defined data type"),
    (libc::EPERM, Code::NotPermitted, "operation not permitted"),
    (libc::EPIPE, Code::BrokenPipe, "broken pipe"),
    (libc::EPROTO, Code::ProtocolError, "protocol error"),
    (libc::EPROTONOSUPPORT, Code::ProtocolNotSupported, "protocol not supported"),
    (libc::EPROTOTYPE, Code::WrongProtocolType, "protocol wrong type for socket"),
    (libc::EROFS, Code::ReadOnlyFilesystem, "read-only file system"),
    (libc::ESHUTDOWN, Code::AlreadyShutDown, "cannot send after transport endpoint shutdown"),
    (libc::ESOCKTNOSUPPORT, Code::SocketTypeNotSupported, "socket type not supported"),
    (libc::ETIMEDOUT, Code::TimedOut, "connection timed out"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_codes_lead_to_each_other() {
        for (errno, code, text) in TABLE {
            assert_eq!(describe(*errno), Some((*code, *text)));
            let back = number(*code).and_then(describe);
            assert_eq!(back, Some((*code, *text)), "{code:?}");
        }
    }

    #[test]
    fn unknown_numbers_and_library_codes_have_no_row() {
        assert_eq!(describe(0), None);
        assert_eq!(describe(99_999), None);
        assert_eq!(number(Code::Other(99_999)), Some(99_999));
        assert_eq!(number(Code::WriteAfterEnd), None);
        assert_eq!(number(Code::HostNotFound), None);
    }
}
