//! A transaction in the making: its messages, and what each of them does, for when one is refused.

use std::collections::BTreeMap;
use std::fmt;

use bowline_core::firewall::hooks::HookChain;
use bowline_core::firewall::{Chain, Element, Rule, Set, TABLE, Table};

use super::element::{self, Written};
use super::refusal::Refusal;
use super::wire::{self, HEADERS, Writer, flag, kind};

/// Elements per message. At most 100 bytes each, so that their attribute stays below 64 KiB.
const CHUNK: usize = 400;

mod attr {
    pub(super) const TABLE: u16 = 1;
    pub(super) const SET: u16 = 2;
    pub(super) const ELEMENTS: u16 = 3;
}

#[derive(Debug)]
pub(super) struct Batch<'a> {
    writer: Writer,
    ops: Vec<Op<'a>>,
}

#[derive(Debug)]
struct Op<'a> {
    /// Where its message begins.
    at: usize,
    what: What<'a>,
}

/// What a message does.
#[derive(Debug)]
pub(super) enum What<'a> {
    AddTable(Table),
    OwnTable(Table),
    DelTable(Table),
    AddSet(Set),
    /// A set without a name, that lives and dies with the rule which follows.
    AddRulesSet,
    FillRulesSet,
    AddChain(&'static Chain),
    AddRule(&'static Chain, &'static Rule),
    /// Deletes all rules of an administrator's chain.
    FlushHooks(HookChain),
    /// Adds one of them, which is shown so.
    AddHook(HookChain, String),
    Elements(Verb, Vec<&'a Element>),
    /// Something of the table in a container, in the words of `nft`.
    Rewrite(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    /// Fails where the element is not there.
    Delete,
    /// Does not. Kernel 6.3 and later.
    Destroy,
}

impl<'a> Batch<'a> {
    pub(super) fn new() -> Batch<'a> {
        let mut writer = Writer::default();
        writer.bytes.reserve(512);
        writer.bracket(kind::BATCH_BEGIN);
        Batch { writer, ops: Vec::new() }
    }

    /// One operation on one of our tables.
    pub(super) fn op(
        &mut self,
        table: Table,
        what: What<'a>,
        kind: u16,
        flags: u16,
        body: impl FnOnce(&mut Writer),
    ) {
        self.op_family(wire::family_of(table), what, kind, flags, body);
    }

    /// One operation on our table of that family.
    pub(super) fn op_family(
        &mut self,
        family: u8,
        what: What<'a>,
        kind: u16,
        flags: u16,
        body: impl FnOnce(&mut Writer),
    ) {
        self.ops.push(Op { at: self.writer.bytes.len(), what });
        self.writer.nftables(family, kind, flags, |w| {
            w.text(attr::TABLE, TABLE);
            body(w);
        });
    }

    /// Operations on elements, in the order that the kernel wants them: by set, intervals ascending.
    pub(super) fn elements(&mut self, verb: Verb, elements: impl IntoIterator<Item = &'a Element>) {
        let mut sets: BTreeMap<Set, Vec<(Written, &Element)>> = BTreeMap::new();
        for element in elements {
            sets.entry(element.set()).or_default().push((element::written(element), element));
        }
        let (kind, flags) = match verb {
            Verb::Add => (kind::NEW_ELEMENT, flag::CREATE),
            Verb::Delete => (kind::DEL_ELEMENT, 0),
            Verb::Destroy => (kind::DESTROY_ELEMENT, 0),
        };
        for (set, mut elements) in sets {
            elements.sort();
            elements.dedup_by(|(a, _), (b, _)| a == b);
            for chunk in elements.chunks(CHUNK) {
                let what = What::Elements(verb, chunk.iter().map(|(_, element)| *element).collect());
                self.op(set.table(), what, kind, flags, |w| {
                    w.text(attr::SET, set.name());
                    w.nest(attr::ELEMENTS, |w| chunk.iter().for_each(|(e, _)| element::put(w, e)));
                });
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Numbers all messages from `first` on, asks to be told of the last operation's success, and ends the
    /// transaction. Returns the bytes to send, and may be called again for other numbers.
    pub(super) fn seal(&mut self, first: u32) -> &[u8] {
        let w = &mut self.writer;
        if let Some(last) = self.ops.last() {
            w.flag(last.at, flag::ACK);
            w.bytes.truncate(last.at + w.len_at(last.at));
        }
        w.bracket(kind::BATCH_END);
        let (mut at, mut sequence) = (0, first);
        while at < w.bytes.len() {
            at = w.number(at, sequence);
            sequence = sequence.wrapping_add(1);
        }
        &w.bytes
    }

    /// How many operations there are. Their messages are numbered after that of the transaction's beginning.
    pub(super) fn ops(&self) -> u32 {
        u32::try_from(self.ops.len()).expect("a transaction is smaller than memory")
    }

    /// The operations' messages without what brackets them, each from its attributes on.
    pub(super) fn bodies(&self) -> impl Iterator<Item = (&What<'a>, &[u8])> {
        let w = &self.writer;
        self.ops.iter().map(|op| (&op.what, &w.bytes[op.at + HEADERS..op.at + w.len_at(op.at)]))
    }

    /// What was refused; nothing where it was the transaction itself.
    pub(super) fn what(&self, refusal: &Refusal) -> Option<&What<'a>> {
        Some(&self.ops.get(refusal.op?)?.what)
    }

    /// The element that the kernel pointed at in its refusal, or the only one there was.
    pub(super) fn element(&self, refusal: &Refusal) -> Option<&'a Element> {
        let What::Elements(_, elements) = self.what(refusal)? else { return None };
        if let [only] = elements[..] {
            return Some(only);
        }
        let pointed = refusal.offset?;
        let op = &self.ops[refusal.op?];
        let mut writer = Writer::default();
        // The elements are the last attribute of their message, so their sizes tell where each begins.
        elements.iter().for_each(|e| element::put(&mut writer, &element::written(e)));
        let begin = self.writer.len_at(op.at) - writer.bytes.len();
        writer.bytes.clear();
        elements.iter().copied().find(|e| {
            element::put(&mut writer, &element::written(e));
            (begin..begin + writer.bytes.len()).contains(&pointed)
        })
    }
}

impl What<'_> {
    pub(super) fn is_ownership(&self) -> bool {
        matches!(self, What::OwnTable(_))
    }

    pub(super) fn is_destruction(&self) -> bool {
        matches!(self, What::Elements(Verb::Destroy, _))
    }
}

impl fmt::Display for What<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::AddTable(table) => write!(f, "add table {}", shown(*table)),
            What::OwnTable(table) => write!(f, "own table {}", shown(*table)),
            What::DelTable(table) => write!(f, "delete table {}", shown(*table)),
            What::AddSet(set) if set.data().is_empty() => write!(f, "add set {}", set.name()),
            What::AddSet(map) => write!(f, "add map {}", map.name()),
            What::AddRulesSet => write!(f, "add a rule's set"),
            What::FillRulesSet => write!(f, "fill a rule's set"),
            What::AddChain(chain) => write!(f, "add chain {} {}", family(chain.table), chain.name),
            What::AddRule(chain, rule) => {
                write!(f, "add rule {} {} {rule}", family(chain.table), chain.name)
            }
            What::FlushHooks(chain) => write!(f, "flush chain inet {}", chain.name()),
            What::AddHook(chain, rule) => write!(f, "add rule inet {} {rule}", chain.name()),
            What::Rewrite(what) => f.write_str(what),
            What::Elements(verb, elements) => match elements[..] {
                [only] => write!(f, "{verb} element {only}"),
                [] => write!(f, "{verb} no elements"),
                [first, ..] => write!(f, "{verb} {} elements of {}", elements.len(), first.set().name()),
            },
        }
    }
}

