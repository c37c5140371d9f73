//! Sessions that are taken up again, over real sockets.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{self, Server};
use tidewheel::tls::{
    self, ContextOptions, SecureContext, Session, TlsConnectOptions, TlsOptions, TlsVersion,
};
use tidewheel::{Code, Error};

use crate::common::{EventLoop, Script};
use crate::scene::{each_scene, over_tcp, Scene};
use crate::session_stores::{keep, Answer, Store};

/// A listening echo that the loop does not wait for.
pub fn echo(scene: &Scene<'_>, options: TlsOptions) -> Server {
    let server = scene.listen(options);
    serve(&server);
    server
}

pub fn serve(server: &Server) {
    server.on_secure_connection(|socket| {
        socket.pipe(socket);
    });
    server.unref();
}

/// What a client has seen, in order, and its sessions.
#[derive(Default)]
pub struct Visit {
    pub reused: bool,
    pub events: Vec<String>,
    pub sessions: Vec<Session>,
}

impl Visit {
    pub fn session(&self) -> &Session {
        self.sessions.last().expect("the server sends some")
    }
}

/// Says a word, hears it again, and goes.
pub fn visit(
    event_loop: &EventLoop,
    options: TlsConnectOptions,
    session: Option<&Session>,
) -> Visit {
    let options = match session {
        Some(session) => options.session(session),
        None => options,
    };
    let seen: Rc<RefCell<Visit>> = Rc::default();
    let client = tls::connect(event_loop, options, |_| {});
    let note = |seen: &Rc<RefCell<Visit>>, event: &str| {
        seen.borrow_mut().events.push(event.to_owned());
    };
    let to = Rc::clone(&seen);
    client.on_secure_connect(move |socket| {
        let info = socket.tls().unwrap();
        assert!(info.authorized() && info.peer_certificate().is_some());
        to.borrow_mut().reused = info.is_session_reused();
        note(&to, "secure");
        socket.write("hello");
    });
    let to = Rc::clone(&seen);
    client.on_session(move |socket, session| {
        assert!(socket.tls().unwrap().session().is_some());
        to.borrow_mut().sessions.push(session.clone());
        note(&to, "session");
    });
    let to = Rc::clone(&seen);
    client.on_data(move |socket, data| {
        assert_eq!(data, b"hello");
        note(&to, "data");
        socket.end();
    });
    let to = Rc::clone(&seen);
    client.on_error(move |_, error| note(&to, error.code().as_str()));
    event_loop.run().unwrap();
    seen.take()
}

impl Scene<'_> {
    pub fn visit(&self, server: &Server, session: Option<&Session>) -> Visit {
        visit(&self.event_loop, self.client_options(server), session)
    }

    /// Whether a second connection takes up the session of a first one.
    pub fn resumes(&self, server: &Server) -> bool {
        let first = self.visit(server, None);
        assert!(!first.reused);
        self.visit(server, Some(first.session())).reused
    }
}

#[test]
fn a_server_gives_tickets_and_takes_them_unless_told_otherwise() {
    each_scene(|scene| {
        let server = echo(scene, scene.server_options());
        let note = scene.noter();
        server.on_secure_connection(move |socket| {
            note(&format!("S:{}", socket.tls().unwrap().is_session_reused()));
            assert!(socket.tls().unwrap().session().is_none());
        });
        let first = scene.visit(&server, None);
        let events = first.events.join(" ");
        match scene.version {
            TlsVersion::V1_2 => assert_eq!(events, "secure session data"),
            _ => assert!(
                events.starts_with("secure") && first.sessions.len() == 2,
                "{events}"
            ),
        }
        assert!(!first.reused && !scene.visit(&server, None).reused);
        let shown = format!("{:?}", first.session());
        assert!(
            shown.starts_with("Session {") && shown.len() < 100,
            "{shown}"
        );
        let second = scene.visit(&server, Some(first.session()));
        assert!(second.reused, "{:?}", second.events);
        let third = scene.visit(&server, Some(first.session()));
        match scene.version {
            TlsVersion::V1_2 => {
                assert_eq!(second.events, ["secure", "data"], "it is the same session");
                assert!(third.reused);
            }
            _ => {
                assert_eq!(second.sessions.len(), 2);
                assert!(!third.reused, "one ticket is for one connection");
                assert!(scene.visit(&server, Some(second.session())).reused);
            }
        }
        server.close();
        scene.run();
        assert!(scene.trace("S").starts_with("false false true"));
    });
}

