//! Handshakes that fail, and what each side is told; names, contexts, opinions.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::rc::Rc;
use std::time::Duration;

use tidewheel::net::{EventKind, Server};
use tidewheel::tls::{
    self, ContextOptions, SecureContext, TlsConnectOptions, TlsOptions, TlsVersion,
};
use tidewheel::{Code, Error};

use crate::certs::Authority;
use crate::common::Script;
use crate::scene::{each_scene, Scene};

/// Notes `tls_client_error` as an event of the server `V`.
fn note_errors(scene: &Scene<'_>, server: &Server) {
    let note = scene.noter();
    server.on_tls_client_error(move |server, error, socket| {
        assert!(socket.destroyed() && socket.server().as_ref() == Some(server));
        note(&format!("V:{}", error.code()));
    });
}

#[test]
fn a_server_that_is_not_trusted() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        note_errors(scene, &server);
        let client = scene.client_with(
            TlsConnectOptions::from(server.address().unwrap())
                .host("127.0.0.1")
                .min_version(scene.version)
                .max_version(scene.version),
            Script::new("C"),
        );
        client.write("never to be seen");
        scene.run();
        scene.assert_trace(
            "C",
            "connect ready error(UNABLE_TO_VERIFY_LEAF_SIGNATURE) close(true)",
        );
        assert_eq!(scene.trace("V"), "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA");
        scene.assert_trace("S", "close(true)");
    });
}

#[test]
fn let_in_all_the_same() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        let options = TlsConnectOptions::from(server.address().unwrap())
            .servername("elsewhere.example")
            .reject_unauthorized(false);
        scene.client_with(
            options,
            Script::new("C").on(EventKind::SecureConnect, |socket, _| {
                let info = socket.tls().unwrap();
                assert!(!info.authorized());
                let error = info.authorization_error().unwrap();
                assert_eq!(error.code(), Code::CertLeafUnverified);
                let certificate = info.peer_certificate().unwrap();
                assert!(certificate
                    .alt_names()
                    .iter()
                    .any(|name| name.to_string() == "DNS:localhost"));
                assert_eq!(certificate.fingerprint256().len(), 95);
                socket.end();
            }),
        );
        scene.run();
        scene.assert_trace("C", "connect ready secure finish end close(false)");
    });
}

