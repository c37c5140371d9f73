//! What makes a context.

use std::fmt;

use crate::error::Result;
use crate::tls::context::Ingredients;
use crate::tls::{Material, SecureContext, TlsVersion};

/// The setters of what makes a context, for each type that may make one.
macro_rules! context_setters {
    ($($at:ident).+) => {
        /// Our private key (`key`). Further calls add keys of other kinds, each with its `cert`.
        pub fn key(mut self, key: impl Into<Material>) -> Self {
            self.$($at).+.keys.push((key.into(), None));
            self
        }

        /// As [`key`](Self::key), under a passphrase of its own, which goes before the common one.
        pub fn key_with_passphrase(
            mut self,
            key: impl Into<Material>,
            passphrase: impl Into<String>,
        ) -> Self {
            let key = (key.into(), Some(passphrase.into()));
            self.$($at).+.keys.push(key);
            self
        }

        /// Our certificate, followed by those of its issuers (`cert`). Further calls add certificates for other keys.
        pub fn cert(mut self, cert: impl Into<Material>) -> Self {
            self.$($at).+.certs.push(cert.into());
            self
        }

        /// Whom to trust, in place of the roots that come with the crate, which are Mozilla's (`ca`). Further calls add
        /// to it. A certificate given here is trusted also as the peer's own, so a self-signed one may be given, even
        /// of X.509 version 1.
        pub fn ca(mut self, ca: impl Into<Material>) -> Self {
            self.$($at).+.ca.get_or_insert_default().push(ca.into());
            self
        }

        /// Lists of revoked certificates, in PEM or DER (`crl`). Further calls add to them. Then every certificate of the
        /// peer's, up to the one that is trusted, must be one that a list of its issuer tells of, and that it does not
        /// name: no list (`UNABLE_TO_GET_CRL`), one that has expired or one of a time to come is wrong as well. Of
        /// several of one issuer the newest counts. A certificate in `ca` is asked about, too, unless nobody there has
        /// issued it and it only issues others.
        ///
        /// Lists of version 1 are refused; `crlnumber` in the configuration of `openssl ca` makes newer ones.
        pub fn crl(mut self, crl: impl Into<Material>) -> Self {
            self.$($at).+.crl.push(crl.into());
            self
        }

        /// Our private key and its certificate in one file, PKCS#12 in DER (`pfx`), in place of `key` and `cert`; what
        /// they would give is used if the peer can do nothing with this. It is opened by the common
        /// [`passphrase`](Self::passphrase). The certificates of issuers in it are sent along, and those that are
        /// self-signed are trusted, in addition to the `ca` or the roots that come with the crate. Feature `tls-pfx`.
        ///
        /// AES, and the 3DES and 40-bit RC2 of old files, are known; what is encrypted otherwise is refused by name,
        /// with the command that converts it.
        #[cfg(feature = "tls-pfx")]
        pub fn pfx(mut self, pfx: impl Into<Material>) -> Self {
            self.$($at).+.pfx.push((pfx.into(), None));
            self
        }

        /// As [`pfx`](Self::pfx), under a passphrase of its own.
        #[cfg(feature = "tls-pfx")]
        pub fn pfx_with_passphrase(
            mut self,
            pfx: impl Into<Material>,
            passphrase: impl Into<String>,
        ) -> Self {
            let pfx = (pfx.into(), Some(passphrase.into()));
            self.$($at).+.pfx.push(pfx);
            self
        }

        /// An OCSP response in DER, which a server sends along with its certificate to those who ask for one, as
        /// nobody has to ask its issuer then. Further calls are for the further certificates. It is not looked into.
        /// Node has only the event, [`on_ocsp_request`](crate::net::Server::on_ocsp_request), which goes before it.
        pub fn ocsp_response(mut self, response: impl Into<Material>) -> Self {
            self.$($at).+.ocsp.push(response.into());
            self
        }

        /// What opens the encrypted keys (`passphrase`).
        pub fn passphrase(mut self, passphrase: impl Into<String>) -> Self {
            self.$($at).+.passphrase = Some(passphrase.into());
            self
        }

        /// Which ciphers may be used, in OpenSSL's language of lists (`ciphers`). Those of TLS 1.3 are meant by their
        /// full names only, and a list without any of them turns TLS 1.3 off. Default: all nine that there are.
        pub fn ciphers(mut self, list: impl Into<String>) -> Self {
            self.$($at).+.ciphers = Some(list.into());
            self
        }

        /// The versions by the name of one of OpenSSL's functions (`secureProtocol`): `TLS_method`, `TLSv1_2_method` or
        /// `SSLv23_method`, which is TLS 1.2 too. What is older is insecure and refused.
        pub fn secure_protocol(mut self, method: impl Into<String>) -> Self {
            self.$($at).+.secure_protocol = Some(method.into());
            self
        }

        /// The oldest version to speak (`minVersion`). Default: TLS 1.2.
        pub fn min_version(mut self, version: TlsVersion) -> Self {
            self.$($at).+.min_version = Some(version);
            self
        }

        /// The newest version to speak (`maxVersion`). Default: TLS 1.3.
        pub fn max_version(mut self, version: TlsVersion) -> Self {
            self.$($at).+.max_version = Some(version);
            self
        }
    };
}
pub(super) use context_setters;

/// What a [`SecureContext`] is made from.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ContextOptions {
    pub(crate) ingredients: Ingredients,
}

impl ContextOptions {
    context_setters!(ingredients);
}

impl SecureContext {
    /// Reads and checks what is given.
    ///
    /// # Errors
    ///
    /// What cannot be read, does not fit together or is not supported, with what would be.
    pub fn new(options: ContextOptions) -> Result<SecureContext> {
        SecureContext::make(&options.ingredients)
    }
}

/// Shows neither keys nor passphrases.
impl fmt::Debug for ContextOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextOptions").finish_non_exhaustive()
    }
}
