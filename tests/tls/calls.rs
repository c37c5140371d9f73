//! No call calls back under TLS either: what a call lets go of is dropped by the loop in its next turn, and listeners
//! and what the program is asked come when no call is under way.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;

use tidewheel::net::{self, EventKind, Socket};
use tidewheel::tls::{
    self, ContextOptions, SecureContext, SniReply, TlsConnectOptions, TlsOptions, TlsVersion,
};
use tidewheel::Error;

use crate::common::EventLoop;
use crate::scene::{over_tcp, Scene, VERSIONS};

/// Whether a call is under way, and how many values of the user's there are.
#[derive(Clone, Debug, Default)]
struct Watch {
    in_call: Arc<AtomicBool>,
    alive: Arc<AtomicUsize>,
}

/// A value of the user's: neither may a closure that holds it be called during a call, nor its destructor.
#[derive(Debug)]
struct Loud(Watch);

impl Loud {
    fn hear(&self) {
        assert!(!self.0.in_call.load(Ordering::Relaxed), "called back");
    }
}

impl Drop for Loud {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.hear();
        }
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Display for Loud {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("loud")
    }
}

impl std::error::Error for Loud {}

impl Watch {
    fn loud(&self) -> Loud {
        self.alive.fetch_add(1, Ordering::Relaxed);
        Loud(self.clone())
    }

    fn alive(&self) -> usize {
        self.alive.load(Ordering::Relaxed)
    }

    /// Makes a call, during which nothing of the user's may run.
    fn call<R>(&self, call: impl FnOnce() -> R) -> R {
        self.in_call.store(true, Ordering::Relaxed);
        let result = call();
        self.in_call.store(false, Ordering::Relaxed);
        result
    }

    /// One call that lets go of `count` values, which are gone after the next turn.
    #[track_caller]
    fn assert_released(&self, event_loop: &EventLoop, count: usize, call: impl FnOnce()) {
        let before = self.alive();
        self.call(call);
        assert!(self.alive() >= before, "dropped inside the call");
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(before - self.alive(), count);
    }
}

/// Server options with three values in their closures.
fn loud_server(options: TlsOptions, watch: &Watch) -> TlsOptions {
    let (asked, logged) = (watch.loud(), watch.loud());
    options
        .sni_callback(move |_, _, _| asked.hear())
        .key_log(move |_, _| logged.hear())
}

fn loud_client(options: TlsConnectOptions, watch: &Watch) -> TlsConnectOptions {
    let (asked, logged) = (watch.loud(), watch.loud());
    options
        .check_server_identity(move |host, certificate| {
            asked.hear();
            tls::check_server_identity(host, certificate)
        })
        .key_log(move |_, _| logged.hear())
}

#[test]
fn what_a_call_refuses_or_removes_is_dropped_in_the_next_turn() {
    over_tcp(TlsVersion::V1_3, |scene| {
        let (event_loop, watch) = (&scene.event_loop, Watch::default());
        let released = |count, call: &mut dyn FnMut()| {
            watch.assert_released(event_loop, count, call);
        };
        let mut wrong = Some(loud_server(scene.server_options().ciphers("RC4"), &watch));
        let mut listener = Some(watch.loud());
        released(3, &mut || {
            let (options, heard) = (wrong.take().unwrap(), listener.take().unwrap());
            tls::create_server(event_loop, options, move |_| heard.hear()).unwrap_err();
        });
        let (socket, other) = net::pair(event_loop).unwrap();
        let mut wrong = Some(loud_client(
            TlsConnectOptions::default().ciphers("RC4"),
            &watch,
        ));
        let mut listener = Some(watch.loud());
        released(3, &mut || {
            let (options, heard) = (wrong.take().unwrap(), listener.take().unwrap());
            let begun = socket.start_tls(options, &[], move |_| heard.hear());
            begun.unwrap_err();
        });
        // That which counts no more: the listener of `keylog` stays.
        let mut options = Some(loud_client(TlsConnectOptions::from(1), &watch));
        released(0, &mut || {
            let options = options.take().unwrap();
            socket.start_tls(options, &[], |_| {}).unwrap();
        });
        released(1, &mut || {
            socket.remove_all_listeners(EventKind::KeyLog);
        });
        let heard = watch.loud();
        socket.on_secure_connect(move |_| heard.hear());
        released(1, &mut || {
            socket.remove_all_listeners(EventKind::SecureConnect);
        });
        // The opinion goes with the socket.
        released(1, &mut || socket.destroy());
        other.destroy();
        scene.run();
        assert_eq!(watch.alive(), 0);
    });
}

