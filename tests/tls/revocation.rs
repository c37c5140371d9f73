//! Certificates that were revoked are told by lists.

use tidewheel::net::EventKind;
use tidewheel::tls::{self, TlsConnectOptions};
use tidewheel::Code;

use crate::common::Script;
use crate::scene::each_scene;

#[test]
fn a_client_and_a_server_that_was_revoked() {
    each_scene(|scene| {
        let own = scene.ca.issue_number(7, &["localhost"]);
        let cases = [
            (scene.ca.revoke(3000, &[6]), None),
            (scene.ca.revoke(3000, &[7]), Some(Code::CertRevoked)),
            (
                scene.ca.revoke(2021, &[]),
                Some(Code::CertRevocationListExpired),
            ),
        ];
        for (case, (list, code)) in cases.iter().enumerate() {
            for reject in [true, false] {
                let name = format!("C{case}{reject}");
                let options = tls::TlsOptions::default().key(&own.key).cert(&own.cert);
                let server = scene.serve_one(options, || Script::new("S"));
                server.on_tls_client_error(|_, _, _| {});
                let options = scene
                    .client_options(&server)
                    .servername("localhost")
                    .crl(list)
                    .reject_unauthorized(reject);
                let expected = *code;
                let script = Script::new(&name).on(EventKind::SecureConnect, move |socket, _| {
                    let info = socket.tls().unwrap();
                    let code = info.authorization_error().map(|error| error.code());
                    assert_eq!(code, expected);
                    assert_eq!(info.authorized(), expected.is_none());
                    socket.end();
                });
                scene.client_with(options, script);
                scene.run();
                let trace = match code {
                    Some(code) if reject => format!("connect ready error({code}) close(true)"),
                    _ => "connect ready secure finish end close(false)".into(),
                };
                scene.assert_trace(&name, &trace);
            }
        }
    });
}

#[test]
fn a_server_and_a_client_that_was_revoked() {
    each_scene(|scene| {
        let visitor = scene.ca.issue_with(&["visitor"], |params| {
            params.serial_number = Some(7.into());
        });
        for (list, reject, code) in [
            (scene.ca.revoke(3000, &[]), true, None),
            (scene.ca.revoke(3000, &[7]), true, Some(Code::CertRevoked)),
            (scene.ca.revoke(3000, &[7]), false, Some(Code::CertRevoked)),
        ] {
            let options = scene
                .server_options()
                .ca(scene.ca.pem())
                .crl(list)
                .request_cert(true)
                .reject_unauthorized(reject);
            let server = scene.listen(options);
            let note = scene.noter();
            server.on_secure_connection(move |socket| {
                let info = socket.tls().unwrap();
                let found = info.authorization_error().map(|error| error.code());
                assert_eq!(info.authorized(), found.is_none());
                note(&format!("V:in {found:?}"));
                socket.end();
                socket.server().unwrap().close();
            });
            let note = scene.noter();
            server.on_tls_client_error(move |server, error, _| {
                note(&format!("V:out {:?}", Some(error.code())));
                server.close();
            });
            let options = scene.client_options(&server);
            let options = options.key(&visitor.key).cert(&visitor.cert);
            let client = tls::connect(&scene.event_loop, options, |_| {});
            client.on_error(move |_, error| {
                assert_eq!(error.code(), Code::TlsAlertCertificateRevoked);
            });
            client.resume();
            scene.run();
            let way = if reject && code.is_some() {
                "out"
            } else {
                "in"
            };
            assert_eq!(scene.events("V").pop(), Some(format!("{way} {code:?}")));
        }
    });
}

#[test]
fn lists_that_cannot_be_read_are_refused_at_once() {
    each_scene(|scene| {
        let options = scene.server_options().crl("junk");
        let error = tls::create_server(&scene.event_loop, options, |_| {}).unwrap_err();
        assert_eq!(error.code(), Code::TlsBadEncoding);
        assert!(error.to_string().contains("Failed to parse CRL"), "{error}");
        let options =
            TlsConnectOptions::from(1).crl(include_str!("../../src/tls/fixtures/v1-list.crl"));
        scene.client_with(options, Script::new("C"));
        scene.run();
        scene.assert_trace("C", "error(ERR_OSSL_UNSUPPORTED) close(true)");
    });
}