/// A table as `nft` calls it.
pub(super) fn shown(table: Table) -> String {
    format!("{} {TABLE}", family(table))
}

fn family(table: Table) -> &'static str {
    match table {
        Table::Inet => "inet",
        Table::Bridge => "bridge",
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verb::Add => write!(f, "add"),
            Verb::Delete | Verb::Destroy => write!(f, "delete"),
        }
    }
}

#[cfg(test)]
mod unit {
    use bowline_core::port::{At, Ports, Protocol};
    use nix::errno::Errno;

    use super::*;
    use crate::nft::frame;

    fn net(text: &str) -> Element {
        Element::Masquerade(text.parse().unwrap())
    }

    const BEGIN: [u8; 20] = [20, 0, 0, 0, 0x10, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10];

    fn end(sequence: u8) -> [u8; 20] {
        [20, 0, 0, 0, 0x11, 0, 1, 0, sequence, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10]
    }

    #[test]
    fn a_transaction_is_bracketed_numbered_and_acknowledged_at_its_last_operation() {
        let mut batch = Batch::new();
        frame::delete(&mut batch, Table::Inet);
        frame::claim(&mut batch, Table::Bridge);
        let expected = [
            &BEGIN[..],
            &[32, 0, 0, 0, 2, 10, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
            &[12, 0, 1, 0],
            b"bowline\0",
            &[40, 0, 0, 0, 0, 10, 5, 4, 9, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0],
            &[12, 0, 1, 0],
            b"bowline\0",
            &[8, 0, 2, 0, 0, 0, 0, 6], // owned, and beyond the owner's end
            &end(10),
        ];
        assert_eq!(batch.seal(7), expected.concat());
        assert_eq!(batch.seal(7), expected.concat(), "however often it is sealed");
    }

    #[test]
    fn one_card_is_one_message() {
        let element = Element::Network("bl-front".parse().unwrap());
        let mut batch = Batch::new();
        batch.elements(Verb::Destroy, [&element]);
        let expected = [
            &BEGIN[..],
            &[80, 0, 0, 0, 30, 10, 5, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0],
            &[12, 0, 1, 0],
            b"bowline\0",
            &[13, 0, 2, 0],
            b"networks\0\0\0\0",
            &[32, 0, 3, 0x80, 28, 0, 1, 0x80, 24, 0, 1, 0x80, 20, 0, 1, 0],
            b"bl-front\0\0\0\0\0\0\0\0",
            &end(9),
        ];
        assert_eq!(batch.seal(7), expected.concat());
    }

    #[test]
    fn many_elements_are_several_messages_that_each_fit_an_attribute() {
        let links = (0..1000).map(|i| Element::Within(format!("bl-{i}").parse().unwrap()));
        let nets = (0..1000).map(|i| net(&format!("fd00:0:0:{i:x}::/64")));
        // The longest there are.
        let spans = (1..=1000).map(|i| Element::Span {
            at: At::Everywhere,
            protocol: Protocol::Udp,
            ports: Ports::one(i).unwrap(),
            to: "fd00::2".parse().unwrap(),
        });
        let elements: Vec<Element> = links.chain(nets).chain(spans).collect();
        let mut batch = Batch::new();
        batch.elements(Verb::Add, &elements);
        assert_eq!(batch.ops(), 9);
        assert!(batch.bodies().all(|(_, body)| body.len() < 40_000));
    }

    #[test]
    fn the_element_that_the_kernel_points_at_is_named() {
        let elements = ["10.0.2.0/24", "255.0.0.0/8", "10.0.1.0/24"].map(net);
        let mut batch = Batch::new();
        batch.elements(Verb::Add, &elements);
        // Headers, table, set, the list's header; then 40 bytes for each of the first two, which have an end.
        let list = 20 + 12 + 16 + 4;
        for (offset, expected) in [
            (list, Some(&elements[2])),
            (list + 16, Some(&elements[2])),
            (list + 40, Some(&elements[0])),
            (list + 80, Some(&elements[1])),
            (list - 4, None),
            (9999, None),
        ] {
            let refusal = Refusal { op: Some(0), errno: Errno::ENOTEMPTY, text: None, offset: Some(offset) };
            assert_eq!(batch.element(&refusal), expected, "{offset}");
        }
    }
}
