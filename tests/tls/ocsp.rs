//! OCSP responses that go along with certificates.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{self, EventKind, Server, Socket};
use tidewheel::tls::{ContextOptions, OcspReply, SecureContext};
use tidewheel::{Code, Error};

use crate::common::Script;
use crate::panicking::run_through;
use crate::scene::{each_scene, Scene};

const FINE: &str = "connect ready secure end finish close(false)";

/// A server for one connection that says goodbye at once.
fn serve(scene: &Scene<'_>, answer: impl FnMut(&Server, OcspReply) + 'static) -> Server {
    let server = scene.serve_one(scene.server_options(), || Script::new("S"));
    server.on_secure_connection(|socket| {
        socket.end();
    });
    let mut answer = answer;
    server.on_ocsp_request(move |server, _, _, reply| answer(server, reply));
    server
}

/// A client called `name` that asks, and notes under `E` what it hears.
fn connect(scene: &Scene<'_>, server: &Server, name: &str) -> Socket {
    let options = scene.client_options(server).servername("localhost");
    let client = scene.client_with(options.request_ocsp(true), Script::new(name));
    let note = scene.noter();
    client.on_ocsp_response(move |socket, response| {
        let info = socket.tls().unwrap();
        assert!(!info.is_secure() && info.peer_certificate().is_some());
        let response = response.map(String::from_utf8_lossy);
        note(&format!("E:{}", response.as_deref().unwrap_or("none")));
    });
    let note = scene.noter();
    client.on_secure_connect(move |_| note("E:secure"));
    client
}

#[test]
fn a_server_answers_now_or_later_and_the_client_hears_before_it_is_secure() {
    let answers: [(fn(&Server, OcspReply), &str); 4] = [
        (|_, reply| reply.staple(b"good"), "good"),
        (|_, reply| reply.none(), "none"),
        (|_, _dropped| {}, "none"),
        (
            |server, reply| {
                let later = move |_: &_| reply.staple(b"late");
                server
                    .event_loop()
                    .set_timeout(Duration::from_millis(1), later);
            },
            "late",
        ),
    ];
    each_scene(|scene| {
        for (case, (answer, heard)) in answers.into_iter().enumerate() {
            let name = format!("C{case}");
            let server = serve(scene, answer);
            connect(scene, &server, &name);
            scene.run();
            scene.assert_trace(&name, FINE);
            let events = scene.events("E");
            assert_eq!(&events[2 * case..], [heard, "secure"]);
        }
    });
}

#[test]
fn what_the_program_is_asked() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options().ca(scene.ca.pem()), || {
            Script::new("S")
        });
        server.on_secure_connection(|socket| {
            socket.end();
        });
        let own = ContextOptions::default().key(&scene.own.key);
        let own = SecureContext::new(own.cert(&scene.own.cert)).unwrap();
        let own = own.certificate().unwrap().raw().to_vec();
        let issuer = scene.ca.der();
        let asking = server.clone();
        server.once_ocsp_request(move |server, certificate, by, reply| {
            assert!(*server == asking && certificate == own && by == Some(&issuer[..]));
            reply.none();
        });
        // Several may have something to say.
        server.on_ocsp_request(|_, _, _, reply| reply.staple(b"first"));
        server.on_ocsp_request(|_, _, _, reply| reply.staple(b"second"));
        let client = connect(scene, &server, "C");
        let note = scene.noter();
        client.once_ocsp_response(move |_, _| note("E:once"));
        scene.run();
        scene.assert_trace("C", FINE);
        assert_eq!(scene.events("E"), ["first", "once", "secure"]);
    });
}

