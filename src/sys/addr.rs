//! Socket addresses in the kernel's form and back.

use crate::address::Address;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::{io, mem, ptr};

/// An address as system calls take and give it.
pub(super) struct RawAddress {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl RawAddress {
    /// Encodes `address`. A path or name that is too long is `ENAMETOOLONG`; a path that is empty
    /// or holds a NUL, and an unnamed address, are `InvalidInput`.
    pub(super) fn new(address: &Address) -> io::Result<RawAddress> {
        match address {
            Address::Ip(SocketAddr::V4(v4)) => Ok(Self::from_v4(v4)),
            Address::Ip(SocketAddr::V6(v6)) => Ok(Self::from_v6(v6)),
            Address::Path(path) => Self::from_path(path),
            Address::Abstract(name) => Self::from_abstract(name),
            Address::Unnamed => Err(super::stream::invalid("an unnamed address names nobody")),
        }
    }

    /// Runs a call that fills in an address, and gives it with what the call returned.
    pub(super) fn receive(
        mut call: impl FnMut(*mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int,
    ) -> io::Result<(libc::c_int, RawAddress)> {
        let mut raw = Self::empty();
        let value = super::fd::retry(|| {
            raw.length = mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            call(ptr::from_mut(&mut raw.storage).cast(), &mut raw.length)
        })?;
        Ok((value, raw))
    }

    pub(super) fn as_ptr(&self) -> *const libc::sockaddr {
        ptr::from_ref(&self.storage).cast()
    }

    pub(super) fn length(&self) -> libc::socklen_t {
        self.length
    }

    pub(super) fn family(&self) -> libc::c_int {
        libc::c_int::from(self.storage.ss_family)
    }

    /// Decodes the address; one of a family this crate does not know is [`Address::Unnamed`].
    pub(super) fn to_address(&self) -> Address {
        let storage = ptr::from_ref(&self.storage);
        match self.family() {
            libc::AF_INET => {
                // SAFETY: the family says what was stored; the storage is large and aligned enough
                // for any address, and every bit pattern is a valid `sockaddr_in`.
                let v4 = unsafe { &*storage.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
                Address::Ip(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above, for `sockaddr_in6`.
                let v6 = unsafe { &*storage.cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                let port = u16::from_be(v6.sin6_port);
                Address::Ip(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
            }
            libc::AF_UNIX => self.to_unix(),
            _ => Address::Unnamed,
        }
    }

    fn empty() -> RawAddress {
        RawAddress {
            // SAFETY: `sockaddr_storage` is plain integers, for which zero is valid.
            storage: unsafe { mem::zeroed() },
            length: 0,
        }
    }

    fn from_v4(address: &SocketAddrV4) -> RawAddress {
        let mut raw = Self::empty();
        // SAFETY: the storage is large and aligned enough for any address, and zero is a valid
        // `sockaddr_in`.
        let v4 = unsafe { &mut *ptr::from_mut(&mut raw.storage).cast::<libc::sockaddr_in>() };
        v4.sin_family = libc::AF_INET as libc::sa_family_t;
        v4.sin_port = address.port().to_be();
        v4.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
        raw.length = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
        raw
    }

    fn from_v6(address: &SocketAddrV6) -> RawAddress {
        let mut raw = Self::empty();
        // SAFETY: as in `from_v4`, for `sockaddr_in6`.
        let v6 = unsafe { &mut *ptr::from_mut(&mut raw.storage).cast::<libc::sockaddr_in6>() };
        v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
        v6.sin6_port = address.port().to_be();
        v6.sin6_addr.s6_addr = address.ip().octets();
        v6.sin6_flowinfo = address.flowinfo();
        v6.sin6_scope_id = address.scope_id();
        raw.length = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        raw
    }

    fn from_path(path: &Path) -> io::Result<RawAddress> {
        let bytes = path.as_os_str().as_bytes();
        if bytes.is_empty() || bytes.contains(&0) {
            return Err(super::stream::invalid(
                "a socket path is not empty and holds no NUL",
            ));
        }
        // With its NUL: without one the kernel would also take a path of the full length, but
        // others fail to read it.
        Self::from_unix(&[bytes, &[0]])
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn from_abstract(name: &[u8]) -> io::Result<RawAddress> {
        Self::from_unix(&[&[0], name])
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn from_abstract(_name: &[u8]) -> io::Result<RawAddress> {
        Err(super::stream::invalid(
            "this system has no abstract socket names",
        ))
    }

    fn from_unix(parts: &[&[u8]]) -> io::Result<RawAddress> {
        let mut raw = Self::empty();
        // SAFETY: as in `from_v4`, for `sockaddr_un`.
        let unix = unsafe { &mut *ptr::from_mut(&mut raw.storage).cast::<libc::sockaddr_un>() };
        unix.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let bytes = parts.iter().copied().flatten();
        let length = bytes.clone().count();
        if length > unix.sun_path.len() {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        for (slot, &byte) in unix.sun_path.iter_mut().zip(bytes) {
            *slot = byte as libc::c_char;
        }
        raw.length = (PATH_OFFSET + length) as libc::socklen_t;
        Ok(raw)
    }

    fn to_unix(&self) -> Address {
        let length = (self.length as usize).min(mem::size_of::<libc::sockaddr_storage>());
        let start = ptr::from_ref(&self.storage).cast::<u8>();
        // SAFETY: `length` is at most the size of the storage, all of which is initialised; it is
        // borrowed as `self` is.
        let bytes = unsafe { std::slice::from_raw_parts(start, length) };
        match bytes.get(PATH_OFFSET..) {
            None | Some([]) => Address::Unnamed,
            Some([0, name @ ..]) if cfg!(any(target_os = "linux", target_os = "android")) => {
                Address::Abstract(name.to_vec())
            }
            Some([0, ..]) => Address::Unnamed,
            Some(path) => {
                let path = path.split(|&byte| byte == 0).next().unwrap_or_default();
                Address::Path(Path::new(OsStr::from_bytes(path)).to_path_buf())
            }
        }
    }
}

const PATH_OFFSET: usize = mem::offset_of!(libc::sockaddr_un, sun_path);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_way_to_the_kernel_and_back() {
        let scoped = SocketAddrV6::new(Ipv6Addr::new(0xfe80, 0, 0, 0, 1, 2, 3, 4), 80, 5, 6);
        let addresses = [
            Address::Ip((Ipv4Addr::new(1, 2, 3, 4), 8124).into()),
            Address::Ip((Ipv6Addr::LOCALHOST, 443).into()),
            Address::Ip(SocketAddr::V6(scoped)),
            Address::Path("/tmp/a".into()),
            Address::Path("x".repeat(107).into()),
            Address::Abstract(b"name".to_vec()),
            Address::Abstract(b"a\0b\0".to_vec()),
            Address::Abstract(vec![b'x'; 107]),
        ];
        for address in addresses {
            assert_eq!(RawAddress::new(&address).unwrap().to_address(), address);
        }
        assert_eq!(RawAddress::empty().to_address(), Address::Unnamed);
    }

    #[test]
    fn an_address_that_cannot_be_is_refused() {
        let refusal = |address| RawAddress::new(&address).err().unwrap();
        let path = |path: &str| Address::Path(path.into());
        for long in [path(&"x".repeat(108)), Address::Abstract(vec![0; 108])] {
            assert_eq!(refusal(long).raw_os_error(), Some(libc::ENAMETOOLONG));
        }
        for wrong in [path("a\0b"), path(""), Address::Unnamed] {
            assert_eq!(refusal(wrong).kind(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_path_of_full_length_without_nul_is_read_whole() {
        let (_, raw) = RawAddress::receive(|address, length| {
            // SAFETY: `receive` gives a `sockaddr_storage` and its length; both are larger.
            unsafe {
                let unix = &mut *address.cast::<libc::sockaddr_un>();
                unix.sun_family = libc::AF_UNIX as libc::sa_family_t;
                unix.sun_path.fill(b'x' as libc::c_char);
                // Linux counts the NUL for which there was no room.
                *length = mem::size_of::<libc::sockaddr_un>() as libc::socklen_t + 1;
            }
            0
        })
        .unwrap();
        assert_eq!(raw.to_address(), Address::Path("x".repeat(108).into()));
    }
}
