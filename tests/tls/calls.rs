//! No call calls back under TLS either: what a call lets go of is dropped by the loop in its next turn, and listeners
//! and what the program is asked come when no call is under way.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{self, EventKind, Server, Socket};
use tidewheel::tls::{
    self, ContextOptions, NewSessionReply, OcspReply, ResumeReply, SecureContext, Session,
    SniReply, TlsConnectOptions, TlsOptions, TlsVersion,
};
use tidewheel::Error;

use crate::loud::Watch;
use crate::scene::{over_tcp, Scene, VERSIONS};

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

/// How a program answers about sessions, and about OCSP.
#[derive(Clone, Copy, PartialEq)]
enum About {
    Found,
    NotFound,
    Failure,
    Forget,
    Late,
}

enum Reply {
    Kept(NewSessionReply),
    Found(ResumeReply, Vec<u8>),
}

/// The replies that wait.
type Replies = Rc<RefCell<Vec<Reply>>>;

/// A server whose program keeps sessions and answers later.
fn keep_later(scene: &Scene<'_>, watch: &Watch, replies: &Replies) -> Server {
    let server = scene.listen(scene.server_options());
    server.unref();
    let (heard, later) = (watch.loud(), Rc::clone(replies));
    let store: Rc<RefCell<Vec<u8>>> = Rc::default();
    let kept = Rc::clone(&store);
    watch.call(|| {
        server.on_new_session(move |_, _, data, reply| {
            heard.hear();
            *kept.borrow_mut() = data.to_vec();
            later.borrow_mut().push(Reply::Kept(reply));
        });
    });
    let (heard, later) = (watch.loud(), Rc::clone(replies));
    watch.call(|| {
        server.on_resume_session(move |_, _, reply| {
            heard.hear();
            let data = store.borrow().clone();
            later.borrow_mut().push(Reply::Found(reply, data));
        });
    });
    server
}

fn answer(watch: &Watch, about: About, reply: Reply) {
    let failure = Error::other(watch.loud());
    watch.call(|| match (reply, about) {
        (Reply::Kept(reply), About::Forget) => drop(reply),
        (Reply::Kept(reply), _) => reply.done(),
        (Reply::Found(reply, data), About::Found) => reply.found(&data),
        (Reply::Found(reply, _), About::NotFound) => reply.not_found(),
        (Reply::Found(reply, _), About::Forget) => drop(reply),
        (Reply::Found(reply, _), _) => reply.error(failure.clone()),
    });
}

/// A connection, and one that would take up its session; every call is watched.
fn converse_again(scene: &Scene<'_>, watch: &Watch, about: About) {
    let replies = Replies::default();
    let server = keep_later(scene, watch, &replies);
    let (own, waiting) = (watch.clone(), Rc::clone(&replies));
    let accepted: Rc<RefCell<Option<Socket>>> = Rc::default();
    let newest = Rc::clone(&accepted);
    server.on_connection(move |socket| drop(newest.borrow_mut().replace(socket.clone())));
    let ticker = scene
        .event_loop
        .set_interval(Duration::from_millis(1), move |_| {
            let late = |reply: &Reply| about == About::Late && matches!(reply, Reply::Found(..));
            let now: Vec<_> = {
                let mut waiting = waiting.borrow_mut();
                let (late, now) = waiting.drain(..).partition(late);
                *waiting = late;
                if !waiting.is_empty() {
                    // It is gone before it is answered.
                    accepted.borrow().as_ref().unwrap().destroy();
                }
                now
            };
            for reply in now {
                answer(&own, about, reply);
            }
        });
    ticker.unref();
    let session: Rc<RefCell<Option<Session>>> = Rc::default();
    for _ in 0..2 {
        let mut options = scene.client_options(&server);
        if let Some(session) = session.borrow().as_ref() {
            options = options.session(session);
        }
        let heard = watch.loud();
        let client = watch.call(|| tls::connect(&scene.event_loop, options, move |_| heard.hear()));
        let (heard, keep) = (watch.loud(), Rc::clone(&session));
        client.on_session(move |socket, session| {
            heard.hear();
            keep.borrow_mut().replace(session.clone());
            socket.end();
        });
        client.on_error(|_, _| {});
        client.on_secure_connect(|socket| {
            if socket.tls().unwrap().is_session_reused() {
                socket.end();
            }
        });
        scene.run();
    }
    // Of one who is gone: the error goes with the trash of the next turn.
    let replies = replies.take();
    assert_eq!(replies.len(), usize::from(about == About::Late));
    for reply in replies {
        let failure = Error::other(watch.loud());
        watch.call(|| match reply {
            Reply::Found(reply, _) => reply.error(failure),
            Reply::Kept(reply) => reply.done(),
        });
    }
    ticker.clear();
    watch.call(|| server.set_ticket_keys(&[1; 48]).unwrap());
    watch.call(|| server.close());
}

