//! Names without a network: resolvers of the test's own, and addresses of this machine that refuse.
#![allow(dead_code)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{mpsc, Arc, Condvar, Mutex};

use tidewheel::net::{ConnectOptions, Family, LookupReply, Server};
use tidewheel::{EventLoop, LoopHandle};

use crate::common::{run_on, Form, Transport, World};
use crate::place::{bound, Nobody};

/// Runs a scenario in both forms over TCP, where alone there are names, with a resolver in place of the system's.
#[track_caller]
pub fn each_form_resolving(
    resolver: impl Fn(&str, Option<Family>) -> io::Result<Vec<IpAddr>> + Clone + Send + Sync + 'static,
    scenario: impl Fn(&World),
) {
    for form in [Form::Closures, Form::Handler] {
        let builder = EventLoop::builder().resolver(resolver.clone());
        run_on(builder, form, Transport::Tcp, &scenario);
    }
}

/// For scenarios in which nothing may be looked up.
pub fn no_resolver(name: &str, _: Option<Family>) -> io::Result<Vec<IpAddr>> {
    panic!("{name} is looked up")
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

pub fn port_of(server: &Server) -> u16 {
    server.address().unwrap().port().unwrap()
}

/// A resolver that answers with the same addresses at once.
pub fn at_once(addresses: &[&str]) -> impl Fn(&LoopHandle, &str, LookupReply) + 'static {
    let addresses = ips(addresses);
    move |_, _, reply| reply.found(addresses.clone())
}

/// To connect to `port` at these addresses of a name.
pub fn named(port: u16, addresses: &[&str]) -> ConnectOptions {
    ConnectOptions::from(("a.name", port)).lookup(at_once(addresses))
}

/// The addresses 127.0.0.1 to 127.0.0.N with one port, at which nobody listens: as long as this lives they refuse.
pub struct Refusing {
    pub port: u16,
    _first: Nobody,
    _others: Vec<OwnedFd>,
}

impl Refusing {
    pub fn new(world: &World, count: u8) -> Refusing {
        // The port may be taken at one of the others.
        loop {
            let first = Nobody::new(world);
            let port = first.address.port().unwrap();
            let others: io::Result<Vec<OwnedFd>> = (2..=count).map(|last| at(last, port)).collect();
            if let Ok(others) = others {
                return Refusing {
                    port,
                    _first: first,
                    _others: others,
                };
            }
        }
    }
}

fn at(last: u8, port: u16) -> io::Result<OwnedFd> {
    bound(SocketAddr::from((Ipv4Addr::new(127, 0, 0, last), port)))
}

/// A resolver whose look-ups hang until they are let go of, each one telling that it has begun.
#[derive(Clone)]
pub struct Gate {
    open: Arc<(Mutex<bool>, Condvar)>,
    begun: Sender<String>,
}

impl Gate {
    pub fn new() -> (Gate, Receiver<String>) {
        let (begun, names) = mpsc::channel();
        let gate = Gate {
            open: Arc::default(),
            begun,
        };
        (gate, names)
    }

    /// Waits for the gate, then answers 127.0.0.1.
    pub fn pass(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let _ = self.begun.send(name.to_string());
        let (open, opened) = &*self.open;
        let open = open.lock().unwrap();
        drop(opened.wait_while(open, |open| !*open).unwrap());
        Ok(ips(&["127.0.0.1"]))
    }

    pub fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

/// Opens the gate also when the scenario panics, so that no thread is left behind.
pub struct Opened(pub Gate);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open();
    }
}
