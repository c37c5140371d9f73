//! Tickets: sessions that a server hands to its clients to keep, sealed with a key that only servers have.
//!
//! A ticket is, one behind the other:
//!
//! | bytes | what |
//! |---|---|
//! | 16 | the name of its secret |
//! | 16 | a salt |
//! | 12 | a nonce |
//! | any | the session, as rustls writes it, and 8 bytes: when it was made; encrypted |
//! | 16 | the tag |
//!
//! Name and secret, of 32 bytes, are what `ticket_keys` are: whoever has them opens it. The key is HMAC-SHA256 of the
//! binding (see there) and the salt under the secret, and what it is for is AES-256-GCM. So a ticket opens only for the context
//! it was made for. Salt and nonce are random. A server keeps a salt for a million tickets and then takes another, so one
//! secret serves any number of them, in any number of processes, and a key is not made anew for each ticket.
//!
//! It opens only for a time. Taking a session of TLS 1.2 up makes no new secret: its ticket is sealed again, but with the
//! time it has, or it would live for ever.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use ring::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_256_GCM, NONCE_LEN};
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
const TAG: usize = 16;
/// What of a ticket is not encrypted.
const CLEAR: usize = NAME + SALT + NONCE_LEN;

/// So many tickets a key seals. Of so few nonces no two are the same: the odds are one to 2^57.
const MOST_SEALED: u32 = 1 << 20;

/// So many keys that have opened tickets are kept ready: of the other processes of a server, and of the salts before.
const MOST_READY: usize = 8;

/// For how long keys are in use that nobody but this process knows, if tickets do not live longer.
const ROLL: Duration = Duration::from_secs(60 * 60);

/// No ticket of TLS 1.3 may be said to live longer: seven days.
pub(crate) const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The keys of a server, which may be changed while it runs.
pub(crate) struct TicketKeys(Mutex<Current>);

struct Current {
    keys: Arc<Keys>,
    /// What keys of our own were before: what they have sealed may still be opened.
    previous: Option<Arc<Keys>>,
    /// Since when keys of our own are in use; those that were given stay.
    since: Option<Instant>,
}

struct Keys {
    bytes: [u8; KEYS],
    /// The secret, ready for use.
    secret: hmac::Key,
}

impl Keys {
    fn of(bytes: [u8; KEYS]) -> Arc<Keys> {
        Arc::new(Keys {
            bytes,
            secret: hmac::Key::new(hmac::HMAC_SHA256, &bytes[NAME..]),
        })
    }

    fn name(&self) -> &[u8] {
        &self.bytes[..NAME]
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
    fn sealing(&self, now: Instant, lifetime: Duration) -> Arc<Keys> {
        let mut current = self.lock();
        let is_old = |since| now.saturating_duration_since(since) > ROLL.max(lifetime);
        if current.since.is_some_and(is_old) {
            if let Some(keys) = random() {
                let old = std::mem::replace(&mut current.keys, Keys::of(keys));
                current.previous = Some(old);
                current.since = Some(now);
            }
        }
        Arc::clone(&current.keys)
    }

    /// What opens a ticket that names `name`.
    fn opening(&self, name: &[u8]) -> Option<Arc<Keys>> {
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

/// The key for tickets of one context that have the same salt.
struct SaltedKey {
    /// The secret it is made of, which may be in use no longer.
    of: Weak<Keys>,
    salt: [u8; SALT],
    key: LessSafeKey,
}

impl SaltedKey {
    fn new(keys: &Arc<Keys>, salt: [u8; SALT], binding: &Binding) -> Option<SaltedKey> {
        let mut context = hmac::Context::with_key(&keys.secret);
        context.update(binding.bytes());
        context.update(&salt);
        let key = UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).ok()?;
        Some(SaltedKey {
            of: Arc::downgrade(keys),
            salt,
            key: LessSafeKey::new(key),
        })
    }

    /// Whether it is made of `keys`, and not only of some with the same name.
    fn is_of(&self, keys: &Arc<Keys>) -> bool {
        std::ptr::eq(self.of.as_ptr(), Arc::as_ptr(keys))
    }

    fn open<'a>(&self, nonce: &[u8], sealed: &'a mut [u8]) -> Option<&'a mut [u8]> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        self.key.open_in_place(nonce, Aad::empty(), sealed).ok()
    }
}

/// Keys that are ready for use.
#[derive(Default)]
struct Ready {
    /// What seals, and how many tickets it has sealed.
    sealing: Option<(SaltedKey, u32)>,
    /// What has opened tickets, the oldest first.
    opening: Vec<SaltedKey>,
}

