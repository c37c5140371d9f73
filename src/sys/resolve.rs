//! Names to addresses, by the system's resolver. The call may take as long as name servers do, so
//! it is not for the thread of the loop.

use super::addr::RawAddress;
use super::errno;
use crate::address::{Address, Family};
use crate::error::Code;
use std::ffi::{CStr, CString};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::{io, iter, mem, ptr};

/// The addresses of `host`, in the system's order and each once, never none; their port is 0, and
/// an IPv6 address has its zone. Without a `family` those are left out that this machine could not
/// reach for lack of an address of its own.
///
/// An address with the name of its zone (`fe80::1%eth0`) is none that a family limits.
pub(crate) fn resolve(host: &str, family: Option<Family>) -> Result<Vec<SocketAddr>, Code> {
    if let Some((ip, zone)) = zoned(host) {
        return Ok(vec![SocketAddrV6::new(ip, 0, 0, index_of(zone)?).into()]);
    }
    if host.len() > LONGEST_NAME {
        return Err(Code::HostNotFound);
    }
    let name = CString::new(host).map_err(|_| Code::HostNotFound)?;
    match ask(&name, family) {
        Ok(answers) => Some(unique(answers.addresses()))
            .filter(|found| !found.is_empty())
            .ok_or(Code::HostNotFound),
        // No such name can be, but some systems tell of it as if their name server had failed.
        Err(_) if host.split('.').any(|label| label.len() > LONGEST_LABEL) => {
            Err(Code::HostNotFound)
        }
        Err(code) => Err(code),
    }
}

const LONGEST_NAME: usize = 255;
const LONGEST_LABEL: usize = 63;

/// The list that `getaddrinfo` made.
struct Answers(*mut libc::addrinfo);

impl Answers {
    fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let entries = iter::successors(self.entry(self.0), |entry| self.entry(entry.ai_next));
        entries.filter_map(address_of)
    }

    fn entry(&self, entry: *mut libc::addrinfo) -> Option<&libc::addrinfo> {
        // SAFETY: `entry` is null or of the list, which is freed and changed by nobody while `self`
        // is borrowed.
        unsafe { entry.as_ref() }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        // SAFETY: `getaddrinfo` made the list, and here alone it is freed.
        unsafe { libc::freeaddrinfo(self.0) }
    }
}

fn ask(name: &CStr, family: Option<Family>) -> Result<Answers, Code> {
    // SAFETY: `addrinfo` is plain integers and pointers, for which zero is valid.
    let mut hints: libc::addrinfo = unsafe { mem::zeroed() };
    // One entry for each address, not one for each type of socket.
    hints.ai_socktype = libc::SOCK_STREAM;
    match family {
        Some(Family::Ipv4) => hints.ai_family = libc::AF_INET,
        Some(Family::Ipv6) => hints.ai_family = libc::AF_INET6,
        None => hints.ai_flags = libc::AI_ADDRCONFIG,
    }
    let mut answers = ptr::null_mut();
    // SAFETY: the name ends with a NUL, there is no service, the hints are filled in, and `answers`
    // takes the list.
    let error = unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &hints, &mut answers) };
    match error {
        0 => Ok(Answers(answers)),
        error => Err(code_of(error, &io::Error::last_os_error())),
    }
}

fn address_of(entry: &libc::addrinfo) -> Option<SocketAddr> {
    let (_, raw) = RawAddress::receive(|address, length| {
        let size = entry.ai_addrlen.min(
            // What the caller has room for.
            mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        );
        // SAFETY: the entry's address is `ai_addrlen` bytes long, the caller's is a
        // `sockaddr_storage` of its own.
        unsafe {
            ptr::copy_nonoverlapping(entry.ai_addr.cast::<u8>(), address.cast(), size as usize);
            *length = size;
        }
        0
    })
    .ok()?;
    match raw.to_address() {
        Address::Ip(at) => Some(at),
        _ => None,
    }
}

/// `failure` is what `errno` said after the call, which counts if the lookup says so.
fn code_of(error: libc::c_int, failure: &io::Error) -> Code {
    match error {
        libc::EAI_NONAME | EAI_NODATA => Code::HostNotFound,
        libc::EAI_AGAIN => Code::LookupTryAgain,
        libc::EAI_BADFLAGS => Code::LookupBadFlags,
        libc::EAI_FAMILY => Code::LookupFamily,
        libc::EAI_MEMORY => Code::LookupMemory,
        libc::EAI_OVERFLOW => Code::LookupOverflow,
        libc::EAI_SERVICE => Code::LookupService,
        libc::EAI_SOCKTYPE => Code::LookupSocketType,
        EAI_ADDRFAMILY => Code::LookupAddrFamily,
        libc::EAI_SYSTEM => match failure.raw_os_error() {
            None | Some(0) => Code::LookupFailed,
            Some(errno) => errno::describe(errno).map_or(Code::Other(errno), |row| row.0),
        },
        _ => Code::LookupFailed,
    }
}

