//! Who keeps the resolver's sockets while the daemon is away, as the daemon sees it: a process or systemd, it does not matter.

use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use bowline_core::Result;
use bowline_core::place::Place;

/// Keeps sockets open when the daemon ends, however it ends. Neither call waits for another process, but for the first that
/// finds none; and none fails because of what was said before.
///
/// A kept socket is the same open file as the daemon's own: that one closed, it still pins its namespace and its port, and
/// is still in every epoll that it was not taken out of. So whoever closes a kept socket forgets it as well.
pub trait Keeper: Send + Sync {
    /// Keeps these under that name, in place of what the name had. What was sent when this returns outlives the daemon. After
    /// an error the keeper still knows of them, and later calls try again; nothing need be undone.
    fn keep(&self, name: &str, sockets: &[BorrowedFd<'_>]) -> Result<()>;

    /// Lets go of what the name has, if it has anything. The other side closes it soon after.
    fn forget(&self, name: &str) -> Result<()>;
}

/// What was kept when the daemon began. Whatever the daemon does not use, it forgets by its name.
pub type Kept = Vec<(String, Vec<OwnedFd>)>;

/// How a keeper is found, once the daemon knows where and has a log.
pub struct Opening(Box<Open>);

type Open = dyn FnOnce(&Path) -> Result<Opened> + Send;
type Opened = (Box<dyn Keeper>, Kept);

impl Opening {
    pub fn new(open: impl FnOnce(&Path) -> Result<Opened> + Send + 'static) -> Opening {
        Opening(Box::new(open))
    }

    /// To be called when the stores are locked: only one daemon may have what was kept.
    pub fn open(self, run_dir: &Path) -> Result<Opened> {
        (self.0)(run_dir)
    }
}

impl Default for Opening {
    /// Nobody keeps anything.
    fn default() -> Opening {
        Opening::new(|_| Ok((Box::new(NoKeeper), Kept::new())))
    }
}

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening").finish_non_exhaustive()
    }
}

/// Of a kernel without sockets.
#[derive(Debug, Clone, Copy)]
pub struct NoKeeper;

impl Keeper for NoKeeper {
    fn keep(&self, _: &str, _: &[BorrowedFd<'_>]) -> Result<()> {
        Ok(())
    }

    fn forget(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

/// What the resolver's sockets in a namespace are kept under. systemd allows letters, digits, `-` and `_`.
pub fn name_of(place: Place) -> String {
    format!("dns-{:x}", place.0)
}

/// Whose resolver's sockets have that name; None where it is no name that [`name_of`] gives.
pub fn place_of(name: &str) -> Option<Place> {
    let place = Place(u64::from_str_radix(name.strip_prefix("dns-")?, 16).ok()?);
    (name_of(place) == name).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_back_to_its_place_and_no_other_name_does() {
        for number in [0, 1, 0xdead_beef, u64::MAX] {
            assert_eq!(place_of(&name_of(Place(number))), Some(Place(number)));
        }
        for name in ["", "dns-", "dns-0x1", "dns-01", "dns-+1", "dns-A", "dns-1g", "tcp-1", "bowline.socket"]
        {
            assert_eq!(place_of(name), None, "{name}");
        }
        assert_eq!(place_of("dns-10000000000000000"), None, "that is no cookie");
    }

    #[test]
    fn where_nobody_keeps_anything_nothing_was_kept() {
        let (keeper, kept) = Opening::default().open(Path::new("/nowhere")).unwrap();
        assert!(kept.is_empty());
        keeper.keep("dns-1", &[]).unwrap();
    }
}
