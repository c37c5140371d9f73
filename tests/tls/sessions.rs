//! Sessions that are taken up again, over real sockets.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{self, EventKind, Server};
use tidewheel::tls::{
    self, ContextOptions, NewSessionReply, ResumeReply, SecureContext, Session, TlsConnectOptions,
    TlsOptions, TlsVersion,
};
use tidewheel::{Code, Error};

use crate::child::{command_as, role};
use crate::common::{EventLoop, Script};
use crate::scene::{each_scene, over_tcp, Scene, VERSIONS};

/// A listening echo that the loop does not wait for.
fn echo(scene: &Scene<'_>, options: TlsOptions) -> Server {
    let server = scene.listen(options);
    serve(&server);
    server
}

fn serve(server: &Server) {
    server.on_secure_connection(|socket| {
        socket.pipe(socket);
    });
    server.unref();
}

/// What a client has seen, in order, and its sessions.
#[derive(Default)]
struct Visit {
    reused: bool,
    events: Vec<String>,
    sessions: Vec<Session>,
}

impl Visit {
    fn session(&self) -> &Session {
        self.sessions.last().expect("the server sends some")
    }
}

/// Says a word, hears it again, and goes.
fn visit(event_loop: &EventLoop, options: TlsConnectOptions, session: Option<&Session>) -> Visit {
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
    fn visit(&self, server: &Server, session: Option<&Session>) -> Visit {
        visit(&self.event_loop, self.client_options(server), session)
    }

    /// Whether a second connection takes up the session of a first one.
    fn resumes(&self, server: &Server) -> bool {
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

type Store = Rc<RefCell<HashMap<Vec<u8>, Vec<u8>>>>;

/// How the program answers.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Answer {
    Now,
    Later,
    Dropped,
    NotFound,
    Garbage,
    Failure,
}

fn after_a_while(server: &Server, call: impl FnOnce() + 'static) {
    let handle = server.event_loop().clone();
    handle.set_timeout(Duration::from_millis(3), move |_| call());
}

/// A server whose program keeps its sessions, and notes the ids it was told and asked.
fn keep(scene: &Scene<'_>, server: &Server, store: &Store, answer: Answer) {
    let (sessions, note) = (Rc::clone(store), scene.noter());
    server.on_new_session(move |server, id, data, reply: NewSessionReply| {
        note(&format!("new:{id:?}"));
        sessions.borrow_mut().insert(id.to_vec(), data.to_vec());
        match answer {
            Answer::Later => after_a_while(server, move || reply.done()),
            Answer::Dropped => {}
            _ => reply.done(),
        }
    });
    let (sessions, note) = (Rc::clone(store), scene.noter());
    server.on_resume_session(move |server, id, reply: ResumeReply| {
        note(&format!("resume:{id:?}"));
        let data = sessions.borrow().get(id).cloned().unwrap_or_default();
        match answer {
            Answer::Now => reply.found(&data),
            Answer::Later => after_a_while(server, move || reply.found(&data)),
            Answer::Dropped => {}
            Answer::NotFound => reply.not_found(),
            Answer::Garbage => reply.found(&data[..data.len() - 1]),
            Answer::Failure => reply.error(Error::new(Code::TlsInvalidState, "no store")),
        }
    });
}

#[test]
fn the_programs_own_store_answers_now_later_or_not() {
    for answer in [
        Answer::Now,
        Answer::Later,
        Answer::Dropped,
        Answer::NotFound,
        Answer::Garbage,
        Answer::Failure,
    ] {
        each_scene(|scene| {
            let server = echo(scene, scene.server_options());
            let store = Store::default();
            keep(scene, &server, &store, answer);
            let note = scene.noter();
            server.on_tls_client_error(move |_, error, _| note(&format!("E:{}", error.code())));
            let first = scene.visit(&server, None);
            let made = scene.events("new").len();
            assert_eq!(made, 1 + usize::from(scene.version == TlsVersion::V1_3));
            assert!(scene.events("resume").is_empty(), "nothing to take up");
            let second = scene.visit(&server, Some(first.session()));
            let asked = scene.events("resume");
            assert_eq!(asked.len(), 1);
            assert!(
                scene.events("new").contains(&asked[0]),
                "one of those it was told"
            );
            let found = matches!(answer, Answer::Now | Answer::Later);
            assert_eq!(second.reused, found, "{answer:?}");
            let failed = answer == Answer::Failure;
            assert_eq!(second.events.contains(&"data".to_owned()), !failed);
            let error = if failed { "ERR_TLS_INVALID_STATE" } else { "" };
            server.close();
            scene.run();
            scene.assert_trace("E", error);
        });
    }
}

#[test]
fn one_session_of_tls_1_2_serves_five_connections() {
    over_tcp(TlsVersion::V1_2, |scene| {
        let server = echo(scene, scene.server_options());
        keep(scene, &server, &Store::default(), Answer::Now);
        let first = scene.visit(&server, None);
        for _ in 0..5 {
            assert!(scene.visit(&server, Some(first.session())).reused);
        }
        let (told, asked) = (scene.events("new"), scene.events("resume"));
        assert_eq!((told.len(), asked.len()), (1, 5));
        assert!(asked.iter().all(|id| *id == told[0]));
        server.close();
        scene.run();
    });
}

#[test]
fn nobody_speaks_before_the_session_is_kept() {
    each_scene(|scene| {
        let server = echo(scene, scene.server_options());
        let note = scene.noter();
        server.on_new_session(move |server, _, _, reply| {
            note("S:new");
            let note = note.clone();
            after_a_while(server, move || {
                note("S:done");
                reply.done();
            });
        });
        let note = scene.noter();
        server.on_secure_connection(move |_| note("S:secure"));
        scene.visit(&server, None);
        server.close();
        scene.run();
        let expected = match scene.version {
            TlsVersion::V1_2 => "new done secure",
            _ => "new new done done secure",
        };
        scene.assert_trace("S", expected);
    });
}

#[test]
fn an_answer_for_one_who_is_gone_is_harmless() {
    each_scene(|scene| {
        for late in [false, true] {
            let options = scene
                .server_options()
                .handshake_timeout(Duration::from_millis(20));
            let server = echo(scene, options);
            let store = Store::default();
            let sessions = Rc::clone(&store);
            server.on_new_session(move |_, id, data, reply| {
                sessions.borrow_mut().insert(id.to_vec(), data.to_vec());
                reply.done();
            });
            let first = scene.visit(&server, None);
            let replies: Rc<RefCell<Vec<ResumeReply>>> = Rc::default();
            let waiting = Rc::clone(&replies);
            server.on_resume_session(move |_, _, reply| waiting.borrow_mut().push(reply));
            let note = scene.noter();
            server.on_tls_client_error(move |_, error, _| note(&format!("E:{}", error.code())));
            let second = scene.visit(&server, Some(first.session()));
            assert_eq!(second.events, ["ECONNRESET"]);
            let data = store.take().into_values().next().unwrap();
            for reply in replies.take() {
                match late {
                    true => reply.found(&data),
                    false => reply.error(Error::new(Code::TlsInvalidState, "late")),
                }
            }
            server.close();
            scene.run();
        }
        scene.assert_trace("E", "ERR_TLS_HANDSHAKE_TIMEOUT ERR_TLS_HANDSHAKE_TIMEOUT");
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
fn the_programs_context_is_chosen_first_and_then_its_session() {
    each_scene(|scene| {
        let context = ContextOptions::default()
            .key(&scene.own.key)
            .cert(&scene.own.cert);
        let context = SecureContext::new(context).unwrap();
        let note = scene.noter();
        let options = scene
            .server_options()
            .sni_callback(move |socket, _, reply| {
                note("S:name");
                let (handle, context) = (socket.event_loop().clone(), context.clone());
                handle.set_timeout(Duration::from_millis(2), move |_| {
                    reply.use_context(&context)
                });
            });
        let server = echo(scene, options);
        keep(scene, &server, &Store::default(), Answer::Later);
        let note = scene.noter();
        server.on_resume_session(move |_, _, _| note("S:session"));
        let named = || scene.client_options(&server).servername("localhost");
        let first = visit(&scene.event_loop, named(), None);
        let second = visit(&scene.event_loop, named(), Some(first.session()));
        assert!(second.reused);
        server.close();
        scene.run();
        scene.assert_trace("S", "name name session");
    });
}

#[test]
fn several_listeners_keep_and_find() {
    each_scene(|scene| {
        let server = echo(scene, scene.server_options());
        let store = Store::default();
        server.on_resume_session(|_, _, reply| reply.not_found());
        keep(scene, &server, &store, Answer::Later);
        server.on_resume_session(|_, _, _| {});
        let note = scene.noter();
        server.once_new_session(move |_, _, _, reply| {
            note("once:new");
            reply.done();
        });
        let note = scene.noter();
        server.once_resume_session(move |_, _, _| note("once:resume"));
        assert!(scene.resumes(&server), "the one that has it decides");
        assert!(scene.resumes(&server));
        server.remove_all_listeners(EventKind::NewSession);
        server.remove_all_listeners(EventKind::ResumeSession);
        let before = store.borrow().len();
        let visit = scene.visit(&server, None);
        let again = scene.visit(&server, visit.sessions.last());
        assert!(!again.reused && store.borrow().len() == before);
        server.close();
        scene.run();
        scene.assert_trace("once", "new resume");
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

/// A server in a process of its own, with a store of files that others share.
fn files(server: &Server, directory: &Path) {
    let file = |directory: &Path, id: &[u8]| {
        let name: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        directory.join(name)
    };
    let place = directory.to_owned();
    server.on_new_session(move |_, id, data, reply| {
        std::fs::write(file(&place, id), data).unwrap();
        reply.done();
    });
    let place = directory.to_owned();
    server.on_resume_session(move |_, id, reply| match std::fs::read(file(&place, id)) {
        Ok(data) => reply.found(&data),
        Err(_) => reply.not_found(),
    });
}

/// The part of the other process: its port to standard output, and then it serves until its input ends.
fn other_process(directory: &Path) {
    let event_loop = EventLoop::new().unwrap();
    for kept in [true, false] {
        let options = TlsOptions::default()
            .key(directory.join("key.pem"))
            .cert(directory.join("cert.pem"))
            .ticket_keys([2; 48]);
        let server = tls::create_server(&event_loop, options, |_| {}).unwrap();
        server.listen(("127.0.0.1", 0), |_| {}).unwrap();
        serve(&server);
        server.ref_();
        if kept {
            files(&server, directory);
        }
        println!("port {}", server.address().unwrap().port().unwrap());
    }
    let remote = event_loop.remote();
    std::thread::spawn(move || {
        let _ = std::io::stdin().lines().count();
        remote.post(|handle| handle.stop()).unwrap();
    });
    event_loop.run().unwrap();
}

/// The ports of the other process: of the server with the store, and of the one with tickets.
fn ports(child: &mut Child) -> [u16; 2] {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    [(); 2].map(|()| {
        // The harness of the tests prints, too.
        let mut said = lines.by_ref().filter_map(|line| {
            let line = line.unwrap();
            line.split_once("port ")?.1.parse().ok()
        });
        said.next().unwrap()
    })
}

#[test]
fn two_processes_take_up_each_others_sessions() {
    let test = "sessions::two_processes_take_up_each_others_sessions";
    if let Some(directory) = role(test) {
        return other_process(Path::new(&directory));
    }
    for version in VERSIONS {
        over_tcp(version, |scene| {
            let directory = scene.path("store");
            std::fs::create_dir(&directory).unwrap();
            std::fs::write(directory.join("key.pem"), &scene.own.key).unwrap();
            std::fs::write(directory.join("cert.pem"), &scene.own.cert).unwrap();
            let mut child = command_as(test, directory.to_str().unwrap())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            for (kept, port) in [true, false].into_iter().zip(ports(&mut child)) {
                let server = echo(scene, scene.server_options().ticket_keys([2; 48]));
                if kept {
                    files(&server, &directory);
                }
                let there = |session: Option<&Session>| {
                    let options = TlsConnectOptions::from(("127.0.0.1", port))
                        .ca(scene.ca.pem())
                        .min_version(version)
                        .max_version(version);
                    visit(&scene.event_loop, options, session)
                };
                let first = scene.visit(&server, None);
                assert!(there(Some(first.session())).reused, "{version} {kept}");
                let first = there(None);
                let second = scene.visit(&server, Some(first.session()));
                assert!(second.reused, "{version} {kept}");
                server.close();
            }
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success());
            drop(child);
            scene.run();
        });
    }
}
