//! From options to a listening socket.

use std::fs::Permissions;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use super::options::ListenTarget;
use super::{Address, ListenOptions};
use crate::error::{Code, Error, Result};
use crate::sys::{Listener, Sockets};

/// A listener where the options say, listening; or the name that has to be looked up first.
pub(super) enum Bound {
    Listening(Listener),
    Name(String),
}

pub(super) fn bind(options: &ListenOptions, sockets: &Sockets) -> Result<Bound> {
    let ip = |ip: std::net::IpAddr, port| Address::Ip(SocketAddr::from((ip, port)));
    if let Some(fd) = &options.fd {
        return adopt(options, fd).map(Bound::Listening);
    }
    let listener = match options.target()? {
        ListenTarget::Address(address) => bind_to(options, sockets, &address),
        ListenTarget::Any(port) => first_possible(
            options,
            sockets,
            &ip(Ipv6Addr::UNSPECIFIED.into(), port),
            &ip(Ipv4Addr::UNSPECIFIED.into(), port),
        ),
        ListenTarget::Localhost(port) => first_possible(
            options,
            sockets,
            &ip(Ipv4Addr::LOCALHOST.into(), port),
            &ip(Ipv6Addr::LOCALHOST.into(), port),
        ),
        ListenTarget::Name(name, _) => return Ok(Bound::Name(name)),
    };
    listener.map(Bound::Listening)
}

/// A listener on the first address of a name.
pub(super) fn bind_resolved(
    options: &ListenOptions,
    sockets: &Sockets,
    addresses: &[SocketAddr],
) -> Result<Listener> {
    let (Some(mut address), ListenTarget::Name(_, port)) =
        (addresses.first().copied(), options.target()?)
    else {
        return Err(Error::nothing_to_listen_on());
    };
    address.set_port(port);
    bind_to(options, sockets, &Address::Ip(address))
}

/// The second address only where the machine does not know the family of the first.
fn first_possible(
    options: &ListenOptions,
    sockets: &Sockets,
    first: &Address,
    second: &Address,
) -> Result<Listener> {
    match bind_to(options, sockets, first) {
        Err(error)
            if matches!(
                error.code(),
                Code::AddrFamilyNotSupported | Code::AddrNotAvail | Code::InvalidArgument
            ) =>
        {
            bind_to(options, sockets, second)
        }
        other => other,
    }
}

fn bind_to(options: &ListenOptions, sockets: &Sockets, address: &Address) -> Result<Listener> {
    let bound = || {
        let mut listener = sockets.listener_for(address, options.ipv6_only, options.reuse_port)?;
        if let Some(configure) = &options.configure {
            if let Some(fd) = listener.share_fd() {
                configure.apply(fd)?;
            }
        }
        let listener = listener.bind(address, options.remove_stale)?;
        // Nobody can connect before `listen`, so the permissions are never wider than asked for.
        if let (Some(mode), Address::Path(path)) = (options.mode, address) {
            std::fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        listener.listen(backlog(options))?;
        Ok(listener)
    };
    bound().map_err(|error| Error::listen(&error, address))
}

/// A listener on a duplicate of a descriptor of the user's.
fn adopt(options: &ListenOptions, fd: &OwnedFd) -> Result<Listener> {
    let adopted = || {
        let listener = Listener::from_fd(fd.try_clone()?)?;
        listener.listen(backlog(options))?;
        Ok(listener)
    };
    adopted().map_err(|error: io::Error| Error::listen(&error, None))
}

fn backlog(options: &ListenOptions) -> i32 {
    i32::try_from(options.backlog).unwrap_or(i32::MAX)
}
