//! What `write` takes: bytes that are lent, or bytes that are given away, in
//! whatever type the program has them.

use std::borrow::Cow;

use bytes::Bytes;

use crate::conn::Payload;

/// Data to write, made by `.into()` from nearly every type that holds bytes.
///
/// A reference lends: what the system does not take at once is copied. A value
/// (`Vec<u8>`, `String`, `Bytes`, a `Cow` that owns) is given away, and the part
/// that has to wait may wait in it, uncopied.
///
/// ```
/// use tidewheel::net::Chunk;
///
/// let name = String::from("hello");
/// let chunks: [Chunk; 4] = ["hello".into(), (&name).into(), b"hello".into(), name.clone().into()];
/// ```
pub struct Chunk<'a>(Payload<'a>);

impl<'a> Chunk<'a> {
    /// What a connection takes. The owner within may be a value of the program:
    /// mind where it drops.
    pub(crate) fn into_payload(self) -> Payload<'a> {
        self.0
    }
}

impl std::fmt::Debug for Chunk<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Chunk({} bytes)", self.0.as_slice().len())
    }
}

impl<'a, T: AsRef<[u8]> + ?Sized> From<&'a T> for Chunk<'a> {
    fn from(bytes: &'a T) -> Self {
        Chunk(Payload::Borrowed(bytes.as_ref()))
    }
}

impl From<Vec<u8>> for Chunk<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Chunk<'_> {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<Bytes> for Chunk<'_> {
    fn from(bytes: Bytes) -> Self {
        Chunk(Payload::Owned(bytes))
    }
}

impl<const N: usize> From<[u8; N]> for Chunk<'_> {
    fn from(bytes: [u8; N]) -> Self {
        Bytes::copy_from_slice(&bytes).into()
    }
}

impl<'a> From<Cow<'a, str>> for Chunk<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl<'a> From<Cow<'a, [u8]>> for Chunk<'a> {
    fn from(bytes: Cow<'a, [u8]>) -> Self {
        match bytes {
            Cow::Borrowed(bytes) => bytes.into(),
            Cow::Owned(bytes) => bytes.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn lent<'a>(data: impl Into<Chunk<'a>>) {
        let payload = data.into().into_payload();
        assert!(matches!(payload, Payload::Borrowed(b"abc")));
    }

    #[track_caller]
    fn given<'a>(data: impl Into<Chunk<'a>>) {
        match data.into().into_payload() {
            Payload::Owned(bytes) => assert_eq!(bytes, "abc"),
            Payload::Borrowed(_) => panic!("a value was only lent"),
        }
    }

    #[test]
    fn references_lend() {
        let (nested, text): (&&str, _) = (&"abc", String::from("abc"));
        let (vector, bytes) = (b"abc".to_vec(), Bytes::from_static(b"abc"));
        lent("abc");
        lent(nested);
        lent(&text);
        lent(b"abc");
        lent(&b"abc"[..]);
        lent(&vector);
        lent(&bytes);
        lent(Cow::Borrowed("abc"));
        lent(Cow::Borrowed(&b"abc"[..]));
    }

    #[test]
    fn values_are_given() {
        given(b"abc".to_vec());
        given(String::from("abc"));
        given(Bytes::from_static(b"abc"));
        given(*b"abc");
        given(Cow::<str>::Owned("abc".into()));
        given(Cow::<[u8]>::Owned(b"abc".to_vec()));
    }

    #[test]
    fn a_given_vector_is_not_copied() {
        let data = vec![7; 4096];
        let at = data.as_ptr();
        assert_eq!(Chunk::from(data).into_payload().as_slice().as_ptr(), at);
    }
}
