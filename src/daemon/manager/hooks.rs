//! The administrator's own rules: read at the start and with every reload. What is wrong changes nothing: the rules that
//! were in force last stay so, after a restart too.

use bowline_core::firewall::hooks::{HookChain, Hooks};
use bowline_core::{Error, Result};

use super::{Manager, held};
use crate::hooks;

/// What is in force, and why that is not what the files say.
#[derive(Debug, Default)]
pub(super) struct Rules {
    hooks: Hooks,
    error: Option<Error>,
}

impl Manager {
    /// Before anything else is in the tables. Whatever fails, the daemon serves: without rules that never were in force,
    /// nothing is open that was closed before.
    pub(super) fn first_hooks(&self) {
        let Err(error) = self.reload_hooks() else { return };
        tracing::error!(code = %error.code, "your own rules: {error}");
        match hooks::kept(&self.paths.state_dir) {
            Ok(Some(last)) => {
                tracing::warn!(rules = last.len(), "your rules of last time stay in force");
                match self.kernel.set_hooks(&last) {
                    Ok(()) => held(&self.rules).hooks = last,
                    Err(error) => tracing::error!(code = %error.code, "your rules of last time: {error}"),
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(code = %error.code, "your rules of last time: {error}"),
        }
    }

    pub(super) fn reload_hooks(&self) -> Result<()> {
        let dir = self.config().rules.clone();
        let read = hooks::read(&dir).and_then(|fresh| self.kernel.set_hooks(&fresh).map(|()| fresh));
        let mut rules = held(&self.rules);
        match read {
            Ok(fresh) => {
                hooks::keep(&self.paths.state_dir, &fresh)?;
                *rules = Rules { hooks: fresh, error: None };
                Ok(())
            }
            Err(error) => {
                rules.error = Some(error.clone());
                Err(error)
            }
        }
    }

    /// In words: those in force, and what is wrong with the files.
    pub(super) fn user_rules(&self) -> (Vec<String>, Option<String>) {
        let rules = held(&self.rules);
        let of = |chain: HookChain| {
            rules.hooks.rules(chain).iter().map(move |rule| format!("{} {rule}", chain.name()))
        };
        let all = of(HookChain::Prerouting).chain(of(HookChain::Forward)).collect();
        (all, rules.error.as_ref().map(ToString::to_string))
    }
}
