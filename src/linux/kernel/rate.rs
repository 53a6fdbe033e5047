//! How fast packets may leave by a link: a token bucket (`tbf`) as the root of its queueing disciplines.
//! Such a thing has no alias; its handle is our mark, and a root that bears another is a stranger's and stays.

use std::collections::HashMap;

use bowline_core::name::LinkName;
use bowline_core::rate::Rate;
use bowline_core::state::Link;
use bowline_core::{Code, Error, Result};
use netlink_packet_core::{DecodeError, DefaultNla, NLM_F_CREATE};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::tc::{TcAttribute, TcHandle, TcMessage, TcOption};
use nix::errno::Errno;

use crate::netlink::wire::{self, SeenLink};
use crate::netlink::{Failure, Netlink};

/// The letters are "bw". The kernel itself gives out handles from 0x8000 on.
const OURS: TcHandle = TcHandle { major: 0x6277, minor: 0 };
const KIND: &str = "tbf";

/// Gives a link its rate, or takes the one away that it has from us.
pub(crate) fn set(route: &mut Netlink, name: &LinkName, link: &Link, seen: &SeenLink) -> Result<()> {
    match link.rate {
        Some(rate) => {
            let bucket = Bucket::new(rate, link.mtu);
            if seen.shaped && is_too_full(route, bucket, seen.index)? {
                take(route, name, seen.index)?;
            }
            give(route, name, bucket, seen.index)
        }
        None if seen.shaped => take(route, name, seen.index),
        None => Ok(()),
    }
}

/// Limits a link that is there for the trial only.
pub(crate) fn attempt(route: &mut Netlink, index: u32) -> Result<()> {
    let name = "tried".parse()?;
    give(route, &name, Bucket::new(Rate::new(1_000_000)?, 1500), index)
}

/// What we gave to these links, by their indexes. Where none is shaped, the kernel is not asked.
pub(crate) fn of(route: &mut Netlink, links: &[SeenLink]) -> Result<HashMap<u32, Rate>> {
    if !links.iter().any(|link| link.shaped) {
        return Ok(HashMap::new());
    }
    let ours = all(route)?.into_iter().filter(SeenQdisc::is_ours);
    Ok(ours.filter_map(|seen| Some((seen.index, seen.rate()?))).collect())
}

/// True where what waits already may be more than the new bucket ever holds: the kernel splits a super-packet as it
/// comes, by the burst of that moment, and one that is larger than a later burst would wait for ever, and all behind it.
/// So that queue is lost with its bucket; otherwise a change loses nothing.
fn is_too_full(route: &mut Netlink, bucket: Bucket, index: u32) -> Result<bool> {
    let there = all(route)?.into_iter().filter(|seen| seen.index == index).find(SeenQdisc::is_ours);
    Ok(there.and_then(|seen| seen.bucket).is_some_and(|old| bucket.burst < old.burst.min(Bucket::LARGEST)))
}

/// Without NLM_F_REPLACE, the kernel changes what bears our handle and keeps its queue, puts ours in the place of a
/// default, and refuses where there is anything else: one message, and no moment between a look and a deed.
fn give(route: &mut Netlink, name: &LinkName, bucket: Bucket, index: u32) -> Result<()> {
    let mut message = root_of(index);
    message.attributes.push(bucket.options());
    let what = || format!("limit what leaves by {name}");
    match route.change(RouteNetlinkMessage::NewQueueDiscipline(message), NLM_F_CREATE) {
        Ok(()) => Ok(()),
        // No such kind, or no queueing at all.
        Err(e) if matches!(e.errno, Errno::ENOENT | Errno::EOPNOTSUPP) => Err(e
            .coded(Code::Unsupported, what())
            .because("the kernel has no token bucket")
            .fix("load the module sch_tbf, or leave the rates out")),
        Err(e) if matches!(e.errno, Errno::EEXIST | Errno::EINVAL) => match stranger(route, index)? {
            Some(seen) => Err(foreign(name, &seen)),
            None => Err(e.error(what())),
        },
        Err(e) => Err(e.error(what())),
    }
}

