//! What scanners for weaknesses of TLS find in `tls_echo`: nothing but that nobody vouches for its certificate. Where a
//! scanner is not installed its part is skipped, aloud; RELIABILITY.md says how to have them.
#![cfg(feature = "tls")]

#[path = "common/census.rs"]
mod census;
mod programs;

use std::path::PathBuf;
use std::process::{Command, Output};

use programs::{example, skip, tool, Program};

/// How long a scan may take, in seconds; some do thousands of handshakes.
const PATIENCE: &str = "400";

/// The server, with a certificate that lasts a year, in a directory of its own.
struct Scanned {
    server: Program,
    port: String,
    place: PathBuf,
}

impl Scanned {
    /// `None` where the examples are not built.
    fn start(name: &str) -> Option<Scanned> {
        let mut command = example("tls_echo")?;
        let place = std::env::temp_dir().join(format!("tidewheel-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = rcgen::CertificateParams::new(names).unwrap();
        let now = std::time::SystemTime::now();
        params.not_before = now.into();
        params.not_after = (now + std::time::Duration::from_secs(364 * 24 * 3600)).into();
        let cert = params.self_signed(&key).unwrap();
        std::fs::write(place.join("key.pem"), key.serialize_pem()).unwrap();
        std::fs::write(place.join("cert.pem"), cert.pem()).unwrap();
        let words = ["127.0.0.1:0", "--cert", "cert.pem", "--key", "key.pem"];
        let server = Program::start(command.args(words).current_dir(&place));
        let address = server.address();
        let (_, port) = address.rsplit_once(':').unwrap();
        let port = port.to_owned();
        Some(Scanned {
            server,
            port,
            place,
        })
    }

    /// Lets a scanner at it, but not for ever.
    #[track_caller]
    fn scan(&self, scanner: &str, words: &[&str]) -> Output {
        let mut command = Command::new("timeout");
        command.args([PATIENCE, scanner]).args(words);
        command.arg(format!("localhost:{}", self.port));
        let output = command.current_dir(&self.place).output().unwrap();
        assert_ne!(output.status.code(), Some(124), "{scanner} takes too long");
        output
    }

    /// What the scanner has written.
    #[track_caller]
    fn report(&self, output: &Output) -> serde_json::Value {
        let said = String::from_utf8_lossy(&output.stdout);
        let text = std::fs::read_to_string(self.place.join("report.json"));
        let text = text.unwrap_or_else(|error| panic!("{error}: {said}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// The server is still there.
    fn end(self) {
        self.server.signal("TERM");
        assert_eq!(self.server.ended().status, Some(0));
        std::fs::remove_dir_all(self.place).unwrap();
    }
}

#[test]
fn sslyze_finds_nothing() {
    if tool("sslyze").is_none() {
        return;
    }
    let Some(scanned) = Scanned::start("sslyze") else {
        return;
    };
    let words = "--mozilla_config=intermediate --json_out=report.json --certinfo --sslv2 --sslv3 --tlsv1 --tlsv1_1 \
                 --tlsv1_2 --tlsv1_3 --robot --heartbleed --openssl_ccs --reneg --compression --early_data --ems \
                 --fallback --elliptic_curves";
    let output = scanned.scan("sslyze", &words.split_whitespace().collect::<Vec<_>>());
    let said = String::from_utf8_lossy(&output.stdout);
    // What Mozilla recommends, but for somebody who vouches for the certificate.
    let (_, complaints) = said.split_once("COMPLIANCE AGAINST").unwrap();
    let complaints = complaints.lines().map(str::trim);
    let complaints: Vec<_> = complaints.filter(|line| line.starts_with("* ")).collect();
    let untrusted = |line: &&str| line.starts_with("* certificate_path_validation:");
    assert!(complaints.iter().all(untrusted), "{complaints:?}");
    let report = scanned.report(&output);
    let result = &report["server_scan_results"][0]["scan_result"];
    for (check, field, expected) in [
        ("tls_compression", "supports_compression", false),
        ("tls_1_3_early_data", "supports_early_data", false),
        (
            "openssl_ccs_injection",
            "is_vulnerable_to_ccs_injection",
            false,
        ),
        ("heartbleed", "is_vulnerable_to_heartbleed", false),
        (
            "session_renegotiation",
            "is_vulnerable_to_client_renegotiation_dos",
            false,
        ),
        (
            "session_renegotiation",
            "supports_secure_renegotiation",
            true,
        ),
        ("tls_extended_master_secret", "supports_ems_extension", true),
    ] {
        assert_eq!(
            result[check]["result"][field], expected,
            "{}",
            result[check]
        );
    }
    for (version, suites) in [
        ("ssl_2_0", 0),
        ("ssl_3_0", 0),
        ("tls_1_0", 0),
        ("tls_1_1", 0),
        ("tls_1_2", 3),
        ("tls_1_3", 3),
    ] {
        let found = &result[format!("{version}_cipher_suites")]["result"]["accepted_cipher_suites"];
        assert_eq!(
            found.as_array().unwrap().len(),
            suites,
            "{version}: {found}"
        );
    }
    scanned.end();
}

#[test]
fn testssl_finds_nothing() {
    // Debian calls it so; others by its own name.
    let Some(scanner) = ["testssl", "testssl.sh"].into_iter().find(|name| {
        let found = Command::new(name).arg("--help").output();
        found.is_ok()
    }) else {
        return skip("testssl.sh is not installed");
    };
    let Some(scanned) = Scanned::start("testssl") else {
        return;
    };
    let words =
        "--quiet --color 0 --warnings off --ip 127.0.0.1 --jsonfile report.json -p -s -f -U";
    let output = scanned.scan(scanner, &words.split_whitespace().collect::<Vec<_>>());
    let report = scanned.report(&output);
    let findings = report.as_array().unwrap();
    let is_fine = |finding: &&serde_json::Value| {
        ["OK", "INFO", "DEBUG"].contains(&finding["severity"].as_str().unwrap())
    };
    let weak: Vec<_> = findings
        .iter()
        .filter(|finding| !is_fine(finding))
        .collect();
    assert!(weak.is_empty(), "{weak:#?}");
    // Of protocols, ciphers, forward secrecy and two dozen weaknesses.
    assert!(findings.len() > 30, "{}", findings.len());
    scanned.end();
}
