//! What all threads count together.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::Arc;

/// Complaints that are printed; beyond that they are counted.
const PRINTED: u64 = 20;

#[derive(Default)]
pub struct Tally {
    /// No more connections are to be begun.
    pub stopping: AtomicBool,
    /// The clients are gone, and the servers may go.
    pub closing: AtomicBool,
    /// Clients that exist: their state, not only their sockets.
    pub live: Count,
    pub served_live: Count,
    pub served: Count,
    pub begun: Count,
    /// Connections that did all they were to do, and those that met the fault they were to meet.
    pub complete: Count,
    pub faults: Count,
    /// Dialled again later, because the system had no room for it.
    pub busy: Count,
    pub unexpected: Count,
    /// Of the connections without a fault, as counted by the clients and by the servers.
    pub sent: Count,
    pub received: Count,
    pub served_in: Count,
    pub served_out: Count,
    /// Closures that the loop of the clients, and that of the servers, holds for connections.
    pub client_closures: Arc<Count>,
    pub server_closures: Arc<Count>,
    /// Sockets looked at for what their loop owes them, and those that were owed something at that moment.
    pub looks: Count,
    pub due: Count,
}

impl Tally {
    /// Something that should not be.
    pub fn unexpected(&self, what: &str) {
        if self.unexpected.add(1) < PRINTED {
            println!("UNEXPECTED: {what}");
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub fn closures(&self) -> u64 {
        self.client_closures.get() + self.server_closures.get()
    }
}

/// What a closure captures: there are as many as there are closures that were not dropped.
pub struct Held<T> {
    value: T,
    count: Arc<Count>,
}

impl<T> Held<T> {
    pub fn new(value: T, count: &Arc<Count>) -> Held<T> {
        count.add(1);
        let count = Arc::clone(count);
        Held { value, count }
    }
}

impl<T: Clone> Clone for Held<T> {
    fn clone(&self) -> Held<T> {
        Held::new(self.value.clone(), &self.count)
    }
}

impl<T> Drop for Held<T> {
    fn drop(&mut self) {
        self.count.remove_one();
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[derive(Default)]
pub struct Count(AtomicU64);

impl Count {
    /// What it was before.
    pub fn add(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::AcqRel)
    }

    pub fn remove_one(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