/// Takes away what bears our handle. A kernel that finds something else, or nothing, refuses, which is as well.
fn take(route: &mut Netlink, name: &LinkName, index: u32) -> Result<()> {
    match route.change(RouteNetlinkMessage::DelQueueDiscipline(root_of(index)), 0) {
        Ok(()) => Ok(()),
        Err(e) if matches!(e.errno, Errno::EINVAL | Errno::ENOENT | Errno::ENODEV) => Ok(()),
        Err(e) => Err(e.error(format!("take the limit from {name}"))),
    }
}

fn stranger(route: &mut Netlink, index: u32) -> Result<Option<SeenQdisc>> {
    let there = all(route)?.into_iter();
    Ok(there.filter(|seen| seen.index == index).find(SeenQdisc::is_strangers_root))
}

/// A dump, also where only one is wanted: asked for one, older kernels tell those who listen to notices, and not who
/// asked. Nor can a dump be of one link alone.
fn all(route: &mut Netlink) -> Result<Vec<SeenQdisc>> {
    route
        .dump(&RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default()), |payload| {
            Ok(Some(SeenQdisc::parse(payload)?))
        })
        .map_err(|e: Failure| e.error("list the queueing disciplines"))
}

fn foreign(name: &LinkName, seen: &SeenQdisc) -> Error {
    Error::new(Code::LinkExists, format!("limit what leaves by {name}"))
        .because(format!("its queueing discipline {} {:x}: is not ours", seen.kind, seen.handle.major))
        .fix("delete that if nobody needs it, with tc qdisc del, or leave the rate out")
}

fn root_of(index: u32) -> TcMessage {
    let mut message = TcMessage::with_index(index.cast_signed());
    message.header.parent = TcHandle::ROOT;
    message.header.handle = OURS;
    message.attributes.push(TcAttribute::Kind(KIND.to_string()));
    message
}

/// The sizes of a token bucket, in bytes. The rate counts whole frames, as it does for everybody who uses tc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    /// A second.
    rate: u64,
    /// What may leave at once after a pause.
    burst: u32,
    /// What may wait.
    queue: u32,
}

impl Bucket {
    /// No packet is larger, the headers of its frames included: the kernel bounds a super-packet by 8 times 65535 bytes.
    const LARGEST: u32 = 640 * 1024;
    /// Ethernet's header with one tag.
    const HEADER: u32 = 18;
    /// The least queue: somewhat more than what a sender begins with, ten packets (RFC 6928).
    const LEAST_QUEUE: u64 = 32 * 1024;
    /// At the fastest rates memory counts for more than what is lost.
    const MOST_BURST: u64 = 16 * 1024 * 1024;
    const MOST_QUEUE: u64 = 32 * 1024 * 1024;

    /// The burst is what leaves in 10 ms: that late may a busy processor be for the next packet without a loss of speed.
    /// A super-packet larger than the burst is sent as its frames, which costs little at such rates; from 200 Mbit a
    /// second on, even one of 192 KiB leaves whole. Two frames always fit: one that leaves, and one to save up for
    /// meanwhile. The queue is that of 100 ms.
    fn new(rate: Rate, mtu: u32) -> Bucket {
        let rate = rate.bytes_per_second();
        let frame = u64::from(mtu.saturating_add(Bucket::HEADER));
        let burst = (rate / 100).min(Bucket::MOST_BURST).max(2 * frame);
        let queue = (rate / 10).clamp(Bucket::LEAST_QUEUE, Bucket::MOST_QUEUE).max(4 * frame);
        let bytes = |size| u32::try_from(size).unwrap_or(u32::MAX);
        Bucket { rate, burst: bytes(burst), queue: bytes(queue) }
    }

