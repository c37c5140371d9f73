//! The page "Porting from Node" has every name of the manual of v0.10, and the table of the README says the same in short.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The functions, options, properties and events of `net` in the manual of v0.10. Listeners and `[callback]` are not
/// names.
const MANUAL: &str = "createServer allowHalfOpen connect createConnection port host localAddress path listen backlog \
                      fd close address unref ref maxConnections connections getConnections listening connection error \
                      Socket readable writable bufferSize setEncoding write end destroy pause resume setTimeout \
                      setNoDelay setKeepAlive remoteAddress remotePort localPort bytesRead bytesWritten data timeout \
                      drain had_error isIP isIPv4 isIPv6";

/// What came later, in the manual of Node 24.
const LATER: &str = "BlockList SocketAddress drop dropMaxConnection asyncDispose exclusive ipv6Only reusePort \
                     readableAll writableAll signal highWaterMark noDelay keepAlive keepAliveInitialDelay \
                     pauseOnConnect blockList onread connectionAttempt connectionAttemptFailed \
                     connectionAttemptTimeout lookup ready autoSelectFamilyAttemptedAddresses connecting destroyed \
                     destroySoon localFamily pending remoteFamily resetAndDestroy readyState family hints \
                     autoSelectFamily autoSelectFamilyAttemptTimeout getDefaultAutoSelectFamily \
                     setDefaultAutoSelectFamily getDefaultAutoSelectFamilyAttemptTimeout \
                     setDefaultAutoSelectFamilyAttemptTimeout";

/// The functions, options, properties and events of `tls` in the manual of v0.10.
const TLS: &str = "createServer connect createSecurePair getCiphers SLAB_BUFFER_SIZE CLIENT_RENEG_LIMIT pfx key passphrase \
                   cert ca crl ciphers handshakeTimeout honorCipherOrder requestCert rejectUnauthorized NPNProtocols \
                   SNICallback sessionIdContext secureProtocol servername socket secure Server secureConnection \
                   clientError newSession resumeSession addContext CryptoStream CleartextStream secureConnect \
                   authorized authorizationError getPeerCertificate getCipher";

/// What came later.
const LATER_TLS: &str = "createSecureContext TLSSocket checkServerIdentity rootCertificates DEFAULT_CIPHERS minVersion \
                         maxVersion ALPNProtocols ALPNCallback secureContext session ticketKeys sessionTimeout \
                         ecdhCurve dhparam pskCallback secureOptions sigalgs enableTrace tlsClientError keylog \
                         OCSPRequest OCSPResponse setSecureContext getTicketKeys setTicketKeys encrypted \
                         getPeerX509Certificate getCertificate getProtocol alpnProtocol exportKeyingMaterial \
                         getSession isSessionReused getTLSTicket getFinished getPeerFinished getSharedSigalgs \
                         getEphemeralKeyInfo renegotiate disableRenegotiation setMaxSendFragment setKeyCert";

/// One row of a table: the names on Node's side, and the names in the rest of it.
struct Row {
    line: String,
    node: BTreeSet<String>,
    ours: BTreeSet<String>,
}

#[test]
fn the_page_has_every_name_of_the_manuals() {
    let pages = [
        ("src/porting.md", [MANUAL, LATER]),
        ("src/tls/porting.md", [TLS, LATER_TLS]),
    ];
    for (page, names) in pages {
        let rows = rows(page);
        let has = |name: &&str| rows.iter().any(|row| row.node.contains(*name));
        let all = names.iter().flat_map(|names| names.split_whitespace());
        let missing: Vec<&str> = all.filter(|name| !has(name)).collect();
        assert!(missing.is_empty(), "{page}: {missing:?}");
    }
}

#[test]
fn the_table_of_the_readme_agrees_with_the_page() {
    let mut page = rows("src/porting.md");
    page.extend(rows("src/tls/porting.md"));
    let readme = rows("README.md");
    let start = readme
        .iter()
        .position(|row| row.node.contains("createServer"));
    let table = &readme[start.expect("the table")..];
    assert!(table.len() > 30);
    let mut report = String::new();
    for row in table {
        // What stands beside a name of Node's on the page, in all rows that have one of this row's.
        let beside: BTreeSet<&String> = page
            .iter()
            .filter(|it| row.node.is_empty() || !it.node.is_disjoint(&row.node))
            .flat_map(|it| &it.ours)
            .collect();
        for name in &row.ours {
            if !beside.contains(name) {
                report += &format!("`{name}` of {}\n", row.line);
            }
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

fn rows(file: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("| "));
    lines
        .map(|line| {
            let cells = line.replace(r"\|", "");
            let (node, ours) = cells[2..].split_once(" | ").expect(line);
            Row {
                line: line.to_owned(),
                node: names(node, |_| true),
                ours: names(ours, is_method),
            }
        })
        .collect()
}

/// The names in all code of a cell.
fn names(cell: &str, wanted: fn(&str) -> bool) -> BTreeSet<String> {
    let code = cell.split('`').skip(1).step_by(2);
    code.flat_map(|code| code.split(|c: char| !(c.is_alphanumeric() || c == '_')))
        .filter(|name| !name.is_empty() && wanted(name))
        .map(str::to_owned)
        .collect()
}

/// A name of two words, which only ours have.
fn is_method(name: &str) -> bool {
    let is_ours = name.contains('_') && name.chars().all(|c| c.is_lowercase() || c == '_');
    is_ours && !matches!(name, "event_loop" | "from_secs")
}