#[test]
fn client_certificates_of_four_kinds() {
    each_scene(|scene| {
        let good = scene.ca.issue_client("visitor");
        let foreign = Authority::new("other").issue_client("stranger");
        for (visitor, reject, told) in [
            (Some(&good), true, "secure"),
            (None, true, "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"),
            (Some(&foreign), true, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"),
            (Some(&foreign), false, "secure"),
            (None, false, "secure"),
        ] {
            let options = scene.server_options().ca(scene.ca.pem()).request_cert(true);
            let server = scene.listen(options.reject_unauthorized(reject));
            let note = scene.noter();
            let fine = reject && told == "secure";
            server.on_secure_connection(move |socket| {
                let info = socket.tls().unwrap();
                assert_eq!(info.authorized(), fine);
                assert_eq!(info.authorization_error().is_none(), fine);
                note("V:secure");
                socket.end();
                socket.server().unwrap().close();
            });
            let note = scene.noter();
            server.on_tls_client_error(move |server, error, _| {
                note(&format!("V:{}", error.code()));
                server.close();
            });
            let mut options = scene.client_options(&server);
            if let Some(visitor) = visitor {
                options = options.key(&visitor.key).cert(&visitor.cert);
            }
            let client = tls::connect(&scene.event_loop, options, |_| {});
            client.on_error(|_, error| assert!(error.to_string().contains("reports"), "{error}"));
            client.resume();
            scene.run();
            assert_eq!(scene.events("V").pop().as_deref(), Some(told));
        }
    });
}

#[test]
fn junk_silence_and_leaving_are_told_once_each() {
    each_scene(|scene| {
        let options = scene
            .server_options()
            .handshake_timeout(Duration::from_millis(400));
        let server = scene.listen(options);
        let left = Cell::new(4);
        let note = scene.noter();
        server.on_tls_client_error(move |server, error, _| {
            note(&format!("V:{}", error.code()));
            left.set(left.get() - 1);
            if left.get() == 0 {
                server.close();
            }
        });
        server.on_secure_connection(|_| unreachable!());
        let mut junk = scene.peer(&server);
        junk.send(b"GET / HTTP/1.1\r\n\r\n");
        let silent = scene.peer(&server);
        let mut half = scene.peer(&server);
        half.send(b"\x16\x03\x01\x02\x00\x01");
        let gone = scene.peer(&server);
        drop(gone);
        scene.run();
        let mut told = scene.events("V");
        told.sort();
        let timeout = "ERR_TLS_HANDSHAKE_TIMEOUT";
        assert_eq!(
            told,
            [
                "ECONNRESET",
                "ERR_SSL_WRONG_VERSION_NUMBER",
                timeout,
                timeout
            ]
        );
        drop((silent, half, junk));
    });
}

#[test]
fn a_server_that_does_not_speak_tls() {
    each_scene(|scene| {
        let server = scene.world.serve_one(|| {
            Script::new("S")
                .on_data(|socket, _| socket.end_with("HTTP/1.0 400 Bad Request\r\n\r\n"))
        });
        scene.client(&server, Script::new("C"));
        scene.run();
        scene.assert_trace(
            "C",
            "connect ready error(ERR_SSL_WRONG_VERSION_NUMBER) close(true)",
        );
    });
}

#[test]
fn a_server_that_leaves_in_the_handshake() {
    each_scene(|scene| {
        let server = scene
            .world
            .serve_one(|| Script::new("S").on_data(|socket, _| socket.end()));
        scene.client(&server, Script::new("C"));
        scene.run();
        scene.assert_trace("C", "connect ready error(ECONNRESET) close(true)");
    });
}

#[test]
fn destroyed_at_once_it_is_silent() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        note_errors(scene, &server);
        let client = scene.client(
            &server,
            Script::new("C").on(EventKind::Connect, |socket, _| socket.destroy()),
        );
        assert!(!client.tls().unwrap().is_secure());
        scene.run();
        scene.assert_trace("C", "connect close(false)");
        assert_eq!(scene.trace("V"), "ECONNRESET");
    });
}

#[test]
fn wrong_options_are_refused_when_given_or_told_by_error() {
    each_scene(|scene| {
        let handle = &scene.event_loop;
        let refuse = |options: TlsOptions| {
            tls::create_server(handle, options, |_| {})
                .unwrap_err()
                .code()
                .as_str()
        };
        assert_eq!(refuse(TlsOptions::default()), "ERR_INVALID_ARG_VALUE");
        assert_eq!(
            refuse(scene.server_options().ciphers("RC4")),
            "ERR_SSL_NO_CIPHER_MATCH"
        );
        assert_eq!(
            refuse(scene.server_options().secure_protocol("SSLv3_method")),
            "ERR_TLS_INVALID_PROTOCOL_METHOD"
        );
        let both = scene
            .server_options()
            .secure_protocol("TLS_method")
            .min_version(TlsVersion::V1_2);
        assert_eq!(refuse(both), "ERR_TLS_PROTOCOL_VERSION_CONFLICT");
        assert_eq!(
            refuse(scene.server_options().alpn_protocols([""])),
            "ERR_INVALID_ARG_VALUE"
        );
        assert_eq!(
            refuse(scene.server_options().ca("junk")),
            "ERR_OSSL_ASN1_ENCODING"
        );
        let empty = SecureContext::new(ContextOptions::default()).unwrap();
        assert_eq!(
            refuse(scene.server_options().add_context("a", &empty)),
            "ERR_TLS_INVALID_CONTEXT"
        );
        let client = tls::connect(
            handle,
            TlsConnectOptions::from(1).ciphers("RC4"),
            |_| unreachable!(),
        );
        scene.watch(&client, Script::new("C"));
        let client = tls::connect(
            handle,
            TlsConnectOptions::from(1).servername("no name"),
            |_| unreachable!(),
        );
        scene.watch(&client, Script::new("D"));
        scene.run();
        scene.assert_trace("C", "error(ERR_SSL_NO_CIPHER_MATCH) close(true)");
        scene.assert_trace("D", "error(ERR_INVALID_ARG_VALUE) close(true)");
    });
}

