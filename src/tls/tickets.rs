//! Tickets: sessions that a server hands to its clients to keep, sealed with a key that only servers have.
//!
//! A ticket is the name of its secret, a salt, and the session under a key made of both for this ticket alone, so that one
//! secret serves any number of tickets. It opens only for the context it was made for, and only for a time. Taking a session of
//! TLS 1.2 up makes no new secret: its ticket is sealed again, but with the time it has, or it would live for ever.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_256_GCM};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

use super::binding::Binding;
use super::stored::{is_fresh, now};
use crate::error::{Code, Error, Result};

/// A name of 16 bytes, and a secret of 32.
pub(crate) const KEYS: usize = 48;
const NAME: usize = 16;
/// With a binding it fits into one block of SHA-256, and so many random bytes are never the same twice.
const SALT: usize = 16;
const STAMP: usize = 8;

/// For how long keys are in use that nobody but this process knows, if tickets do not live longer.
const ROLL: Duration = Duration::from_secs(60 * 60);

/// No ticket of TLS 1.3 may be said to live longer: seven days.
pub(crate) const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The keys of a server, which may be changed while it runs.
pub(crate) struct TicketKeys(Mutex<Current>);

struct Current {
    keys: Keys,
    /// What keys of our own were before: what they have sealed may still be opened.
    previous: Option<Keys>,
    /// Since when keys of our own are in use; those that were given stay.
    since: Option<Instant>,
}

#[derive(Clone)]
struct Keys {
    bytes: [u8; KEYS],
    /// The secret, ready for use.
    secret: hmac::Key,
}

impl Keys {
    fn of(bytes: [u8; KEYS]) -> Keys {
        Keys {
            bytes,
            secret: hmac::Key::new(hmac::HMAC_SHA256, &bytes[NAME..]),
        }
    }

    fn name(&self) -> &[u8] {
        &self.bytes[..NAME]
    }

    /// The key for one ticket of the context that `binding` stands for.
    fn key_of(&self, salt: &[u8], binding: &Binding) -> Option<LessSafeKey> {
        let mut context = hmac::Context::with_key(&self.secret);
        context.update(binding.bytes());
        context.update(salt);
        let key = UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).ok()?;
        Some(LessSafeKey::new(key))
    }
}

impl TicketKeys {
    /// Keys that nobody else knows, and that are changed from time to time.
    pub(crate) fn own() -> Result<Arc<TicketKeys>> {
        Ok(Arc::new(TicketKeys(Mutex::new(Current {
            keys: Keys::of(random().ok_or_else(no_randomness)?),
            previous: None,
            since: Some(Instant::now()),
        }))))
    }

    pub(crate) fn given(keys: &[u8]) -> Result<Arc<TicketKeys>> {
        Ok(Arc::new(TicketKeys(Mutex::new(Current {
            keys: Keys::of(checked(keys)?),
            previous: None,
            since: None,
        }))))
    }

    /// From now on these, and no others.
    pub(crate) fn set(&self, keys: &[u8]) -> Result<()> {
        let keys = Keys::of(checked(keys)?);
        *self.lock() = Current {
            keys,
            previous: None,
            since: None,
        };
        Ok(())
    }

    /// Whoever asks may give them to others, so they stay from now on.
    pub(crate) fn get(&self) -> [u8; KEYS] {
        let mut current = self.lock();
        current.since = None;
        current.keys.bytes
    }

    /// What seals, at the time `now`.
    fn sealing(&self, now: Instant, lifetime: Duration) -> Keys {
        let mut current = self.lock();
        let is_old = |since| now.saturating_duration_since(since) > ROLL.max(lifetime);
        if current.since.is_some_and(is_old) {
            if let Some(keys) = random() {
                let old = std::mem::replace(&mut current.keys, Keys::of(keys));
                current.previous = Some(old);
                current.since = Some(now);
            }
        }
        current.keys.clone()
    }

    /// What opens a ticket that names `name`.
    fn opening(&self, name: &[u8]) -> Option<Keys> {
        let current = self.lock();
        let mut known = current.previous.iter().chain([&current.keys]);
        known.find(|keys| keys.name() == name).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Those of one server, and not only some of the same value.
impl PartialEq for TicketKeys {
    fn eq(&self, other: &TicketKeys) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for TicketKeys {}

/// Shows no key.
impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketKeys")
    }
}

struct Opened {
    made: [u8; STAMP],
    /// As rustls has it, too, until it seals the session again, which is at once, or comes to the next one.
    identity: Option<Vec<u8>>,
}

/// Shows no secret.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened")
    }
}

/// Makes and opens the tickets of one context of one server.
#[derive(Debug)]
pub(crate) struct Ticketer {
    keys: Arc<TicketKeys>,
    binding: Binding,
    lifetime: Duration,
    /// When the session that was opened last was made, and which one that is, if that can be told: if it is taken up it is
    /// sealed again at once.
    opened: Mutex<Option<Opened>>,
}

impl Ticketer {
    pub(crate) fn new(keys: &Arc<TicketKeys>, binding: Binding, lifetime: Duration) -> Ticketer {
        Ticketer {
            keys: Arc::clone(keys),
            binding,
            lifetime,
            opened: Mutex::default(),
        }
    }

    /// When the session `plain` was made.
    fn stamp_of(&self, plain: &[u8]) -> [u8; STAMP] {
        let opened = self.opened().take();
        let same = opened.filter(|opened| opened.identity.as_deref() == identity(plain));
        same.map_or_else(|| now().to_be_bytes(), |opened| opened.made)
    }

