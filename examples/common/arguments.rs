//! What the examples take on the command line.

use std::path::PathBuf;

/// Where to listen or to connect to: `8124` (of 127.0.0.1), `localhost:8124`, `[::1]:8124`, or a path, which is what
/// has a `/` in it.
pub fn place<T>(word: &str) -> Option<T>
where
    T: From<(String, u16)> + From<PathBuf>,
{
    if word.contains('/') {
        return Some(T::from(PathBuf::from(word)));
    }
    let Some((host, port)) = word.rsplit_once(':') else {
        return Some(T::from(("127.0.0.1".into(), word.parse().ok()?)));
    };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let host = bare.or((!host.contains(':')).then_some(host))?;
    (!host.is_empty()).then_some(T::from((host.into(), port.parse().ok()?)))
}

/// Says how the program is called, and ends it.
pub fn refuse(usage: &str) -> ! {
    eprintln!("usage: {usage}");
    std::process::exit(2)
}
