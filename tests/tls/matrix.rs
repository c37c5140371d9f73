//! Every kind of certificate, of servers and of clients, with both versions, rejected and reported, over real sockets.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rcgen::{date_time_ymd, CertificateParams, ExtendedKeyUsagePurpose};
use tidewheel::net::Socket;
use tidewheel::tls::{self, TlsConnectOptions, TlsOptions};

use crate::certs::{ca_true, version_1, Authority, Identity};
use crate::scene::{over_tcp, Scene, VERSIONS};

const UNVERIFIED: &str = "UNABLE_TO_VERIFY_LEAF_SIGNATURE";
const SELF_SIGNED: &str = "DEPTH_ZERO_SELF_SIGNED_CERT";

/// A certificate shown to one who trusts `ca`, and what that one says of it.
struct Case {
    what: &'static str,
    shown: Option<Identity>,
    ca: String,
    host: &'static str,
    fault: Option<&'static str>,
}

/// Those that mean the same for a server as for a client, whose certificates have to be for `usage`.
fn cases(usage: ExtendedKeyUsagePurpose, other_usage: ExtendedKeyUsagePurpose) -> Vec<Case> {
    let ca = Authority::new("ca");
    let between = ca.intermediate("between");
    let issue = |issuer: &Authority, change: &dyn Fn(&mut CertificateParams)| {
        issuer.issue_with(&["localhost"], |params| {
            params.extended_key_usages = vec![usage.clone()];
            change(params);
        })
    };
    let good = issue(&ca, &|_| {});
    let expired = issue(&ca, &|params| params.not_after = date_time_ymd(2020, 1, 1));
    let early = issue(&ca, &|params| params.not_before = date_time_ymd(3000, 1, 1));
    let misused = issue(&ca, &|params| {
        params.extended_key_usages = vec![other_usage.clone()];
    });
    let missing = issue(&between, &|_| {});
    let mut chained = missing.clone();
    chained.cert += &between.pem();
    let may_issue = ca_true(&["localhost"]);
    let old = version_1();
    let (pem, other) = (ca.pem(), Authority::new("other").pem());
    let case = |what, shown: &Identity, ca: &str, fault| Case {
        what,
        shown: Some(shown.clone()),
        ca: ca.to_owned(),
        host: "localhost",
        fault,
    };
    vec![
        case("good", &good, &pem, None),
        case("expired", &expired, &pem, Some("CERT_HAS_EXPIRED")),
        case("not yet valid", &early, &pem, Some("CERT_NOT_YET_VALID")),
        case("unknown CA", &good, &other, Some(UNVERIFIED)),
        case("wrong usage", &misused, &pem, Some("INVALID_PURPOSE")),
        case("chained", &chained, &pem, None),
        case("missing intermediate", &missing, &pem, Some(UNVERIFIED)),
        case("CA:TRUE, trusted", &may_issue, &may_issue.cert, None),
        case("CA:TRUE, unknown", &may_issue, &pem, Some(SELF_SIGNED)),
        case("version 1, trusted", &old, &old.cert, None),
        case("version 1, unknown", &old, &pem, Some(SELF_SIGNED)),
    ]
}

/// Whether one is authorized, and why not: of how the client sees the server, or the other way round.
fn verdict(socket: &Socket) -> (bool, Option<String>) {
    let info = socket.tls().unwrap();
    let error = info.authorization_error();
    (
        info.authorized(),
        error.map(|error| error.code().to_string()),
    )
}

/// What the sides of one connection were told.
#[derive(Debug, Default)]
struct Told {
    /// The verdict of the side that asks.
    secure: Option<(bool, Option<String>)>,
    client: Option<(String, String)>,
    server: Option<String>,
    echoed: usize,
}

