//! Names for those who give none: two short words that can be said on the phone.

use std::fs::File;
use std::io::Read;

use bowline_core::name::Name;
use bowline_core::{Code, Error, Result};

const HOW: [&str; 32] = [
    "able", "amber", "brave", "brisk", "calm", "clear", "coral", "crisp", "deft", "fair", "firm", "fleet",
    "fond", "glad", "keen", "kind", "level", "light", "lucky", "mild", "neat", "prime", "proud", "quick",
    "quiet", "ready", "sharp", "sound", "steady", "swift", "true", "warm",
];

const WHO: [&str; 32] = [
    "anchor", "auk", "beacon", "bosun", "buoy", "clipper", "cutter", "dinghy", "dolphin", "ferry", "gannet",
    "gull", "harbour", "heron", "jetty", "ketch", "lugger", "mate", "otter", "petrel", "pilot", "plover",
    "puffin", "reef", "schooner", "seal", "skerry", "skiff", "sloop", "tern", "wharf", "yawl",
];

/// A name that `is_free` agrees to.
pub(super) fn pick(is_free: impl Fn(&Name) -> bool) -> Result<Name> {
    for attempt in 0..64 {
        let dice = dice()?;
        let (how, who) = (HOW[dice as usize % 32], WHO[(dice >> 8) as usize % 32]);
        // A machine with hundreds of hosts runs out of pairs; a number always helps.
        let text = match attempt {
            0..8 => format!("{how}-{who}"),
            _ => format!("{how}-{who}-{}", dice >> 16),
        };
        let name = text.parse().expect("words, hyphens and digits are a name");
        if is_free(&name) {
            return Ok(name);
        }
    }
    Err(Error::new(Code::Busy, "choose a name")
        .because("each that came to mind is taken")
        .fix("give one: --name NAME"))
}

fn dice() -> Result<u32> {
    let mut bytes = [0; 4];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|e| Error::new(Code::Kernel, "read /dev/urandom").because(e))?;
    Ok(u32::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_two_words_unless_all_are_taken() {
        let name = pick(|_| true).unwrap();
        assert_eq!(name.as_str().split('-').count(), 2, "{name}");
        let name = pick(|name| name.as_str().split('-').count() == 3).unwrap();
        assert!(Name::for_new(name.as_str()).is_ok());
        assert_eq!(pick(|_| false).unwrap_err().code, Code::Busy);
    }
}
