//! Keys and certificates in PKCS#12 files.

use std::path::Path;
use std::process::Command;

use tidewheel::net::EventKind;
use tidewheel::tls::{self, ContextOptions, SecureContext, TlsConnectOptions, TlsOptions};
use tidewheel::{Code, Error};

use crate::common::Script;
use crate::scene::{each_scene, over_tcp, VERSIONS};

const MODERN: &[u8] = include_bytes!("../../src/tls/fixtures/pfx-modern.pfx");
const LEGACY: &[u8] = include_bytes!("../../src/tls/fixtures/pfx-legacy.pfx");

#[test]
fn both_sides_by_one_file_each() {
    each_scene(|scene| {
        // The server knows the client by the issuer that is in its own file.
        let options = TlsOptions::default()
            .pfx_with_passphrase(MODERN, "secret")
            .request_cert(true);
        let server = scene.serve_one(options, || {
            Script::new("S").on(EventKind::SecureConnect, |socket, _| {
                assert!(socket.tls().unwrap().authorized());
                socket.end();
            })
        });
        let options = scene
            .client_options(&server)
            .servername("localhost")
            .passphrase("secret")
            .pfx(LEGACY);
        scene.client_with(options, Script::new("C"));
        scene.run();
        scene.assert_trace("C", "connect ready secure end finish close(false)");
        scene.assert_trace("S", "secure finish end close(false)");
    });
}

#[test]
fn what_does_not_open_is_refused_at_once() {
    each_scene(|scene| {
        let options = TlsOptions::default().pfx_with_passphrase(MODERN, "wrong");
        let error = tls::create_server(&scene.event_loop, options, |_| {}).unwrap_err();
        assert!(error.to_string().contains("mac verify failure"), "{error}");
        let options = TlsConnectOptions::from(1).pfx("junk");
        scene.client_with(options, Script::new("C"));
        scene.run();
        scene.assert_trace("C", "error(ERR_OSSL_ASN1_ENCODING) close(true)");
    });
}

/// Runs a line of a shell in `place`; false: its last command failed.
fn sh(place: &Path, line: &str) -> bool {
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", line]).current_dir(place).output();
    output.unwrap().status.success()
}

/// What `openssl` may be asked for, and by what that is encrypted that does not open here.
const MADE: [(&str, Option<&str>); 11] = [
    ("", None),
    ("-legacy", None),
    ("-legacy -descert", None),
    ("-macalg sha512", None),
    ("-keypbe AES-192-CBC -certpbe AES-128-CBC", None),
    ("-keypbe NONE -certpbe NONE", None),
    ("-keypbe CAMELLIA-256-CBC", Some("CAMELLIA-256-CBC")),
    ("-keypbe DES-EDE3-CBC", Some("DES-EDE3-CBC")),
    (
        "-legacy -certpbe PBE-SHA1-RC2-128",
        Some("PBE-SHA1-RC2-128"),
    ),
    ("-legacy -keypbe PBE-SHA1-RC4-128", Some("PBE-SHA1-RC4-128")),
    ("-legacy -keypbe PBE-MD5-DES", Some("PBE-MD5-DES")),
];

/// Opens a file of `place`.
fn open(place: &Path, passphrase: &str) -> Result<SecureContext, Error> {
    let options = ContextOptions::default().pfx(place.join("own.pfx"));
    SecureContext::new(options.passphrase(passphrase))
}

#[test]
fn files_made_by_openssl() {
    over_tcp(VERSIONS[1], |scene| {
        let has = Command::new("openssl").arg("version").output();
        if !has.is_ok_and(|output| output.status.success()) {
            eprintln!("SKIPPED: no openssl here");
            return;
        }
        let place = scene.path("pfx");
        std::fs::create_dir_all(&place).unwrap();
        let own = scene.ca.issue(&["localhost"]);
        std::fs::write(place.join("key.pem"), &own.key).unwrap();
        std::fs::write(place.join("own.crt"), &own.cert).unwrap();
        std::fs::write(place.join("ca.crt"), scene.ca.pem()).unwrap();
        let export = "openssl pkcs12 -export -out own.pfx -passout pass:sécret";
        for (options, unknown) in MADE {
            let whole = "-inkey key.pem -in own.crt -certfile ca.crt";
            if !sh(&place, &format!("{export} {whole} {options}")) {
                eprintln!("SKIPPED: this openssl does not make {options:?}");
                continue;
            }
            let wrong = open(&place, "secret").unwrap_err();
            assert_eq!(wrong.code(), Code::TlsMacVerifyFailure, "{options}");
            match (open(&place, "sécret"), unknown) {
                (Ok(context), None) => {
                    assert_eq!(context.certificate().unwrap().alt_names().len(), 1);
                }
                (Err(error), Some(unknown)) => {
                    let named = format!("encrypted by {unknown};");
                    assert!(error.to_string().contains(&named), "{options}: {error}");
                }
                (result, _) => panic!("{options}: {result:?}"),
            }
        }
        for (part, missing) in [
            ("-nocerts -inkey key.pem", "certificate"),
            ("-nokeys -in own.crt", "private key"),
        ] {
            assert!(sh(&place, &format!("{export} {part}")), "{part}");
            let error = open(&place, "sécret").unwrap_err();
            let told = format!("Unable to load {missing} from PFX data");
            assert!(error.to_string().contains(&told), "{part}: {error}");
        }
        std::fs::remove_dir_all(&place).unwrap();
        scene.run();
    });
}