/// One connection, with an echo over it where both get so far; `client_asks`: it is the client whose verdict counts.
fn meet(
    scene: &Scene<'_>,
    of_server: TlsOptions,
    of_client: TlsConnectOptions,
    client_asks: bool,
) -> Told {
    let told = Rc::new(RefCell::new(Told::default()));
    let server = scene.listen(of_server);
    let address = server.address().unwrap();
    let seen = Rc::clone(&told);
    server.on_secure_connection(move |socket| {
        socket.pipe(socket);
        // The other side may still refuse ours.
        socket.on_error(|_, _| {});
        if !client_asks {
            seen.borrow_mut().secure = Some(verdict(socket));
        }
        socket.server().unwrap().close();
    });
    let seen = Rc::clone(&told);
    server.on_tls_client_error(move |server, error, _| {
        seen.borrow_mut().server = Some(error.code().to_string());
        server.close();
    });
    let mut options = of_client
        .min_version(scene.version)
        .max_version(scene.version);
    options = options.host("127.0.0.1").port(address.port().unwrap());
    let seen = Rc::clone(&told);
    let client = tls::connect(&scene.event_loop, options, move |socket| {
        if client_asks {
            seen.borrow_mut().secure = Some(verdict(socket));
        }
        socket.write("hello");
    });
    let seen = Rc::clone(&told);
    client.on_data(move |socket, data| {
        seen.borrow_mut().echoed += data.len();
        socket.end();
    });
    let seen = Rc::clone(&told);
    client.on_error(move |_, error| {
        seen.borrow_mut().client = Some((error.code().to_string(), error.to_string()));
    });
    let closed = Rc::new(Cell::new(false));
    let now = Rc::clone(&closed);
    client.on_close(move |_, _| now.set(true));
    scene.run();
    assert!(closed.get());
    told.take()
}

/// Whoever is let in has an echo, and is judged as expected.
#[track_caller]
fn assert_let_in(told: &Told, fault: Option<&str>, what: &str) {
    let expected = (fault.is_none(), fault.map(str::to_owned));
    assert_eq!(told.secure, Some(expected), "{what}: {told:?}");
    assert_eq!(told.echoed, 5, "{what}: {told:?}");
    assert!(
        told.client.is_none() && told.server.is_none(),
        "{what}: {told:?}"
    );
}

#[test]
fn what_clients_say_of_servers() {
    let mut all = cases(
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    );
    for (host, what) in [
        ("elsewhere.example", "wrong host"),
        ("127.0.0.1", "wrong address"),
    ] {
        all.push(Case {
            what,
            host,
            fault: Some("ERR_TLS_CERT_ALTNAME_INVALID"),
            shown: all[0].shown.clone(),
            ca: all[0].ca.clone(),
        });
    }
    for version in VERSIONS {
        for (case, reject) in all.iter().flat_map(|case| [(case, true), (case, false)]) {
            let what = format!("{} {version} {reject}", case.what);
            over_tcp(version, |scene| {
                let shown = case.shown.as_ref().unwrap();
                let of_server = TlsOptions::default().key(&shown.key).cert(&shown.cert);
                let of_client = TlsConnectOptions::default()
                    .ca(&case.ca)
                    .servername(case.host)
                    .reject_unauthorized(reject);
                let told = meet(scene, of_server, of_client, true);
                let Some(fault) = case.fault.filter(|_| reject) else {
                    return assert_let_in(&told, case.fault, &what);
                };
                assert_eq!(told.client.unwrap().0, fault, "{what}");
                assert_eq!((told.secure, told.echoed), (None, 0), "{what}");
                let alert = told.server.unwrap();
                assert!(alert.contains("ALERT"), "{what}: {alert}");
            });
        }
    }
}

#[test]
fn what_servers_say_of_clients() {
    let mut all = cases(
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    );
    let ca = all[0].ca.clone();
    all.push(Case {
        what: "none",
        shown: None,
        ca,
        host: "",
        fault: Some("ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    });
    for version in VERSIONS {
        for (case, reject) in all.iter().flat_map(|case| [(case, true), (case, false)]) {
            let what = format!("{} {version} {reject}", case.what);
            over_tcp(version, |scene| {
                let of_server = scene
                    .server_options()
                    .ca(&case.ca)
                    .request_cert(true)
                    .reject_unauthorized(reject);
                let mut of_client = TlsConnectOptions::default().ca(scene.ca.pem());
                if let Some(shown) = &case.shown {
                    of_client = of_client.key(&shown.key).cert(&shown.cert);
                }
                let told = meet(scene, of_server, of_client, false);
                let Some(fault) = case.fault.filter(|_| reject) else {
                    return assert_let_in(&told, case.fault, &what);
                };
                assert_eq!(told.server.as_deref(), Some(fault), "{what}");
                assert_eq!((told.secure, told.echoed), (None, 0), "{what}");
                let (code, message) = told.client.unwrap();
                let heard = code.contains("ALERT") && message.contains("reports");
                assert!(heard, "{what}: {code} {message}");
            });
        }
    }
}