/// How a program answers to a name.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    Context,
    Default,
    Fail,
    Forget,
}

/// A conversation in which every call is watched.
fn converse(scene: &Scene<'_>, watch: &Watch, answer: Answer) {
    let context = ContextOptions::default()
        .key(&scene.own.key)
        .cert(&scene.own.cert);
    let context = SecureContext::new(context).unwrap();
    let replies: Rc<RefCell<Vec<SniReply>>> = Rc::default();
    let later = Rc::clone(&replies);
    let heard = watch.loud();
    let options = scene.server_options().sni_callback(move |_, _, reply| {
        heard.hear();
        later.borrow_mut().push(reply);
    });
    let server = scene.listen(options);
    let (own, heard) = (watch.clone(), watch.loud());
    server.on_secure_connection(move |socket| {
        heard.hear();
        own.call(|| socket.pipe(socket));
    });
    let heard = watch.loud();
    server.on_tls_client_error(move |_, _, _| heard.hear());
    let (own, error, with) = (watch.clone(), watch.loud(), context.clone());
    let mut error = Some(error);
    server.on_connection(move |socket| {
        own.call(|| socket.server().unwrap().close());
        let (own, replies, with) = (own.clone(), Rc::clone(&replies), with.clone());
        let mut error = error.take();
        let timer = socket.event_loop().set_interval(Duration::from_millis(1), {
            move |timer| {
                let Some(reply) = replies.borrow_mut().pop() else {
                    return;
                };
                let failure = Error::other(error.take().unwrap());
                own.call(|| match answer {
                    Answer::Context => reply.use_context(&with),
                    Answer::Default => reply.use_default(),
                    Answer::Fail => reply.fail(failure.clone()),
                    Answer::Forget => drop(reply),
                });
                timer.clear();
            }
        });
        timer.ref_();
    });
    watch.call(|| server.add_context("a.example", &context).unwrap());
    watch.call(|| server.set_secure_context(&context).unwrap());
    let options = scene.client_options(&server).servername("localhost");
    let options = loud_client(options, watch);
    let heard = watch.loud();
    let client = watch.call(|| tls::connect(&scene.event_loop, options, move |_| heard.hear()));
    watch.call(|| client.write("early"));
    let own = watch.clone();
    let hear = |watch: &Watch| {
        let heard = watch.loud();
        move |_: &Socket| heard.hear()
    };
    client.on_end(hear(watch)).on_finish(hear(watch));
    client.on_secure_connect(hear(watch)).on_drain(hear(watch));
    let heard = watch.loud();
    client.on_data(move |socket, _| {
        heard.hear();
        own.call(|| socket.write(vec![1; 200_000]));
        own.call(|| socket.end());
        own.call(|| socket.pause());
        own.call(|| socket.resume());
        own.call(|| socket.remove_all_listeners(EventKind::Data));
        own.call(|| socket.tls().unwrap().peer_certificates());
    });
    let heard = watch.loud();
    client.on_error(move |_, _| heard.hear());
}

#[test]
fn no_call_of_a_conversation_calls_back() {
    for version in VERSIONS {
        for answer in [
            Answer::Context,
            Answer::Default,
            Answer::Fail,
            Answer::Forget,
        ] {
            over_tcp(version, |scene| {
                let watch = Watch::default();
                converse(scene, &watch, answer);
                scene.run();
                scene.event_loop.turn(Some(Duration::ZERO)).unwrap();
                assert_eq!(watch.alive(), 0);
            });
        }
    }
}