// The crate `libc` names these two on some systems only. All others took theirs from BSD.
const EAI_NODATA: libc::c_int = if cfg!(target_os = "linux") { -5 } else { 7 };
const EAI_ADDRFAMILY: libc::c_int = if cfg!(target_os = "linux") { -9 } else { 1 };

fn zoned(host: &str) -> Option<(Ipv6Addr, &str)> {
    let (ip, zone) = host.split_once('%')?;
    Some((ip.parse().ok()?, zone))
}

fn index_of(zone: &str) -> Result<u32, Code> {
    let name = CString::new(zone).map_err(|_| Code::HostNotFound)?;
    // SAFETY: the name ends with a NUL.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(Code::HostNotFound),
        index => Ok(index),
    }
}

fn unique(addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    for address in addresses {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_this_machine_has_its_addresses_each_once() {
        let addresses = resolve("localhost", None).unwrap();
        assert!(!addresses.is_empty());
        assert!(addresses
            .iter()
            .all(|at| at.ip().is_loopback() && at.port() == 0));
        assert_eq!(unique(addresses.iter().copied()), addresses);
    }

    #[test]
    fn a_family_limits_the_answer() {
        let v4 = resolve("localhost", Some(Family::Ipv4)).unwrap();
        assert!(v4.iter().all(SocketAddr::is_ipv4));
        // Not every system has a second address for the name.
        if let Ok(v6) = resolve("localhost", Some(Family::Ipv6)) {
            assert!(v6.iter().all(SocketAddr::is_ipv6));
        }
        let v6 = resolve("::1", Some(Family::Ipv6)).unwrap();
        assert_eq!(v6, [SocketAddr::from((Ipv6Addr::LOCALHOST, 0))]);
        assert!(resolve("::1", Some(Family::Ipv4)).is_err());
    }

    #[test]
    fn names_that_cannot_be_are_not_found() {
        let label = "a".repeat(64);
        let long = ["a"; 129].join(".");
        let names = [&label, &format!("{label}.example"), &long, "local\0host"];
        for name in names {
            assert_eq!(resolve(name, None), Err(Code::HostNotFound), "{name:?}");
        }
    }

    #[test]
    fn a_zone_has_the_number_of_its_interface() {
        // SAFETY: the name ends with a NUL.
        let index = |name: &CStr| unsafe { libc::if_nametoindex(name.as_ptr()) };
        // Linux and the BSDs.
        let (name, index) = [("lo", index(c"lo")), ("lo0", index(c"lo0"))]
            .into_iter()
            .find(|(_, index)| *index != 0)
            .unwrap();
        let at = SocketAddrV6::new("fe80::1".parse().unwrap(), 0, 0, index);
        for family in [None, Some(Family::Ipv4), Some(Family::Ipv6)] {
            let found = resolve(&format!("fe80::1%{name}"), family);
            assert_eq!(found, Ok(vec![SocketAddr::V6(at)]));
        }
        for name in ["fe80::1%none-such", "fe80::1%", "fe80::1%l\0o"] {
            assert_eq!(resolve(name, None), Err(Code::HostNotFound), "{name:?}");
        }
    }

    #[test]
    fn every_failure_has_its_code() {
        let refused = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        #[rustfmt::skip]
        let table = [
            (libc::EAI_NONAME, Code::HostNotFound),
            (EAI_NODATA, Code::HostNotFound),
            (libc::EAI_AGAIN, Code::LookupTryAgain),
            (libc::EAI_FAIL, Code::LookupFailed),
            (libc::EAI_BADFLAGS, Code::LookupBadFlags),
            (libc::EAI_FAMILY, Code::LookupFamily),
            (libc::EAI_MEMORY, Code::LookupMemory),
            (libc::EAI_OVERFLOW, Code::LookupOverflow),
            (libc::EAI_SERVICE, Code::LookupService),
            (libc::EAI_SOCKTYPE, Code::LookupSocketType),
            (EAI_ADDRFAMILY, Code::LookupAddrFamily),
            (libc::EAI_SYSTEM, Code::ConnRefused),
            (12_345, Code::LookupFailed),
        ];
        for (error, code) in table {
            assert_eq!(code_of(error, &refused), code);
        }
        let unknown = io::Error::from_raw_os_error(99_999);
        assert_eq!(code_of(libc::EAI_SYSTEM, &unknown), Code::Other(99_999));
        let silent = io::Error::from_raw_os_error(0);
        assert_eq!(code_of(libc::EAI_SYSTEM, &silent), Code::LookupFailed);
    }

    #[test]
    fn repeated_addresses_go_and_the_order_stays() {
        let at = |last| SocketAddr::from(([127, 0, 0, last], 0));
        let addresses = [at(2), at(1), at(2), at(3), at(1)];
        assert_eq!(unique(addresses.into_iter()), [at(2), at(1), at(3)]);
    }
}