#[test]
fn a_server_that_ends_at_once_has_given_its_tickets() {
    each_scene(|scene| {
        let server = scene.listen(scene.server_options());
        server.on_secure_connection(|socket| socket.end_with("bye"));
        server.unref();
        let meet = |session: Option<Session>| {
            let mut options = scene.client_options(&server);
            if let Some(session) = &session {
                options = options.session(session);
            }
            let kept: Rc<RefCell<Option<Session>>> = Rc::default();
            let keep = Rc::clone(&kept);
            let client = scene.client_with(options, Script::new("C"));
            client.on_session(move |_, session| {
                keep.borrow_mut().replace(session.clone());
            });
            let reused = Rc::new(RefCell::new(false));
            let seen = Rc::clone(&reused);
            client.on_close(move |socket, _| {
                *seen.borrow_mut() = socket.tls().unwrap().is_session_reused();
            });
            scene.run();
            let reused = *reused.borrow();
            (kept.take(), reused)
        };
        let (session, _) = meet(None);
        assert!(session.is_some() && meet(session).1);
        server.close();
        scene.run();
        let each = "connect ready secure data(3) end finish close(false)";
        scene.assert_trace("C", &format!("{each} {each}"));
    });
}

#[test]
fn sessions_end_with_their_time() {
    each_scene(|scene| {
        for kept in [false, true] {
            let options = scene.server_options();
            let server = echo(scene, options.session_timeout(Duration::from_millis(30)));
            if kept {
                keep(scene, &server, &Store::default(), Answer::Now);
            }
            let first = scene.visit(&server, None);
            scene
                .event_loop
                .set_timeout(Duration::from_millis(32), |_| {});
            scene.run();
            assert!(!scene.visit(&server, Some(first.session())).reused);
            server.close();
            let options = scene.server_options().session_timeout(Duration::ZERO);
            let server = echo(scene, options);
            assert!(scene.visit(&server, None).sessions.is_empty());
            server.close();
            scene.run();
        }
    });
}

#[test]
fn two_servers_share_keys_and_change_them() {
    each_scene(|scene| {
        let options = scene.server_options().ticket_keys([5; 48]);
        let server = echo(scene, options.clone());
        let other_loop = EventLoop::new().unwrap();
        let other = tls::create_server(&other_loop, options, |_| {}).unwrap();
        other.listen(scene.listen_options(), |_| {}).unwrap();
        serve(&other);
        assert!(scene.resumes(&server));
        let session = scene.visit(&server, None).session().clone();
        let visit_other = |session: &Session| {
            let options = scene.client_options(&other);
            let client = tls::connect(&scene.event_loop, options.session(session), |socket| {
                let reused = socket.tls().unwrap().is_session_reused();
                socket.set_data(reused);
                socket.end();
            });
            let reused = Rc::new(RefCell::new(None));
            let told = Rc::clone(&reused);
            client.on_close(move |socket, _| {
                *told.borrow_mut() = socket.data::<bool>().map(|reused| *reused);
            });
            while reused.borrow().is_none() {
                scene
                    .event_loop
                    .turn(Some(Duration::from_millis(1)))
                    .unwrap();
                other_loop.turn(Some(Duration::from_millis(1))).unwrap();
            }
            let reused = reused.borrow_mut().take();
            reused.unwrap()
        };
        assert!(visit_other(&session), "the same keys");
        // Changed keys are in force at once, and those who get them too go on.
        let session = scene.visit(&server, None).session().clone();
        other.set_ticket_keys(&[6; 48]).unwrap();
        assert!(!visit_other(&session), "other keys");
        server
            .set_ticket_keys(&other.ticket_keys().unwrap())
            .unwrap();
        assert_eq!(server.ticket_keys(), Some([6; 48]));
        assert!(!scene.visit(&server, Some(&session)).reused, "old keys");
        let session = scene.visit(&server, None).session().clone();
        assert!(visit_other(&session));
        for server in [&server, &other] {
            server.close();
        }
        scene.run();
        other_loop.run().unwrap();
    });
}

#[test]
fn keys_of_tickets_have_48_bytes() {
    over_tcp(TlsVersion::V1_3, |scene| {
        for wrong in [0, 47, 49] {
            let options = scene.server_options().ticket_keys(vec![0; wrong]);
            let error = tls::create_server(&scene.event_loop, options, |_| {}).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgValue);
            assert!(error.to_string().contains("exactly 48 bytes"), "{error}");
        }
        let server = echo(scene, scene.server_options());
        assert!(server.set_ticket_keys(&[0; 47]).is_err());
        let own = server.ticket_keys().unwrap();
        assert_ne!(own, [0; 48]);
        assert!(scene.resumes(&server), "asking changes nothing");
        let plain = net::create_server(&scene.event_loop, |_| {});
        assert!(plain.ticket_keys().is_none() && plain.set_ticket_keys(&own).is_err());
        server.close();
        scene.run();
        assert!(server.ticket_keys().is_none() && server.set_ticket_keys(&own).is_err());
    });
}