/// Watches a conversation with each way to answer.
fn each_answer(converse: fn(&Scene<'_>, &Watch, About)) {
    for version in VERSIONS {
        for about in [
            About::Found,
            About::NotFound,
            About::Failure,
            About::Forget,
            About::Late,
        ] {
            over_tcp(version, |scene| {
                let watch = Watch::default();
                converse(scene, &watch, about);
                scene.run();
                scene.event_loop.turn(Some(Duration::ZERO)).unwrap();
                assert_eq!(watch.alive(), 0);
            });
        }
    }
}

#[test]
fn no_call_about_sessions_calls_back() {
    each_answer(converse_again);
}

/// A client that asks for an OCSP response, and a server that answers later, in a call that is watched.
fn converse_about_ocsp(scene: &Scene<'_>, watch: &Watch, about: About) {
    let server = scene.listen(scene.server_options());
    let replies: Rc<RefCell<Vec<OcspReply>>> = Rc::default();
    let (later, heard) = (Rc::clone(&replies), watch.loud());
    server.on_ocsp_request(move |_, _, _, reply| {
        heard.hear();
        later.borrow_mut().push(reply);
    });
    let heard = watch.loud();
    server.on_tls_client_error(move |_, _, _| heard.hear());
    server.on_secure_connection(|socket| {
        socket.end();
    });
    let (own, mut error) = (watch.clone(), Some(watch.loud()));
    server.on_connection(move |socket| {
        socket.server().unwrap().close();
        let (own, replies, socket) = (own.clone(), Rc::clone(&replies), socket.clone());
        let mut error = error.take();
        socket
            .event_loop()
            .clone()
            .set_interval(Duration::from_millis(1), {
                move |timer| {
                    let Some(reply) = replies.borrow_mut().pop() else {
                        return;
                    };
                    let failure = Error::other(error.take().unwrap());
                    own.call(|| match about {
                        About::Found => reply.staple(b"good"),
                        About::NotFound => reply.none(),
                        About::Failure => reply.error(failure.clone()),
                        About::Forget => drop(reply),
                        About::Late => {
                            socket.destroy();
                            reply.error(failure.clone());
                        }
                    });
                    timer.clear();
                }
            });
    });
    let options = scene.client_options(&server).servername("localhost");
    let options = options.request_ocsp(true);
    let heard = watch.loud();
    let client = watch.call(|| tls::connect(&scene.event_loop, options, move |_| heard.hear()));
    let (heard, own) = (watch.loud(), watch.clone());
    client.on_ocsp_response(move |socket, _| {
        heard.hear();
        own.call(|| socket.remove_all_listeners(EventKind::OcspResponse));
    });
    let heard = watch.loud();
    client.on_error(move |_, _| heard.hear());
    client.resume();
}

#[test]
fn no_call_about_ocsp_calls_back() {
    each_answer(converse_about_ocsp);
}
