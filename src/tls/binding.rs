//! What a session belongs to: a digest of the context, and of what was wished of it. Only where it is the same may a
//! session be taken up again.

use ring::digest::{Context, SHA256};

/// The same for the same keys, roots, ciphers, versions and wishes, in every process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Binding([u8; 32]);

impl Binding {
    pub(crate) fn of(parts: Parts) -> Binding {
        let mut binding = Binding([0; 32]);
        binding.0.copy_from_slice(parts.0.finish().as_ref());
        binding
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Collects what is bound. Each part is told from what follows it.
pub(crate) struct Parts(Context);

impl Parts {
    /// `purpose` keeps apart what is of different kinds.
    pub(crate) fn of(purpose: &str) -> Parts {
        Parts(Context::new(&SHA256)).add(purpose.as_bytes())
    }

    pub(crate) fn add(mut self, part: &[u8]) -> Parts {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
        self
    }

    pub(crate) fn add_all<'a>(
        self,
        count: usize,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Parts {
        let begun = self.add(&(count as u64).to_be_bytes());
        parts.into_iter().fold(begun, Parts::add)
    }
}
