//! Sessions that a program keeps for a server: what is given to it, and what of what it gives back is good.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::server::StoresServerSessions;

use super::binding::{Binding, Parts};

/// The crate, and the format: whatever begins otherwise is of somebody else.
const MAGIC: &[u8; 8] = b"tdwtls01";
const STAMP: usize = 8;
const DIGEST: usize = 32;

/// An id has as many bytes, always.
pub(crate) const ID: usize = 32;

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// What was made at `made` may be used still. Clocks differ, and are set: as much ahead is as bad as too old.
pub(crate) fn is_fresh(made: &[u8], lifetime: Duration) -> bool {
    <[u8; STAMP]>::try_from(made).is_ok_and(|made| {
        let age = now().abs_diff(u64::from_be_bytes(made));
        u128::from(age) <= lifetime.as_millis()
    })
}

/// What the program is given to keep.
pub(crate) fn pack(id: &[u8], binding: &Binding, plain: &[u8]) -> Vec<u8> {
    let stamp = now().to_be_bytes();
    let digest = digest(id, binding, &stamp, plain);
    [&MAGIC[..], &stamp, digest.bytes(), plain].concat()
}

/// What there is in what the program gave back, if it is whole, fresh, and was made for this id and this context.
pub(crate) fn unpack<'a>(
    id: &[u8],
    binding: &Binding,
    lifetime: Duration,
    data: &'a [u8],
) -> Option<&'a [u8]> {
    let rest = data.strip_prefix(MAGIC)?;
    let (stamp, rest) = rest.split_at_checked(STAMP)?;
    let (sum, plain) = rest.split_at_checked(DIGEST)?;
    let good = is_fresh(stamp, lifetime) && digest(id, binding, stamp, plain).bytes() == sum;
    good.then_some(plain)
}

fn digest(id: &[u8], binding: &Binding, stamp: &[u8], plain: &[u8]) -> Binding {
    let parts = Parts::of("stored session").add(id).add(binding.bytes());
    Binding::of(parts.add(stamp).add(plain))
}

/// A session: its id, and what is to be kept of it.
pub(crate) type Stored = (Vec<u8>, Vec<u8>);

/// The sessions of one connection, as rustls sees them: those that the program has found, and those that are new.
pub(crate) struct Store {
    /// Somebody keeps what is new.
    pub(crate) keeps: bool,
    found: Mutex<Vec<Stored>>,
    made: Mutex<Vec<Stored>>,
}

impl Store {
    pub(crate) fn new(keeps: bool, found: Option<Stored>) -> Store {
        Store {
            keeps,
            found: Mutex::new(found.into_iter().collect()),
            made: Mutex::default(),
        }
    }

    /// What is new since the last call.
    pub(crate) fn take_made(&self) -> Vec<Stored> {
        std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl StoresServerSessions for Store {
    fn put(&self, id: Vec<u8>, plain: Vec<u8>) -> bool {
        if self.keeps {
            let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.push((id, plain));
        }
        self.keeps
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, plain) = found.iter().find(|(known, _)| known == id)?;
        Some(plain.clone())
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let at = found.iter().position(|(known, _)| known == id)?;
        Some(found.swap_remove(at).1)
    }

    fn can_cache(&self) -> bool {
        self.keeps
    }
}

/// Shows no secret.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_whole_and_belongs_here_is_taken_back() {
        let here = Binding::of(Parts::of("here"));
        let lifetime = Duration::from_secs(300);
        let data = pack(b"id", &here, b"a session");
        assert_eq!(
            unpack(b"id", &here, lifetime, &data),
            Some(&b"a session"[..])
        );
        assert_eq!(unpack(b"other", &here, lifetime, &data), None);
        let there = Binding::of(Parts::of("there"));
        assert_eq!(unpack(b"id", &there, lifetime, &data), None);
        for at in 0..data.len() {
            let mut changed = data.clone();
            changed[at] ^= 1;
            assert_eq!(unpack(b"id", &here, lifetime, &changed), None, "{at}");
            assert_eq!(unpack(b"id", &here, lifetime, &data[..at]), None, "{at}");
        }
        let longer = [&data[..], &[0]].concat();
        assert_eq!(unpack(b"id", &here, lifetime, &longer), None);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(unpack(b"id", &here, Duration::ZERO, &data), None);
    }

    #[test]
    fn a_stamp_of_the_future_is_as_bad_as_an_old_one() {
        let minute = Duration::from_secs(60);
        let at = |offset: i64| now().wrapping_add_signed(offset).to_be_bytes();
        assert!(is_fresh(&at(0), minute) && is_fresh(&at(-50_000), minute));
        assert!(is_fresh(&at(50_000), minute), "clocks differ a little");
        assert!(!is_fresh(&at(-70_000), minute) && !is_fresh(&at(70_000), minute));
        assert!(!is_fresh(&[0; 7], minute) && !is_fresh(&[], minute));
    }
}
