//! Labels: a user's own words on networks and endpoints, bounded and printable.

use std::collections::BTreeMap;

use bowline_core::{Code, Error, Result};

const MOST: usize = 128;
const LONGEST: usize = 4096;

pub(crate) fn check(labels: &BTreeMap<String, String>) -> Result<()> {
    let bad = |why: String| Err(Error::new(Code::InvalidOption, "the labels are not usable").because(why));
    if labels.len() > MOST {
        return bad(format!("there are {} of them, and {MOST} are the most", labels.len()));
    }
    for (key, value) in labels {
        if key.is_empty() || key.len() > 256 || value.len() > LONGEST {
            return bad(format!("label {:.40?} is empty or too long", key));
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            return bad(format!("label {key:.40?} contains a control character"));
        }
    }
    Ok(())
}
