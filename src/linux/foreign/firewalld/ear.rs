//! Hears that firewalld forgot: a thread that sleeps until the bus says that firewalld reloaded or has started, and then
//! brings our bridges back. It ends when it is dropped, or when the bus does.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;

use bowline_core::{Code, Error, Result};
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::pipe2;

use super::super::dbus::{BUS, Bus, Kind, Message};
use super::{Members, NAME};

#[derive(Debug)]
pub(super) struct Ear {
    /// Closed before the thread is waited for, which ends it.
    leash: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Ear {
    /// None where there is no bus.
    pub(super) fn open(members: &Arc<Members>) -> Result<Option<Ear>> {
        let Some(mut bus) = Bus::connect(&members.bus)? else { return Ok(None) };
        let who = BUS.name;
        bus.listen(&format!("type='signal',sender='{NAME}',interface='{NAME}',member='Reloaded'"))?;
        bus.listen(&format!(
            "type='signal',sender='{who}',interface='{who}',member='NameOwnerChanged',arg0='{NAME}'"
        ))?;
        let (far, near) = pipe2(OFlag::O_CLOEXEC)
            .map_err(|e| Error::new(Code::Kernel, "make a pipe to end a thread by").because(e))?;
        let members = Arc::clone(members);
        let thread = std::thread::Builder::new()
            .name("firewalld-watch".into())
            .spawn(move || live(&mut bus, &far, &members))
            .map_err(|e| Error::new(Code::Kernel, "start a thread").because(e))?;
        Ok(Some(Ear { leash: Some(near), thread: Some(thread) }))
    }

    /// The bus has ended, or says what nobody understands.
    pub(super) fn is_deaf(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        drop(self.leash.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that hears firewalld panicked");
        }
    }
}

fn live(bus: &mut Bus, leash: &OwnedFd, members: &Members) {
    while is_spoken_to(bus, leash) {
        match bus.signal() {
            Ok(message) if has_forgotten(&message) => bring_back(members, leash),
            Ok(_) => (),
            Err(error) => return tracing::debug!("no longer listening to firewalld: {error}"),
        }
    }
}

/// Sleeps until something comes. False where the leash is let go of.
fn is_spoken_to(bus: &Bus, leash: &OwnedFd) -> bool {
    loop {
        let mut ready =
            [PollFd::new(bus.as_fd(), PollFlags::POLLIN), PollFd::new(leash.as_fd(), PollFlags::empty())];
        match poll(&mut ready, PollTimeout::NONE) {
            Ok(_) => return !ready[1].any().unwrap_or(true),
            Err(Errno::EINTR) => (),
            Err(_) => return false,
        }
    }
}

fn is_held(leash: &OwnedFd) -> bool {
    let mut ready = [PollFd::new(leash.as_fd(), PollFlags::empty())];
    poll(&mut ready, PollTimeout::ZERO) == Ok(0)
}

fn has_forgotten(message: &Message) -> bool {
    let is = |interface: &str, member: &str| {
        message.interface.as_deref() == Some(interface) && message.member.as_deref() == Some(member)
    };
    message.kind == Kind::Signal && (is(NAME, "Reloaded") || is(BUS.interface, "NameOwnerChanged"))
}

fn bring_back(members: &Members, leash: &OwnedFd) {
    let bridges: Vec<_> = members.lock().keys().cloned().collect();
    let mut known = 0;
    for bridge in bridges {
        if !is_held(leash) {
            return;
        }
        match members.bring_back(&bridge) {
            Ok(is_known) => known += usize::from(is_known),
            Err(error) => {
                tracing::warn!(%bridge, code = %error.code, "bring a bridge back to firewalld: {error}");
            }
        }
    }
    if known > 0 {
        tracing::info!(bridges = known, "firewalld knows our bridges again");
    }
}