#[test]
fn no_context_of_a_server_takes_up_sessions_of_another() {
    each_scene(|scene| {
        let second = scene.ca.issue(&["localhost", "127.0.0.1"]);
        let context = ContextOptions::default()
            .key(&second.key)
            .cert(&second.cert);
        let context = SecureContext::new(context).unwrap();
        let server = echo(scene, scene.server_options());
        let keys = server.ticket_keys();
        let old = scene.visit(&server, None).session().clone();
        server.set_secure_context(&context).unwrap();
        assert_eq!(server.ticket_keys(), keys);
        assert!(!scene.visit(&server, Some(&old)).reused);
        assert!(scene.resumes(&server), "sessions of the new one");
        // A context for a name, and the choice of the program, with tickets of their own.
        let named = |name: &str| scene.client_options(&server).servername(name);
        server.add_context("localhost", &context).unwrap();
        let first = visit(&scene.event_loop, named("localhost"), None);
        let second = visit(&scene.event_loop, named("localhost"), Some(first.session()));
        assert!(second.reused);
        let session = second.sessions.last().unwrap_or(first.session());
        let other = visit(&scene.event_loop, named("127.0.0.1"), Some(session));
        assert!(!other.reused, "it was for another name");
        server.close();
        scene.run();
    });
}

#[test]
fn an_own_opinion_is_asked_for_again_and_other_options_take_up_nothing() {
    each_scene(|scene| {
        let server = echo(scene, scene.server_options());
        let opinion = |good: bool| {
            let note = scene.noter();
            let options = scene.client_options(&server);
            options.check_server_identity(move |_, _| {
                note("C:asked");
                match good {
                    true => Ok(()),
                    false => Err(Error::new(Code::CertRejected, "no")),
                }
            })
        };
        let first = visit(&scene.event_loop, opinion(true), None);
        let second = visit(&scene.event_loop, opinion(true), Some(first.session()));
        assert!(second.reused);
        let third = visit(&scene.event_loop, opinion(false), Some(first.session()));
        assert_eq!(third.events, ["CERT_REJECTED"]);
        scene.assert_trace("C", "asked asked asked");
        assert!(
            !scene
                .visit(
                    &server,
                    Some(second.sessions.last().unwrap_or(first.session()))
                )
                .reused
        );
        server.close();
        scene.run();
    });
}

#[test]
fn sockets_that_go_over_to_tls_take_up_sessions_too() {
    each_scene(|scene| {
        let context = ContextOptions::default()
            .key(&scene.own.key)
            .cert(&scene.own.cert);
        let context = SecureContext::new(context).unwrap();
        let meet = |shared: bool, session: Option<Session>| {
            let (client, server) = net::pair(&scene.event_loop).unwrap();
            let options = match shared {
                true => TlsOptions::default().secure_context(&context),
                false => scene.server_options().ticket_keys([8; 48]),
            };
            let over = |socket: &net::Socket| {
                socket.pipe(socket);
            };
            server.start_tls(options, &[], over).unwrap();
            let mut options = TlsConnectOptions::default()
                .host("localhost")
                .ca(scene.ca.pem())
                .min_version(scene.version)
                .max_version(scene.version);
            if let Some(session) = &session {
                options = options.session(session);
            }
            let seen: Rc<RefCell<(bool, Option<Session>)>> = Rc::default();
            let told = Rc::clone(&seen);
            client
                .start_tls(options, &[], move |socket| {
                    told.borrow_mut().0 = socket.tls().unwrap().is_session_reused();
                    socket.write("hello");
                })
                .unwrap();
            let told = Rc::clone(&seen);
            client.on_session(move |_, session| {
                told.borrow_mut().1 = Some(session.clone());
            });
            client.on_data(|socket, _| socket.end());
            scene.run();
            seen.take()
        };
        for shared in [true, false] {
            let (reused, session) = meet(shared, None);
            assert!(!reused);
            assert!(meet(shared, session).0, "{shared}");
        }
    });
}

#[test]
fn a_session_inside_another_tls() {
    each_scene(|scene| {
        let keys = [9; 48];
        let options = scene.server_options().ticket_keys(keys);
        let inner = options.clone();
        let server = scene.listen(options);
        server.on_secure_connection(move |socket| {
            let inner = inner.clone();
            socket.once_data(move |socket, data| {
                let over = |socket: &net::Socket| {
                    socket.pipe(socket);
                };
                socket.write("go");
                socket.start_tls(inner, &data[2..], over).unwrap();
            });
        });
        server.unref();
        let meet = |session: Option<Session>| {
            let seen: Rc<RefCell<(bool, Option<Session>)>> = Rc::default();
            let outer = scene.client_options(&server);
            let mut options = outer.clone();
            if let Some(session) = &session {
                options = options.session(session);
            }
            let client = scene.client_with(outer, Script::new("C"));
            client.once_secure_connect(|socket| {
                socket.write("up");
            });
            let told = Rc::clone(&seen);
            client.once_data(move |socket, _| {
                let later = Rc::clone(&told);
                let over = move |socket: &net::Socket| {
                    later.borrow_mut().0 = socket.tls().unwrap().is_session_reused();
                    socket.write("hello");
                    socket.once_data(|socket, _| socket.end());
                };
                socket.start_tls(options, &[], over).unwrap();
                socket.on_session(move |_, session| {
                    told.borrow_mut().1 = Some(session.clone());
                });
            });
            scene.run();
            seen.take()
        };
        let (reused, session) = meet(None);
        assert!(!reused && session.is_some());
        assert!(meet(session).0);
        server.close();
        scene.run();
    });
}
