//! What the two teaching programs print when they meet, whichever of them is ours: every line, where the order is
//! certain in that order. Ports differ from run to run, and a busy machine may add time-outs.

use super::Program;

/// Who connects, and what each says.
pub const WHO: [(&str, &str); 3] = [
    ("Dwarves", "More Axes"),
    ("Elves", "More Arrows"),
    ("Hobbits", "More Pipe Weed"),
];

/// Reads `Server listening: ..` and gives the port.
#[track_caller]
pub fn listening(server: &Program) -> u16 {
    let line = server.line();
    let port = [
        r#"{"address":"::","family":"IPv6","port":"#,
        r#"{"address":"0.0.0.0","family":"IPv4","port":"#,
    ]
    .iter()
    .find_map(|json| {
        line.strip_prefix("Server listening: ")?
            .strip_prefix(json)?
            .strip_suffix('}')
    });
    port.and_then(|port| port.parse().ok())
        .unwrap_or_else(|| panic!("{line}"))
}

/// The next line that is not one of a time-out.
#[track_caller]
pub fn next_line(program: &Program) -> String {
    loop {
        let line = program.line();
        if !is_time_out(&line) {
            return line;
        }
    }
}

pub fn is_time_out(line: &str) -> bool {
    line.eq_ignore_ascii_case("Socket Timed Out")
}

/// Checks all that a client has printed.
#[track_caller]
pub fn check_client(stdout: &[String], port: u16) {
    let mut left: Vec<&str> = stdout.iter().map(String::as_str).collect();
    left.retain(|line| !is_time_out(line));
    for (name, words) in WHO {
        let at = find(&left, &format!("{name} Connected: "));
        let block: Vec<&str> = left.drain(at..at + 3).collect();
        own_port(block[1], "   local = 127.0.0.1:");
        assert_eq!(block[2], format!("   remote = 127.0.0.1:{port}"));
        let answer = find(&left, &format!("{name} From Server: Sending: {words}"));
        let end = find(&left, &format!("{name} Client disconnected"));
        assert!(at <= answer && answer < end, "{stdout:#?}");
        left.remove(end);
        left.remove(answer);
    }
    assert_eq!(left, ["Socket Closed"; 3], "{stdout:#?}");
}

/// Reads and checks all that a server prints about the three connections.
#[track_caller]
pub fn check_server(server: &Program, port: u16) {
    let mut ports = Vec::new();
    let mut said = Vec::new();
    let mut ends = 0;
    let mut counts = Vec::new();
    while counts.len() < WHO.len() {
        let line = next_line(server);
        if line == "Client connection: " {
            let local = next_line(server);
            assert_eq!(own_port(&local, "   local = ::ffff:127.0.0.1:"), port);
            ports.push(own_port(
                &next_line(server),
                "   remote = ::ffff:127.0.0.1:",
            ));
        } else if let Some(data) = line.strip_prefix("Received data from client on port ") {
            let (from, words) = data.split_once(": ").expect(data);
            assert!(ports.contains(&from.parse().unwrap()), "{line}");
            let bytes = words.len();
            assert_eq!(next_line(server), format!("  Bytes received: {bytes}"));
            let bytes = "Sending: ".len() + bytes;
            assert_eq!(next_line(server), format!("  Bytes sent: {bytes}"));
            said.push(words.to_owned());
        } else if line == "Client disconnected" {
            ends += 1;
        } else {
            let count = line.strip_prefix("Remaining Connections: ").expect(&line);
            counts.push(count.parse::<usize>().unwrap());
        }
    }
    let mut words = WHO.map(|(_, words)| words);
    words.sort_unstable();
    said.sort();
    assert_eq!(said, words);
    assert_eq!((ports.len(), ends), (WHO.len(), WHO.len()));
    // Who is ending still counts.
    assert!(
        counts.iter().all(|count| (1..=3).contains(count)),
        "{counts:?}"
    );
}

#[track_caller]
fn find(lines: &[&str], wanted: &str) -> usize {
    let at = lines.iter().position(|line| *line == wanted);
    at.unwrap_or_else(|| panic!("no {wanted:?} in {lines:#?}"))
}

#[track_caller]
fn own_port(line: &str, before: &str) -> u16 {
    let port = line.strip_prefix(before).and_then(|port| port.parse().ok());
    port.unwrap_or_else(|| panic!("{line:?} is not {before:?} and a port"))
}