#[test]
fn contexts_by_name_chosen_now_later_or_not() {
    each_scene(|scene| {
        let context = |name: &str| {
            let own = scene.ca.issue(&[name]);
            SecureContext::new(ContextOptions::default().key(&own.key).cert(&own.cert)).unwrap()
        };
        let later = context("later.example");
        let options = scene
            .server_options()
            .add_context("*.example", &context("*.example."))
            .sni_callback(move |socket, name, reply| match name {
                "later.example" => {
                    let context = later.clone();
                    socket
                        .event_loop()
                        .set_timeout(Duration::from_millis(5), move |_| {
                            reply.use_context(&context)
                        });
                }
                "never.example" => {
                    reply.fail(Error::new(Code::TlsInvalidContext, "Invalid SNI context"))
                }
                "dropped" => drop(reply),
                _ => reply.use_default(),
            });
        let server = scene.listen(options);
        note_errors(scene, &server);
        server
            .add_context("a.example", &context("a.example"))
            .unwrap();
        let left = Cell::new(4);
        let count = move |server: &Server| {
            left.set(left.get() - 1);
            if left.get() == 0 {
                server.close();
            }
        };
        let count = Rc::new(count);
        let counted = Rc::clone(&count);
        server.on_secure_connection(move |socket| {
            socket.resume();
            counted(&socket.server().unwrap());
        });
        server.on_tls_client_error(move |server, _, _| count(server));
        for name in ["localhost", "a.example", "later.example", "never.example"] {
            let options = scene.client_options(&server).servername(name);
            scene.client_with(
                options,
                Script::new(name).on(EventKind::SecureConnect, |socket, _| socket.end()),
            );
        }
        scene.run();
        for name in ["localhost", "a.example", "later.example"] {
            scene.assert_trace(name, "connect ready secure finish end close(false)");
        }
        scene.assert_trace(
            "never.example",
            "connect ready error(ERR_SSL_TLSV1_UNRECOGNIZED_NAME) close(true)",
        );
        assert_eq!(scene.trace("V"), "ERR_TLS_INVALID_CONTEXT");
    });
}

#[test]
fn an_opinion_of_the_programs_own() {
    each_scene(|scene| {
        for (good, trace) in [
            (true, "connect ready secure finish end close(false)"),
            (false, "connect ready error(CERT_REJECTED) close(true)"),
        ] {
            let server = scene.serve_one(scene.server_options(), || Script::new("S"));
            server.on_tls_client_error(|_, _, _| {});
            let asked = Rc::new(RefCell::new(Vec::new()));
            let hosts = Rc::clone(&asked);
            let options = scene
                .client_options(&server)
                .servername("other.example")
                .check_server_identity(move |host, certificate| {
                    hosts.borrow_mut().push(host.to_owned());
                    assert!(tls::check_server_identity(host, certificate).is_err());
                    assert!(tls::check_server_identity("localhost", certificate).is_ok());
                    if good {
                        Ok(())
                    } else {
                        Err(Error::new(Code::CertRejected, "not pinned"))
                    }
                });
            let name = if good { "good" } else { "bad" };
            let secure = Script::new(name).on(EventKind::SecureConnect, |socket, _| socket.end());
            scene.client_with(options, secure);
            scene.run();
            scene.assert_trace(name, trace);
            assert_eq!(asked.take(), ["other.example"]);
        }
    });
}

