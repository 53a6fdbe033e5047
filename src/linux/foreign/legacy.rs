//! The filter tables of the older iptables, which nf_tables does not see. Each is one block of memory that the kernel
//! copies out, and becomes the same rules as those of nf_tables.

mod entry;

use std::os::fd::{AsRawFd, OwnedFd};

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

use super::ruleset::{Family, Table};
use entry::{Block, Layout};

const FILTER: &str = "filter";
const FORWARD_HOOK: usize = 2;
/// How often the table is read anew because it was replaced in between.
const TRIES: u32 = 32;
/// No table that we read is larger.
const LARGEST: usize = 64 << 20;

/// `struct ipt_getinfo`: a name of 32 bytes, the hooks, five beginnings, five policies, a count and the size.
const INFO: usize = 84;
const INFO_BEGIN: usize = 36;
const INFO_POLICY: usize = 56;
const INFO_SIZE: usize = 80;
/// `struct ipt_get_entries`: a name of 32 bytes and the size, then entries, aligned as their counters are.
const NAME: usize = 32;
const ENTRIES: usize = (NAME + 4).next_multiple_of(align_of::<u64>());

/// The filter tables in use in the calling thread's namespace. To ask for one that is not would make it.
pub(super) fn read() -> Result<Vec<Table>> {
    let families = [
        (Family::Ip, "/proc/thread-self/net/ip_tables_names"),
        (Family::Ip6, "/proc/thread-self/net/ip6_tables_names"),
    ];
    let mut tables = Vec::new();
    for (family, names) in families {
        // There is no such file where the kernel has no older iptables.
        let names = std::fs::read_to_string(names).unwrap_or_default();
        if !names.lines().any(|name| name == FILTER) {
            continue;
        }
        let refused = |errno: Errno| {
            let code = if errno == Errno::EPERM { Code::Denied } else { Code::Kernel };
            Error::new(code, "read the filter table of the older iptables").because(errno)
        };
        let block = copy(family).map_err(refused)?;
        tables.push(Layout::of(family).table(&block).ok_or_else(|| refused(Errno::EBADMSG))?);
    }
    Ok(tables)
}

fn copy(family: Family) -> nix::Result<Block> {
    const GET_INFO: i32 = 64;
    const GET_ENTRIES: i32 = 65;
    let (domain, level) = match family {
        Family::Ip6 => (AddressFamily::Inet6, libc::IPPROTO_IPV6),
        Family::Ip | Family::Inet => (AddressFamily::Inet, libc::IPPROTO_IP),
    };
    let socket = socket(domain, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw)?;
    for _ in 0..TRIES {
        let mut info = vec![0; INFO];
        info[..FILTER.len()].copy_from_slice(FILTER.as_bytes());
        option(&socket, level, GET_INFO, &mut info)?;
        let number = |at: usize| entry::u32_at(&info, at).ok_or(Errno::EBADMSG).map(|number| number as usize);
        let size = number(INFO_SIZE)?;
        if size > LARGEST {
            return Err(Errno::EMSGSIZE);
        }
        let mut all = vec![0; ENTRIES + size];
        all[..FILTER.len()].copy_from_slice(FILTER.as_bytes());
        all[NAME..NAME + 4].copy_from_slice(&info[INFO_SIZE..INFO]);
        match option(&socket, level, GET_ENTRIES, &mut all) {
            // It has another size by now.
            Err(Errno::EAGAIN) => {}
            Err(errno) => return Err(errno),
            Ok(()) => {
                let begin = number(INFO_BEGIN + 4 * FORWARD_HOOK)?;
                let policy = number(INFO_POLICY + 4 * FORWARD_HOOK)?;
                return Ok(Block { begin, policy, entries: all.split_off(ENTRIES) });
            }
        }
    }
    Err(Errno::EBUSY)
}

/// Asks the kernel to fill the buffer, whose beginning says with what.
#[allow(unsafe_code)]
fn option(socket: &OwnedFd, level: i32, name: i32, buffer: &mut [u8]) -> nix::Result<()> {
    let mut size = buffer.len() as libc::socklen_t;
    // SAFETY: the kernel reads and writes at most `size` bytes of `buffer`; both outlive the call, the socket is open.
    let outcome = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, name, buffer.as_mut_ptr().cast(), &raw mut size)
    };
    Errno::result(outcome).map(drop)
}
