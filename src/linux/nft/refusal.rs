//! What the kernel answers when it does not do what it was asked to, and the error we make of it.

use bowline_core::{Code, Error};
use nix::errno::Errno;

use super::batch::{Batch, What};
use super::wire::{self, HEADER, Message, flag};

/// Why a request came to nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// By the kernel. Of a transaction, none of it was done.
    Refused(Vec<Refusal>),
    /// What was read is not of one moment, or parts of it are lost.
    Interrupted,
    /// The socket itself failed.
    Broken(Error),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Which operation of a transaction. None where it was the transaction or a plain request.
    pub(super) op: Option<usize>,
    pub(super) errno: Errno,
    /// The kernel's own words.
    pub(super) text: Option<String>,
    /// Where in the message is what the kernel minds.
    pub(super) offset: Option<usize>,
}

/// What our tables are made of, where it is not built in.
const MODULES: &str = "bridge nf_tables nft_ct nft_chain_nat nft_nat nft_masq nft_fib_inet";
/// What the administrator's rules need besides.
const HOOK_MODULES: &str = "nft_ct nft_fib_inet nft_limit nft_log nft_reject_inet";

const EXPLANATION_TEXT: u16 = 1;
const EXPLANATION_OFFSET: u16 = 2;

/// What an error message says; None where it says that all is well.
pub(super) fn read(message: &Message<'_>) -> Option<Refusal> {
    let code = wire::u32_at(message.payload, 0).map_or(0, u32::cast_signed);
    if code == 0 {
        return None;
    }
    let mut refusal =
        Refusal { op: None, errno: Errno::from_raw(code.saturating_neg()), text: None, offset: None };
    if message.flags & flag::EXPLAINED == 0 {
        return Some(refusal);
    }
    // The refused message comes first, or only its header.
    let repeated = match message.flags & flag::CAPPED {
        0 => wire::u32_at(message.payload, 4).map_or(HEADER, |len| wire::align(len as usize)),
        _ => HEADER,
    };
    let explanation = message.payload.get(4 + repeated..).unwrap_or_default();
    refusal.text = wire::find(explanation, EXPLANATION_TEXT).map(|text| {
        let text = text.strip_suffix(b"\0").unwrap_or(text);
        String::from_utf8_lossy(text).into_owned()
    });
    let offset = wire::find(explanation, EXPLANATION_OFFSET).and_then(|value| wire::u32_at(value, 0));
    refusal.offset = offset.map(|offset| offset as usize);
    Some(refusal)
}

/// The error of a transaction that came to nothing.
pub(super) fn explain_batch(batch: &Batch<'_>, fault: Fault) -> Error {
    let Fault::Refused(all) = fault else {
        return explain(fault, || "change the firewall".into());
    };
    // What refuses the whole says more than what a part has to complain of.
    let Some(worst) = all.iter().min_by_key(|refusal| refusal.op) else {
        return Error::new(Code::Internal, "the firewall was not changed, and no reason was given");
    };
    let what = match (batch.what(worst), batch.element(worst)) {
        (Some(What::Elements(verb, _)), Some(element)) => format!("{verb} element {element}"),
        (Some(what), _) => what.to_string(),
        (None, _) => "change the firewall".to_string(),
    };
    if let Some(modules) = batch.what(worst).and_then(modules)
        && matches!(worst.errno, Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EAFNOSUPPORT)
    {
        let fix = format!("load the kernel modules: modprobe -a {modules}");
        return error(worst, Code::Unsupported, what).fix(fix);
    }
    let error = of(worst, what);
    match all.len() {
        1 => error,
        more => error.because(format!("and {} more operations were refused", more - 1)),
    }
}