#[test]
fn alpn_key_log_and_exported_keys() {
    each_scene(|scene| {
        let lines = Rc::new(RefCell::new([0, 0]));
        let count = |at: usize| {
            let lines = Rc::clone(&lines);
            move |_: &tidewheel::net::Socket, line: &str| {
                assert_eq!(line.split(' ').count(), 3, "{line}");
                lines.borrow_mut()[at] += 1;
            }
        };
        let keys = Rc::new(RefCell::new(Vec::new()));
        let key = |socket: &tidewheel::net::Socket| {
            socket
                .tls()
                .unwrap()
                .export_keying_material(32, "EXPORTER-test", Some(b"x"))
                .unwrap()
        };
        let options = scene
            .server_options()
            .alpn_protocols(["h2", "http/1.1"])
            .key_log(count(0));
        let server = scene.serve_one(options, || Script::new("S"));
        let kept = Rc::clone(&keys);
        server.on_secure_connection(move |socket| kept.borrow_mut().push(key(socket)));
        let options = scene.client_options(&server).alpn_protocols(["http/1.1"]);
        let client = scene.client_with(options, Script::new("C"));
        client.on_keylog(count(1));
        let kept = Rc::clone(&keys);
        let version = scene.version;
        client.on_secure_connect(move |socket| {
            let info = socket.tls().unwrap();
            assert_eq!(info.alpn_protocol().as_deref(), Some("http/1.1"));
            assert_eq!(info.protocol(), Some(version));
            assert_eq!(info.cipher().unwrap().version, version);
            kept.borrow_mut().push(key(socket));
            socket.end();
        });
        scene.run();
        let expected = if version == TlsVersion::V1_2 { 1 } else { 5 };
        assert_eq!(*lines.borrow(), [expected; 2]);
        assert_eq!(keys.borrow()[0], keys.borrow()[1]);
    });
}

#[test]
fn handshakes_over_the_limit_wait_their_turn() {
    each_scene(|scene| {
        let options = scene.server_options().max_handshakes(1);
        let server = scene.listen(options.handshake_timeout(Duration::from_millis(600)));
        note_errors(scene, &server);
        let mut silent = scene.peer(&server);
        let done = scene.client(
            &server,
            Script::new("C").on(EventKind::SecureConnect, |socket, _| socket.end()),
        );
        server.on_secure_connection(|socket| {
            socket.resume();
            socket.server().unwrap().close();
        });
        scene.run();
        assert_eq!(scene.trace("V"), "ERR_TLS_HANDSHAKE_TIMEOUT");
        scene.assert_trace("C", "connect ready secure finish end close(false)");
        let _ = (silent.write(b"x"), silent.read(&mut [0]), done);
    });
}

#[test]
fn a_handshake_that_nobody_watches_fails_the_run_of_the_program_that_began_it() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        let options = TlsConnectOptions::from(server.address().unwrap());
        tls::connect(&scene.event_loop, options, |_| unreachable!());
        let error = scene.try_run().unwrap_err();
        assert_eq!(error.code(), Code::CertLeafUnverified);
    });
}

#[test]
fn what_cannot_be_exported_is_refused() {
    each_scene(|scene| {
        let server = scene.serve_one(scene.server_options(), || Script::new("S"));
        let script = Script::new("C").on(EventKind::SecureConnect, |socket, _| {
            let info = socket.tls().unwrap();
            let (long, label) = (vec![0; 0x10000], "x".repeat(250));
            for (length, label, context) in [
                (0, "EXPORTER-x", None),
                (0x10000, "EXPORTER-x", None),
                (usize::MAX, "EXPORTER-x", None),
                (32, "EXPORTER-x", Some(&long[..])),
                (32, &label, None),
            ] {
                let refused = info.export_keying_material(length, label, context);
                let code = refused.err().map(|error| error.code());
                assert_eq!(code, Some(Code::InvalidArgValue), "{length}");
            }
            for (length, label, context) in [
                (1, "", None),
                (8000, "EXPORTER-x", None),
                (32, "EXPORTER-x", Some(&long[1..])),
                (32, &label[1..], Some(&[][..])),
            ] {
                let made = info.export_keying_material(length, label, context);
                assert_eq!(made.unwrap().len(), length);
            }
            socket.end();
        });
        scene.client(&server, script);
        scene.run();
    });
}