#[test]
fn a_known_response_and_who_did_not_ask() {
    each_scene(|scene| {
        for asks in [true, false] {
            let options = scene.server_options().ocsp_response(b"known");
            let server = scene.serve_one(options, || {
                Script::new("S").on(EventKind::SecureConnect, |socket, _| {
                    socket.end();
                })
            });
            let options = scene.client_options(&server).request_ocsp(asks);
            let name = format!("C{asks}");
            let client = scene.client_with(options.servername("localhost"), Script::new(&name));
            let note = scene.noter();
            client.on_ocsp_response(move |_, response| {
                assert_eq!(response, Some(&b"known"[..]));
                note("E:known");
            });
            scene.run();
            scene.assert_trace(&name, FINE);
            assert_eq!(scene.events("E"), ["known"], "only the first one hears");
        }
    });
}

#[test]
fn either_side_can_end_it_there() {
    each_scene(|scene| {
        let server = serve(scene, |_, reply| reply.staple(b"bad"));
        server.on_tls_client_error(|_, _, _| {});
        let client = connect(scene, &server, "C");
        client.on_ocsp_response(|socket, _| socket.destroy());
        scene.run();
        scene.assert_trace("C", "connect ready close(false)");
        assert_eq!(scene.events("E"), ["bad"]);
        let server = serve(scene, |_, reply| {
            reply.error(Error::new(Code::Custom, "the issuer is away"));
        });
        let note = scene.noter();
        server.on_tls_client_error(move |_, error, _| note(&format!("V:{}", error.code())));
        connect(scene, &server, "D");
        scene.run();
        assert_eq!(scene.events("V"), ["ERR_CUSTOM"]);
        let alert = "ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR";
        scene.assert_trace("D", &format!("connect ready error({alert}) close(true)"));
    });
}

#[test]
fn an_answer_that_nobody_waits_for_does_no_harm() {
    each_scene(|scene| {
        let kept: Rc<RefCell<Option<OcspReply>>> = Rc::default();
        let options = scene.server_options();
        let options = options.handshake_timeout(Duration::from_millis(400));
        let server = scene.serve_one(options, || Script::new("S"));
        let keep = Rc::clone(&kept);
        server.on_ocsp_request(move |_, _, _, reply| {
            *keep.borrow_mut() = Some(reply);
        });
        let note = scene.noter();
        server.on_tls_client_error(move |_, error, _| {
            note(&format!("V:{}", error.code()));
            kept.take().unwrap().staple(b"too late");
        });
        connect(scene, &server, "C");
        scene.run();
        assert_eq!(scene.events("V"), ["ERR_TLS_HANDSHAKE_TIMEOUT"]);
        assert_eq!(scene.events("E"), [""; 0]);
        scene.assert_trace("S", "close(true)");
    });
}

#[test]
fn over_a_socket_that_goes_over_to_tls() {
    each_scene(|scene| {
        let (one, other) = net::pair(&scene.event_loop).unwrap();
        scene.watch(&one, Script::new("S"));
        scene.watch(&other, Script::new("C"));
        let options = scene.server_options().ocsp_response(b"known");
        let begun = one.start_tls(options, &[], |socket| {
            socket.end();
        });
        begun.unwrap();
        let options = tidewheel::tls::TlsConnectOptions::default();
        let options = options.host("localhost").ca(scene.ca.pem());
        let note = scene.noter();
        other.once_ocsp_response(move |_, response| {
            assert_eq!(response, Some(&b"known"[..]));
            note("E:known");
        });
        other
            .start_tls(options.request_ocsp(true), &[], |_| {})
            .unwrap();
        scene.run();
        assert_eq!(scene.events("E"), ["known"]);
        scene.assert_trace("C", "secure end finish close(false)");
    });
}

#[test]
fn a_panic_over_it_answers_nothing_and_changes_nothing_that_follows() {
    each_scene(|scene| {
        let server = serve(scene, |_, reply| {
            let _dropped_unanswered = reply;
            resume_unwind(Box::new("boom"));
        });
        let client = connect(scene, &server, "C");
        client.on_ocsp_response(|_, _| resume_unwind(Box::new("boom")));
        assert_eq!(run_through(&scene.event_loop), 2);
        scene.assert_trace("C", FINE);
        assert_eq!(scene.events("E"), ["none", "secure"]);
    });
}
