//! What the kernel says when it refuses: an errno, and often a sentence in the extended acknowledgement.
//! Which errno means what depends on the request, so the caller looks at it before it becomes an [`Error`].

use bowline_core::{Code, Error};
use netlink_packet_core::{DecodeError, NLM_F_ACK_TLVS, NLM_F_CAPPED};
use nix::errno::Errno;

use super::wire;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) errno: Errno,
    /// The kernel's own words.
    pub(crate) text: Option<String>,
}

impl Failure {
    /// The failure as an error, where no errno has a meaning of its own.
    pub(crate) fn error(self, what: impl Into<String>) -> Error {
        match self.errno {
            Errno::EPERM | Errno::EACCES => {
                self.coded(Code::Denied, what).fix("run it as root, or with CAP_NET_ADMIN and CAP_SYS_ADMIN")
            }
            Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT => {
                self.coded(Code::Unsupported, what)
            }
            Errno::ETIMEDOUT => self.coded(Code::Timeout, what),
            Errno::EAGAIN | Errno::EBUSY | Errno::ENOBUFS => self.coded(Code::Busy, what),
            _ => self.coded(Code::Kernel, what),
        }
    }

    pub(crate) fn coded(self, code: Code, what: impl Into<String>) -> Error {
        let error = Error::new(code, what).because(self.errno);
        match self.text {
            Some(text) => error.because(text),
            None => error,
        }
    }

    /// Reads the payload of an NLMSG_ERROR; None for an acknowledgement.
    pub(crate) fn parse(flags: u16, payload: &[u8]) -> Option<Failure> {
        let code = payload.first_chunk().map_or(-(Errno::EBADMSG as i32), |b| i32::from_ne_bytes(*b));
        if code == 0 {
            return None;
        }
        Some(Failure { errno: Errno::from_raw(code.saturating_neg()), text: text_of(flags, payload) })
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        Failure { errno, text: None }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        Errno::from_raw(error.raw_os_error().unwrap_or(0)).into()
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Failure {
        Failure { errno: Errno::EBADMSG, text: Some(error.to_string()) }
    }
}

/// The message attribute. It follows the header of our request, and all of the request unless that was cut off.
fn text_of(flags: u16, payload: &[u8]) -> Option<String> {
    const CODE: usize = 4;
    const HEADER: usize = 16;
    const NLMSGERR_ATTR_MSG: u16 = 1;

    if flags & NLM_F_ACK_TLVS == 0 {
        return None;
    }
    let request = match flags & NLM_F_CAPPED {
        0 => u32::from_ne_bytes(*payload.get(CODE..)?.first_chunk()?) as usize,
        _ => HEADER,
    };
    let attributes = payload.get(CODE + request.checked_next_multiple_of(4)?..)?;
    wire::attributes(attributes)
        .filter_map(Result::ok)
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .and_then(|(_, value)| wire::text(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: i32, request: &[u8], attributes: &[u8]) -> Vec<u8> {
        let mut payload = code.to_ne_bytes().to_vec();
        payload.extend((16 + request.len() as u32).to_ne_bytes());
        payload.extend([0; 12]);
        payload.extend(request);
        payload.extend(attributes);
        payload
    }

    const OFFSET: [u8; 8] = [8, 0, 2, 0, 40, 0, 0, 0];
    const TEXT: [u8; 8] = [8, 0, 1, 0, b'b', b'a', b'd', 0];

    #[test]
    fn an_acknowledgement_is_no_failure() {
        assert_eq!(Failure::parse(NLM_F_CAPPED, &refusal(0, &[], &[])), None);
    }

    #[test]
    fn the_kernels_words_are_found_after_a_capped_request_and_after_a_whole_one() {
        let said = Some(Failure { errno: Errno::EINVAL, text: Some("bad".into()) });
        let attributes = [OFFSET, TEXT].concat();
        assert_eq!(Failure::parse(NLM_F_CAPPED | NLM_F_ACK_TLVS, &refusal(-22, &[], &attributes)), said);
        assert_eq!(Failure::parse(NLM_F_ACK_TLVS, &refusal(-22, &[9; 12], &attributes)), said);
    }

    #[test]
    fn without_words_or_with_damaged_ones_the_errno_remains() {
        let bare = Some(Failure::from(Errno::EPERM));
        assert_eq!(Failure::parse(NLM_F_CAPPED, &refusal(-1, &[], &[])), bare);
        assert_eq!(Failure::parse(NLM_F_CAPPED | NLM_F_ACK_TLVS, &refusal(-1, &[], &[200, 0, 1, 0])), bare);
        assert_eq!(Failure::parse(NLM_F_ACK_TLVS, &(-1_i32).to_ne_bytes()), bare);
        assert_eq!(Failure::parse(0, &[]), Some(Failure::from(Errno::EBADMSG)));
    }

    #[test]
    fn the_error_says_what_was_tried_and_both_reasons() {
        let failure = Failure { errno: Errno::EINVAL, text: Some("Nexthop has invalid gateway".into()) };
        let error = failure.error("add route");
        assert_eq!(error.to_string(), "add route: EINVAL: Invalid argument: Nexthop has invalid gateway");
        assert_eq!(Failure::from(Errno::EPERM).error("x").code, Code::Denied);
    }
}
