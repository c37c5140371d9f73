//! The same server on Node.

use std::process::{Command, Stdio};

const SERVER: &str = r"
const tls = require('tls');
const chunk = Buffer.alloc(64 * 1024, 7);
const options = { key: process.env.TLS_KEY, cert: process.env.TLS_CERT };
const server = tls.createServer(options, (socket) => {
  let job = 'p';
  socket.setNoDelay(true);
  socket.on('error', () => {});
  const pour = () => { while (!socket.destroyed && socket.write(chunk)); };
  socket.on('data', (data) => {
    if (job === 'u') return;
    job = String.fromCharCode(data[0]);
    if (job === 'p') socket.write(data);
    if (job === 'd') { socket.on('drain', pour); pour(); }
  });
});
server.on('tlsClientError', () => {});
server.listen(0, '127.0.0.1', () => console.log('127.0.0.1:' + server.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
";

/// `None`: it is not installed, which is said.
pub fn command() -> Option<Command> {
    let quiet = Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !quiet.is_ok_and(|status| status.success()) {
        println!("NOTE: Node is not installed, so it is not measured.");
        return None;
    }
    let mut command = Command::new("node");
    command.args(["-e", SERVER]);
    Some(command)
}
