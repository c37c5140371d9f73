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
    // What TLS meets, with the names that Node has from OpenSSL. First what is wrong with options.
    /// No cipher of the list is supported.
    TlsNoCipherMatch = "ERR_SSL_NO_CIPHER_MATCH",
    /// The method names a protocol that is not offered.
    TlsInvalidProtocolMethod = "ERR_TLS_INVALID_PROTOCOL_METHOD",
    /// The text names no protocol version that is offered.
    TlsInvalidProtocolVersion = "ERR_TLS_INVALID_PROTOCOL_VERSION",
    /// `secure_protocol` was given together with a version.
    TlsProtocolVersionConflict = "ERR_TLS_PROTOCOL_VERSION_CONFLICT",
    /// The context does not fit what it is used for.
    TlsInvalidContext = "ERR_TLS_INVALID_CONTEXT",
    /// The connection is not in a state that allows it.
    TlsInvalidState = "ERR_TLS_INVALID_STATE",
    /// The private key does not belong to the certificate.
    TlsKeyMismatch = "ERR_OSSL_X509_KEY_VALUES_MISMATCH",
    /// The passphrase does not open the private key.
    TlsBadDecrypt = "ERR_OSSL_BAD_DECRYPT",
    /// The passphrase does not open the PFX.
    TlsMacVerifyFailure = "ERR_OSSL_PKCS12_MAC_VERIFY_FAILURE",
    /// The private key is encrypted and no passphrase was given.
    TlsMissingPassphrase = "ERR_MISSING_PASSPHRASE",
    /// There is nothing of that kind in the file or text.
    TlsNoStartLine = "ERR_OSSL_PEM_NO_START_LINE",
    /// The file or text cannot be read as what it should be.
    TlsBadEncoding = "ERR_OSSL_ASN1_ENCODING",
    /// The key, certificate or encryption is of a kind that is not supported.
    TlsUnsupported = "ERR_OSSL_UNSUPPORTED",
    // Then what is wrong with a certificate.
    /// The certificate's time is over.
    CertHasExpired = "CERT_HAS_EXPIRED",
    /// The certificate's time has not begun.
    CertNotYetValid = "CERT_NOT_YET_VALID",
    /// The certificate was revoked.
    CertRevoked = "CERT_REVOKED",
    /// The certificate is its own issuer, and not trusted.
    CertSelfSigned = "DEPTH_ZERO_SELF_SIGNED_CERT",
    /// The chain ends in an issuer that is not trusted.
    CertSelfSignedInChain = "SELF_SIGNED_CERT_IN_CHAIN",
    /// An issuer of the chain is not known.
    CertIssuerUnknown = "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    /// The issuer of the only certificate that was sent is not known.
    CertLeafUnverified = "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    /// A signature in the chain is wrong.
    CertSignatureFailure = "CERT_SIGNATURE_FAILURE",
    /// The certificate was made for another purpose.
    CertInvalidPurpose = "INVALID_PURPOSE",
    /// An issuer in the chain may not issue.
    CertInvalidCa = "INVALID_CA",
    /// There is no list that says whether the certificate was revoked.
    CertNoRevocationList = "UNABLE_TO_GET_CRL",
    /// The list of revoked certificates is too old.
    CertRevocationListExpired = "CRL_HAS_EXPIRED",
    /// The time of the list of revoked certificates has not begun.
    CertRevocationListNotYetValid = "CRL_NOT_YET_VALID",
    /// The list of revoked certificates was not signed by its issuer.
    CertRevocationListSignature = "CRL_SIGNATURE_FAILURE",
    /// The certificate is wrong in another way.
    CertRejected = "CERT_REJECTED",
    /// The certificate is not for the host that was asked for.
    CertAltnameInvalid = "ERR_TLS_CERT_ALTNAME_INVALID",
    // Then what is wrong with the peer or its messages.
    /// The handshake took too long.
    TlsHandshakeTimeout = "ERR_TLS_HANDSHAKE_TIMEOUT",
    /// What came is not TLS.
    TlsWrongVersionNumber = "ERR_SSL_WRONG_VERSION_NUMBER",
    /// The peer offers no protocol version that is allowed here.
    TlsUnsupportedProtocol = "ERR_SSL_UNSUPPORTED_PROTOCOL",
    /// The peer offers no cipher, curve or signature that is allowed here.
    TlsNoSharedCipher = "ERR_SSL_NO_SHARED_CIPHER",
    /// The client sent no certificate, though one is required.
    TlsNoPeerCertificate = "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE",
    /// The client offers no application protocol that the server speaks.
    TlsNoApplicationProtocol = "ERR_SSL_NO_APPLICATION_PROTOCOL",
    /// A record was damaged on its way.
    TlsBadRecord = "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
    /// A message came at the wrong time.
    TlsUnexpectedMessage = "ERR_SSL_UNEXPECTED_MESSAGE",
    /// A message cannot be read.
    TlsDecodeError = "ERR_SSL_DECODE_ERROR",
    /// The peer ended without saying so, and the program asked that this be an error.
    TlsUnexpectedEof = "ERR_SSL_UNEXPECTED_EOF_WHILE_READING",
    /// The peer broke the protocol in another way.
    TlsProtocolError = "ERR_SSL_PROTOCOL_ERROR",
    // Then what the peer says is wrong with us.
    /// The peer could agree to nothing that was offered.
    TlsAlertHandshakeFailure = "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
    /// The peer allows no protocol version that was offered.
    TlsAlertProtocolVersion = "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
    /// The peer does not trust the issuer of our certificate.
    TlsAlertUnknownCa = "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA",
    /// The peer finds our certificate wrong.
    TlsAlertBadCertificate = "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE",
    /// The peer does not take certificates of this kind.
    TlsAlertUnsupportedCertificate = "ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    /// The peer says that our certificate was revoked.
    TlsAlertCertificateRevoked = "ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED",
    /// The peer says that our certificate's time is over, or has not begun.
    TlsAlertCertificateExpired = "ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED",
    /// The peer does not accept our certificate.
    TlsAlertCertificateUnknown = "ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    /// The peer asks for a certificate, and none was sent.
    TlsAlertCertificateRequired = "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
    /// The peer does not let us in.
    TlsAlertAccessDenied = "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED",
    /// The peer could not check a signature or a key.
    TlsAlertDecryptError = "ERR_SSL_TLSV1_ALERT_DECRYPT_ERROR",
    /// The peer got a damaged record.
    TlsAlertBadRecord = "ERR_SSL_SSLV3_ALERT_BAD_RECORD_MAC",
    /// The peer failed within itself.
    TlsAlertInternalError = "ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR",
    /// The peer does not serve the name that was asked for.
    TlsAlertUnrecognizedName = "ERR_SSL_TLSV1_UNRECOGNIZED_NAME",
    /// The peer speaks no application protocol that was offered.
    TlsAlertNoApplicationProtocol = "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    /// The peer reports another fault.
    TlsAlert = "ERR_SSL_ALERT",
    // The rest.
    /// An error made by the program, with no code of its own.
    Custom = "ERR_CUSTOM",
}

impl Code {
    /// What is wrong with options of TLS.
    pub(super) fn is_of_tls_options(self) -> bool {
        matches!(
            self,
            Code::TlsNoCipherMatch
                | Code::TlsInvalidProtocolMethod
                | Code::TlsInvalidProtocolVersion
                | Code::TlsProtocolVersionConflict
                | Code::TlsInvalidContext
                | Code::TlsInvalidState
                | Code::TlsKeyMismatch
                | Code::TlsBadDecrypt
                | Code::TlsMacVerifyFailure
                | Code::TlsMissingPassphrase
                | Code::TlsNoStartLine
                | Code::TlsBadEncoding
                | Code::TlsUnsupported
        )
    }

    /// What a certificate, the peer of a TLS connection or its messages have wrong.
    pub(super) fn is_of_tls(self) -> bool {
        let name = self.as_str();
        name.starts_with("ERR_SSL_")
            || name.contains("CERT")
            || name.contains("CRL")
            || matches!(
                self,
                Code::CertInvalidPurpose | Code::CertInvalidCa | Code::CertLeafUnverified
            )
    }

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