impl Ready {
    /// What seals the next ticket, which is counted.
    fn for_sealing(&mut self, keys: &Arc<Keys>, binding: &Binding) -> Option<&SaltedKey> {
        let (key, sealed) = match self.sealing.take() {
            Some((key, sealed)) if key.is_of(keys) && sealed < MOST_SEALED => (key, sealed),
            other => {
                let new = SaltedKey::new(keys, random()?, binding)?;
                if let Some((old, _)) = other {
                    self.keep(old);
                }
                (new, 0)
            }
        };
        let (key, _) = self.sealing.insert((key, sealed + 1));
        Some(key)
    }

    fn for_opening(&self, keys: &Arc<Keys>, salt: &[u8]) -> Option<&SaltedKey> {
        let sealing = self.sealing.iter().map(|(key, _)| key);
        let mut all = sealing.chain(&self.opening);
        all.find(|key| key.salt == salt && key.is_of(keys))
    }

    /// Of those that are too many the oldest goes; and with a secret goes all that was made of it.
    fn keep(&mut self, key: SaltedKey) {
        self.opening.push(key);
        self.opening.retain(|key| key.of.strong_count() > 0);
        if self.opening.len() > MOST_READY {
            self.opening.remove(0);
        }
    }
}

struct Opened {
    made: [u8; STAMP],
    /// As rustls has it, too, until it seals the session again, which is at once, or comes to the next one.
    identity: Option<Vec<u8>>,
}

/// What a context remembers from ticket to ticket.
#[derive(Default)]
struct Memory {
    ready: Ready,
    /// When the session that was opened last was made, and which one that is, if that can be told: if it is taken up it is
    /// sealed again at once.
    opened: Option<Opened>,
}

impl Memory {
    /// When the session `plain` was made.
    fn stamp_of(&mut self, plain: &[u8]) -> [u8; STAMP] {
        let opened = self.opened.take();
        let same = opened.filter(|opened| opened.identity.as_deref() == identity(plain));
        same.map_or_else(|| now().to_be_bytes(), |opened| opened.made)
    }
}

/// Makes and opens the tickets of one context of one server.
pub(crate) struct Ticketer {
    keys: Arc<TicketKeys>,
    binding: Binding,
    lifetime: Duration,
    memory: Mutex<Memory>,
}

impl Ticketer {
    pub(crate) fn new(keys: &Arc<TicketKeys>, binding: Binding, lifetime: Duration) -> Ticketer {
        Ticketer {
            keys: Arc::clone(keys),
            binding,
            lifetime,
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `sealed`, without what is in clear, has in it; that is all of its head.
    fn open(
        &self,
        keys: &Arc<Keys>,
        salt: &[u8],
        nonce: &[u8],
        sealed: &mut [u8],
    ) -> Option<usize> {
        let ready = &mut self.memory().ready;
        if let Some(key) = ready.for_opening(keys, salt) {
            return Some(key.open(nonce, sealed)?.len());
        }
        let key = SaltedKey::new(keys, salt.try_into().ok()?, &self.binding)?;
        let length = key.open(nonce, sealed)?.len();
        // Only now: what anybody may make up puts nothing out of its place.
        ready.keep(key);
        Some(length)
    }
}

/// Shows no secret.
impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticketer")
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
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut memory = self.memory();
        let made = memory.stamp_of(plain);
        let salted = memory.ready.for_sealing(&keys, &self.binding)?;
        let mut ticket = Vec::with_capacity(CLEAR + plain.len() + STAMP + TAG);
        ticket.extend_from_slice(keys.name());
        ticket.extend_from_slice(&salted.salt);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        ticket.extend_from_slice(&made);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = salted
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut ticket[CLEAR..])
            .ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (salt, rest) = rest.split_at_checked(SALT)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let keys = self.keys.opening(name)?;
        let mut plain = sealed.to_vec();
        let length = self
            .open(&keys, salt, nonce, &mut plain)?
            .checked_sub(STAMP)?;
        let made: [u8; STAMP] = plain[length..][..STAMP].try_into().ok()?;
        if !is_fresh(&made, self.lifetime) {
            return None;
        }
        plain.truncate(length);
        self.memory().opened = Some(Opened {
            made,
            identity: identity(&plain).map(<[u8]>::to_vec),
        });
        Some(plain)
    }
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
mod tests;