/// The kernel may have no part for it until these are loaded.
fn modules(what: &What<'_>) -> Option<&'static str> {
    match what {
        What::AddTable(_) | What::AddChain(_) | What::AddRule(..) | What::AddSet(_) => Some(MODULES),
        What::AddHook(..) => Some(HOOK_MODULES),
        What::Rewrite(_) => Some("nf_tables"),
        What::OwnTable(_)
        | What::DelTable(_)
        | What::AddRulesSet
        | What::FillRulesSet
        | What::FlushHooks(_)
        | What::Elements(..) => None,
    }
}

/// The error of a request that came to nothing. `what` was being done.
pub(super) fn explain(fault: Fault, what: impl FnOnce() -> String) -> Error {
    match fault {
        Fault::Refused(all) => match all.first() {
            Some(first) => of(first, what()),
            None => Error::new(Code::Internal, what()).because("refused without a reason"),
        },
        Fault::Interrupted => Error::new(Code::Busy, what())
            .because("the kernel had no memory for its answers")
            .fix("try again"),
        Fault::Broken(error) => error.context(what()),
    }
}

fn of(refusal: &Refusal, what: String) -> Error {
    let whole = refusal.op.is_none();
    match refusal.errno {
        Errno::EPERM => error(refusal, Code::Denied, what).fix("run as root, or with CAP_NET_ADMIN"),
        // Of an operation it is a detail that is not supported, of the whole it is nf_tables.
        Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT | Errno::EINVAL if whole => {
            error(refusal, Code::Unsupported, what).fix("load the nf_tables module: modprobe nf_tables")
        }
        _ => error(refusal, Code::Kernel, what),
    }
}

fn error(refusal: &Refusal, code: Code, what: String) -> Error {
    let error = Error::new(code, what).because(format!("{:?}", refusal.errno));
    match &refusal.text {
        Some(text) => error.because(text),
        None => error,
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    fn message<'a>(flags: u16, payload: &'a [u8]) -> Message<'a> {
        Message { kind: wire::kind::ERROR, flags, sequence: 1, payload }
    }

    const ENOENT: [u8; 4] = (-2_i32).to_ne_bytes();
    const TEXT: &[u8] = &[7, 0, 1, 0, b'n', b'o', 0, 0];
    const OFFSET: &[u8] = &[8, 0, 2, 0, 32, 0, 0, 0];

    #[test]
    fn no_error_is_no_refusal() {
        assert_eq!(read(&message(0, &[0; 20])), None);
        assert_eq!(read(&message(0, &[])), None, "a dump may end without a word");
    }

    #[test]
    fn a_refusal_carries_the_words_of_the_kernel() {
        let expected =
            Refusal { op: None, errno: Errno::ENOENT, text: Some("no".to_string()), offset: Some(32) };
        let capped = [&ENOENT[..], &[0; 16], TEXT, OFFSET].concat();
        assert_eq!(read(&message(flag::CAPPED | flag::EXPLAINED, &capped)), Some(expected.clone()));

        let mut refused = [0; 24];
        refused[..4].copy_from_slice(&22_u32.to_ne_bytes());
        let whole = [&ENOENT[..], &refused, OFFSET, TEXT].concat();
        assert_eq!(read(&message(flag::EXPLAINED, &whole)), Some(expected));
    }

    #[test]
    fn a_refusal_without_words_or_cut_short_is_one_all_the_same() {
        let bare = Some(Refusal { op: None, errno: Errno::ENOENT, text: None, offset: None });
        assert_eq!(read(&message(0, &ENOENT)), bare);
        assert_eq!(read(&message(flag::EXPLAINED, &ENOENT)), bare);
        assert_eq!(
            read(&message(flag::CAPPED | flag::EXPLAINED, &[&ENOENT[..], &[0; 16], &TEXT[..3]].concat())),
            bare
        );
    }

    #[test]
    fn a_kernel_without_nf_tables_is_told_from_one_without_a_part() {
        let mut batch = Batch::new();
        super::super::frame::fill(&mut batch);
        let code = |op, errno| {
            let refusal = Refusal { op, errno, text: None, offset: None };
            explain_batch(&batch, Fault::Refused(vec![refusal]))
        };
        let whole = code(None, Errno::EOPNOTSUPP);
        assert_eq!(
            (whole.code, whole.fix.as_deref()),
            (Code::Unsupported, Some("load the nf_tables module: modprobe nf_tables"))
        );
        let last = usize::try_from(batch.ops()).unwrap() - 1;
        let rule = code(Some(last), Errno::ENOENT);
        assert_eq!(rule.code, Code::Unsupported);
        assert!(rule.to_string().starts_with("add rule bridge prerouting drop"), "{rule}");
        assert_eq!(code(None, Errno::EPERM).code, Code::Denied);
        assert_eq!(code(Some(0), Errno::ENOMEM).to_string(), "add set networks: ENOMEM");
    }
}