    fn options(self) -> TcAttribute {
        let mut options = vec![parameters(self), (TCA_TBF_BURST, self.burst.to_ne_bytes().to_vec())];
        if self.rate > u64::from(u32::MAX) {
            options.push((TCA_TBF_RATE64, self.rate.to_ne_bytes().to_vec()));
        }
        let other = |(kind, bytes)| TcOption::Other(DefaultNla::new(kind, bytes));
        TcAttribute::Options(options.into_iter().map(other).collect())
    }
}

const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_BURST: u16 = 6;

/// struct tc_tbf_qopt: two struct tc_ratespec of 12 bytes, the second for a peak that we do not have, then the limit,
/// the burst in the kernel's ticks, for which TCA_TBF_BURST stands in what we say, and the peak's burst.
const QOPT: usize = 36;
/// Where its numbers are.
const RATE: usize = 8;
const LIMIT: usize = 24;
const BUFFER: usize = 28;

fn parameters(bucket: Bucket) -> (u16, Vec<u8>) {
    const LINKLAYER: usize = 1;
    const ETHERNET: u8 = 1;
    let mut bytes = vec![0; QOPT];
    bytes[LINKLAYER] = ETHERNET;
    // The most that fits says to look at TCA_TBF_RATE64.
    let rate = u32::try_from(bucket.rate).unwrap_or(u32::MAX);
    bytes[RATE..RATE + 4].copy_from_slice(&rate.to_ne_bytes());
    bytes[LIMIT..LIMIT + 4].copy_from_slice(&bucket.queue.to_ne_bytes());
    (TCA_TBF_PARMS, bytes)
}

