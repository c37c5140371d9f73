//! What `console.log`, `String` and `JSON.stringify` make of addresses and errors in Node.

use std::fmt::Display;

use tidewheel::net::{Address, Socket};
use tidewheel::Error;

/// The only argument of both programs.
pub fn port(usage: &str) -> u16 {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let port = match &words[..] {
        [] => Some(8107),
        [word] => word.parse().ok(),
        _ => None,
    };
    port.unwrap_or_else(|| {
        eprintln!("usage: {usage}");
        std::process::exit(2)
    })
}

/// `"%s:%s", socket.localAddress, socket.localPort`
pub fn local(socket: &Socket) -> String {
    let (address, port) = (socket.local_address(), socket.local_port());
    format!("{}:{}", text(address), text(port))
}

/// `"%s:%s", socket.remoteAddress, socket.remotePort`
pub fn remote(socket: &Socket) -> String {
    let (address, port) = (socket.remote_address(), socket.remote_port());
    format!("{}:{}", text(address), text(port))
}

/// What is not there is `undefined`.
pub fn text(value: Option<impl Display>) -> String {
    value.map_or("undefined".into(), |value| value.to_string())
}

/// `{"errno":-104,"code":"ECONNRESET","syscall":"read"}`. Nothing in it needs an escape: the addresses are numbers.
pub fn json(error: &Error) -> String {
    let mut fields = Vec::new();
    if let Some(errno) = error.errno() {
        fields.push(format!(r#""errno":{errno}"#));
    }
    fields.push(format!(r#""code":"{}""#, error.code()));
    if let Some(syscall) = error.syscall() {
        fields.push(format!(r#""syscall":"{syscall}""#));
    }
    if let Some(ip) = error.address().and_then(Address::ip) {
        fields.push(format!(r#""address":"{ip}""#));
    }
    if let Some(port) = error.address().and_then(Address::port).filter(|p| *p > 0) {
        fields.push(format!(r#""port":{port}"#));
    }
    format!("{{{}}}", fields.join(","))
}