    fn opened(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same for the same session, whenever it is used and whatever else is agreed on then: its name, its cipher suite and
/// its secret. `None`: that is not where rustls writes it.
fn identity(plain: &[u8]) -> Option<&[u8]> {
    let (has_name, mut rest) = plain.split_first()?;
    if *has_name == 1 {
        (_, rest) = counted(rest)?;
    }
    // The version and the cipher suite.
    let (_, rest) = counted(rest.get(4..)?)?;
    plain.get(..plain.len() - rest.len())
}

/// As many bytes as the first one says, and what follows them.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*count))
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime.as_secs().max(1) as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys.sealing(Instant::now(), self.lifetime);
        let salt: [u8; SALT] = random()?;
        let key = keys.key_of(&salt, &self.binding)?;
        let mut ticket = Vec::with_capacity(NAME + SALT + STAMP + plain.len() + 16);
        ticket.extend_from_slice(keys.name());
        ticket.extend_from_slice(&salt);
        ticket.extend_from_slice(&self.stamp_of(plain));
        ticket.extend_from_slice(plain);
        let (_, sealed) = ticket.split_at_mut(NAME + SALT);
        let tag = key
            .seal_in_place_separate_tag(only_nonce(), Aad::empty(), sealed)
            .ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (salt, sealed) = rest.split_at_checked(SALT)?;
        let keys = self.keys.opening(name)?;
        let key = keys.key_of(salt, &self.binding)?;
        let mut sealed = sealed.to_vec();
        let opened = key
            .open_in_place(only_nonce(), Aad::empty(), &mut sealed)
            .ok()?;
        let (made, plain) = opened.split_at_checked(STAMP)?;
        if !is_fresh(made, self.lifetime) {
            return None;
        }
        *self.opened() = Some(Opened {
            made: made.try_into().ok()?,
            identity: identity(plain).map(<[u8]>::to_vec),
        });
        Some(plain.to_vec())
    }
}

/// A key seals one ticket only.
fn only_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

fn checked(keys: &[u8]) -> Result<[u8; KEYS]> {
    keys.try_into().map_err(|_| {
        let message = format!(
            "The property 'options.ticketKeys' must be exactly {KEYS} bytes, not {}",
            keys.len()
        );
        Error::new(Code::InvalidArgValue, message)
    })
}

fn no_randomness() -> Error {
    Error::new(Code::TlsInvalidContext, "the system gives no random bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::binding::Parts;

    fn ticketer(keys: &Arc<TicketKeys>, context: &str) -> Ticketer {
        let binding = Binding::of(Parts::of(context));
        Ticketer::new(keys, binding, Duration::from_secs(300))
    }

    #[test]
    fn tickets_open_with_their_keys_for_their_context_and_whole() {
        let keys = TicketKeys::given(&[7; 48]).unwrap();
        let own = ticketer(&keys, "a");
        let ticket = own.encrypt(b"a session").unwrap();
        assert_eq!(own.decrypt(&ticket).unwrap(), b"a session");
        assert_ne!(ticket, own.encrypt(b"a session").unwrap());
        assert!(!ticket.windows(9).any(|part| part == b"a session"));
        assert_eq!(ticketer(&keys, "b").decrypt(&ticket), None);
        let mut other = [7; 48];
        other[47] = 8;
        let other = TicketKeys::given(&other).unwrap();
        assert_eq!(ticketer(&other, "a").decrypt(&ticket), None);
        let same = TicketKeys::given(&[7; 48]).unwrap();
        assert!(ticketer(&same, "a").decrypt(&ticket).is_some());
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(own.decrypt(&changed), None, "{at}");
            assert_eq!(own.decrypt(&ticket[..at]), None, "{at}");
        }
        let longer = [&ticket[..], &[0]].concat();
        assert_eq!(own.decrypt(&longer), None);
    }

    #[test]
    fn keys_have_48_bytes_and_are_replaced_at_once() {
        for wrong in [0, 16, 47, 49] {
            let error = TicketKeys::given(&vec![0; wrong]).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgValue);
        }
        let keys = TicketKeys::own().unwrap();
        let own = ticketer(&keys, "a");
        let ticket = own.encrypt(b"a session").unwrap();
        assert!(keys.set(&[1; 47]).is_err());
        assert!(own.decrypt(&ticket).is_some());
        keys.set(&[1; 48]).unwrap();
        assert_eq!(own.decrypt(&ticket), None);
        assert_eq!(keys.get(), [1; 48]);
        assert_eq!(format!("{keys:?}"), "TicketKeys");
    }

    #[test]
    fn keys_of_our_own_change_and_the_last_ones_still_open() {
        let (keys, lifetime) = (TicketKeys::own().unwrap(), Duration::from_secs(300));
        let own = ticketer(&keys, "a");
        let ticket = own.encrypt(b"a session").unwrap();
        let first = keys.sealing(Instant::now(), lifetime);
        let later = Instant::now() + ROLL + Duration::from_secs(1);
        let second = keys.sealing(later, lifetime);
        assert!(first.bytes != second.bytes && own.decrypt(&ticket).is_some());
        let again = keys.sealing(later, lifetime);
        assert!(again.bytes == second.bytes, "once an hour");
        keys.sealing(later + ROLL + Duration::from_secs(1), lifetime);
        assert_eq!(own.decrypt(&ticket), None);
        // Those that others may have stay.
        let shared = keys.get();
        let far = later + ROLL * 10;
        assert!(keys.sealing(far, lifetime).bytes == shared);
    }

    #[test]
    fn a_ticket_is_good_for_its_time() {
        let keys = TicketKeys::given(&[7; 48]).unwrap();
        let mut own = ticketer(&keys, "a");
        let ticket = own.encrypt(b"a session").unwrap();
        own.lifetime = Duration::ZERO;
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(own.decrypt(&ticket), None);
    }
}