/// What leaves within so many of the kernel's ticks, each of 64 ns. Where it counts, below 640 KiB, that is
/// right to 4 bytes, and what was said reads back as no more than it was.
fn bytes_within(ticks: u32, rate: u64) -> u32 {
    let nanos = u128::from(ticks) * 64;
    let bytes = (nanos * u128::from(rate)).div_ceil(1_000_000_000);
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A queueing discipline as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SeenQdisc {
    /// Of its link.
    index: u32,
    handle: TcHandle,
    parent: TcHandle,
    kind: String,
    /// Of a token bucket.
    bucket: Option<Bucket>,
}

impl SeenQdisc {
    /// Reads the payload of an RTM_NEWQDISC.
    fn parse(payload: &[u8]) -> Result<SeenQdisc, DecodeError> {
        const HEADER: usize = 20;
        const TCA_KIND: u16 = 1;
        const TCA_OPTIONS: u16 = 2;
        let (header, rest) = payload
            .split_at_checked(HEADER)
            .ok_or_else(|| DecodeError::from("the kernel's message is shorter than its header"))?;
        let word = |at: usize| wire::number(&header[at..]).unwrap_or_default();
        let (mut kind, mut bucket) = (String::new(), None);
        for attribute in wire::attributes(rest) {
            match attribute? {
                (TCA_KIND, value) => kind = wire::text(value).unwrap_or_default(),
                // The kind comes first. What other kinds have here is nothing to us, and not always attributes.
                (TCA_OPTIONS, value) if kind == KIND => bucket = bucket_of(value)?,
                _ => (),
            }
        }
        Ok(SeenQdisc { index: word(4), handle: word(8).into(), parent: word(12).into(), kind, bucket })
    }

    fn is_ours(&self) -> bool {
        self.parent == TcHandle::ROOT && self.handle == OURS && self.kind == KIND
    }

    /// A default has no handle, and is nobody's.
    fn is_strangers_root(&self) -> bool {
        self.parent == TcHandle::ROOT && self.handle != TcHandle::UNSPEC && !self.is_ours()
    }

    /// None where a hand changed it to something that we would not give.
    fn rate(&self) -> Option<Rate> {
        Rate::new(self.bucket?.rate.saturating_mul(8)).ok()
    }
}

fn bucket_of(options: &[u8]) -> Result<Option<Bucket>, DecodeError> {
    let (mut parameters, mut large) = (None, None);
    for attribute in wire::attributes(options) {
        match attribute? {
            (TCA_TBF_PARMS, value) => parameters = value.first_chunk::<QOPT>(),
            (TCA_TBF_RATE64, value) => large = value.first_chunk().map(|b| u64::from_ne_bytes(*b)),
            _ => (),
        }
    }
    let Some(parameters) = parameters else { return Ok(None) };
    let number = |at: usize| wire::number(&parameters[at..]).unwrap_or_default();
    let rate = large.unwrap_or_else(|| number(RATE).into());
    Ok(Some(Bucket { rate, burst: bytes_within(number(BUFFER), rate), queue: number(LIMIT) }))
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    fn bucket(rate: &str, mtu: u32) -> Bucket {
        Bucket::new(rate.parse().unwrap(), mtu)
    }

    fn sizes(rate: &str, mtu: u32) -> (u32, u32) {
        let bucket = bucket(rate, mtu);
        (bucket.burst, bucket.queue)
    }

    #[test]
    fn a_bucket_follows_its_rate_between_what_frames_need_and_what_memory_bears() {
        assert_eq!(sizes("8kbit", 1500), (3_036, 32_768));
        assert_eq!(sizes("10mbit", 1500), (12_500, 125_000));
        assert_eq!(sizes("10mbit", 65_535), (131_106, 262_212));
        assert_eq!(sizes("1gbit", 1500), (1_250_000, 12_500_000));
        assert_eq!(sizes("1000gbit", 1500), (16_777_216, 33_554_432));
    }

    #[test]
    fn the_largest_super_packet_leaves_whole_at_rates_where_that_counts() {
        // With the headers of its frames.
        assert!(bucket("200mbit", 1500).burst > 196_608 + 196_608 / 1448 * 66);
        assert!(bucket("100mbit", 1500).burst > 65_536 + 65_536 / 1448 * 66);
    }

    fn shown(bucket: Bucket, handle: TcHandle) -> SeenQdisc {
        let mut message = root_of(7);
        message.header.handle = handle;
        message.attributes.push(bucket.options());
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        SeenQdisc::parse(&bytes).unwrap()
    }

    #[test]
    fn what_is_said_reads_back_be_it_slow_or_fast() {
        for rate in ["8kbit", "10mbit", "34gbit", "35gbit", "1000gbit"] {
            let seen = shown(bucket(rate, 1500), OURS);
            assert_eq!((seen.index, seen.is_ours(), seen.rate()), (7, true, rate.parse().ok()), "{rate}");
        }
    }

    #[test]
    fn a_burst_in_ticks_is_read_in_bytes() {
        assert_eq!(bytes_within(47_437_500, 1_000), 3_036);
        // 12500 bytes and 3036 bytes, as the kernel shows them.
        assert_eq!(bytes_within(156_250, 1_250_000), 12_500);
        assert_eq!(bytes_within(379_500, 125_000), 3_036);
        assert_eq!(bytes_within(u32::MAX, u64::MAX), u32::MAX);
    }

    #[test]
    fn the_handle_tells_ours_from_a_strangers_and_both_from_a_default() {
        let seen = shown(bucket("10mbit", 1500), TcHandle { major: 1, minor: 0 });
        assert_eq!((seen.is_ours(), seen.is_strangers_root()), (false, true));
        assert!(!shown(bucket("10mbit", 1500), TcHandle::UNSPEC).is_strangers_root());
        let other = SeenQdisc { kind: "htb".into(), ..shown(bucket("10mbit", 1500), OURS) };
        assert_eq!((other.is_ours(), other.is_strangers_root()), (false, true));
        assert!(!SeenQdisc { parent: OURS, ..seen }.is_strangers_root());
    }

    #[test]
    fn a_damaged_message_is_an_error_and_not_a_shorter_one() {
        assert!(SeenQdisc::parse(&[0; 19]).is_err());
        assert!(SeenQdisc::parse(&[&[0; 20][..], &[200, 0, 1, 0]].concat()).is_err());
    }
}
