//! A server whose sessions are in a store of the program's, which others may share.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{EventKind, Server, Socket};
use tidewheel::tls::{
    self, ContextOptions, NewSessionReply, ResumeReply, SecureContext, Session, TlsConnectOptions,
    TlsOptions, TlsVersion,
};
use tidewheel::{Code, Error};

use crate::child::{command_as, role};
use crate::common::EventLoop;
use crate::scene::{each_scene, over_tcp, Scene, VERSIONS};
use crate::sessions::{echo, serve, visit};

pub type Store = Rc<RefCell<HashMap<Vec<u8>, Vec<u8>>>>;

/// How the program answers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Answer {
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
pub fn keep(scene: &Scene<'_>, server: &Server, store: &Store, answer: Answer) {
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
            let generous = echo(scene, scene.server_options());
            let store = Store::default();
            let sessions = Rc::clone(&store);
            generous.on_new_session(move |_, id, data, reply| {
                sessions.borrow_mut().insert(id.to_vec(), data.to_vec());
                reply.done();
            });
            let first = scene.visit(&generous, None);
            generous.close();
            let options = scene
                .server_options()
                .handshake_timeout(Duration::from_millis(50));
            let server = echo(scene, options);
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
    let test = "session_stores::two_processes_take_up_each_others_sessions";
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

#[test]
fn a_server_that_never_says_that_it_has_kept_a_session_waits_for_its_time_only() {
    each_scene(|scene| {
        for leaves in [false, true] {
            let options = scene
                .server_options()
                .handshake_timeout(Duration::from_millis(60));
            let server = echo(scene, options);
            let replies: Rc<RefCell<Vec<NewSessionReply>>> = Rc::default();
            let waiting = Rc::clone(&replies);
            let visitor: Rc<RefCell<Option<Socket>>> = Rc::default();
            let leaving = Rc::clone(&visitor);
            server.on_new_session(move |_, _, _, reply| {
                waiting.borrow_mut().push(reply);
                if let Some(visitor) = leaving.take().filter(|_| leaves) {
                    visitor.write("a word");
                    visitor.reset_and_destroy();
                }
            });
            let note = scene.noter();
            server.on_secure_connection(move |_| note("E:secure"));
            let note = scene.noter();
            server.on_tls_client_error(move |_, error, _| note(&format!("E:{}", error.code())));
            let client = tls::connect(&scene.event_loop, scene.client_options(&server), |_| {});
            client.on_error(|_, _| {});
            client.resume();
            visitor.replace(Some(client));
            scene.run();
            server.close();
            scene.run();
            let turns = scene.event_loop.stats().turns;
            assert!(turns < 100, "{turns}: it does not wait, it turns");
            // Late, and to nobody.
            for reply in replies.take() {
                reply.done();
            }
            scene.run();
        }
        scene.assert_trace("E", "ERR_TLS_HANDSHAKE_TIMEOUT ERR_TLS_HANDSHAKE_TIMEOUT");
    });
}
