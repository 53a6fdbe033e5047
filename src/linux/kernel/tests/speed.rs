//! How long things take. Run by hand, on a quiet machine and an optimised build:
//! `cargo test --release -p bowline-linux speed -- --ignored --nocapture --test-threads 1`

use std::time::{Duration, Instant};

use bowline_core::kernel::{Kernel as _, Scope};
use bowline_core::plan::{Change, diff};
use bowline_core::state::State;

use super::world::{World, door, world};
use crate::kernel::Kernel;
use crate::netns;

fn attach(world: &World, n: u32) -> (Duration, std::os::fd::OwnedFd) {
    let ns = netns::create().unwrap();
    let begin = Instant::now();
    let place = world.kernel.open(&door(&ns)).unwrap();
    let container = super::world::Container { ns, place };
    let mut wanted = world.endpoint(n, &container);
    wanted.addrs = wanted.addrs.into_iter().map(|a| in_subnet(a, n)).collect();
    world.apply(&diff(&State::default(), &wanted)).unwrap();
    world.kernel.close(place);
    (begin.elapsed(), container.ns)
}

/// Any address will do, but the gateway must be in its subnet.
fn in_subnet(addr: bowline_core::state::Addr, n: u32) -> bowline_core::state::Addr {
    let net = format!("10.9.0.{}/24", 2 + n % 250).parse().unwrap();
    bowline_core::state::Addr { net, ..addr }
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[times.len() * part / 100];
    println!("{what}: min {:?} p50 {:?} p90 {:?} max {:?}", times[0], at(50), at(90), times[times.len() - 1]);
}

#[test]
#[ignore = "it measures"]
fn attaching_with_few_ports_and_with_many() {
    world(|world| {
        world.reach(&world.network());
        let mut kept = Vec::new();
        let mut n = 0;
        let before = Kernel::calls_made();
        kept.push(attach(world, 1000).1);
        println!("an attach makes {} changes", Kernel::calls_made() - before);
        for (upto, what) in [(10, "first"), (110, "10 ports"), (900, "110 ports"), (1000, "900 ports")] {
            let mut times = Vec::new();
            while n < upto {
                let (time, ns) = attach(world, n);
                times.push(time);
                kept.push(ns);
                n += 1;
            }
            report(&format!("attach with {what}"), times);
        }
        let many = 0..20;
        let timed = |body: &dyn Fn()| {
            let begin = Instant::now();
            body();
            begin.elapsed()
        };
        let list = || drop(world.kernel.own.route(|route| crate::kernel::link::all(route, Some)).unwrap());
        report("list all links", many.clone().map(|_| timed(&list)).collect());
        let observe = || drop(world.kernel.observe(&Scope::Host(world.host)).unwrap());
        report("observe the host", many.map(|_| timed(&observe)).collect());
        let mut deletions =
            (0..n).map(|n| Change::DelLink { key: world.key(&format!("bl{n}")) }).collect::<Vec<_>>();
        for count in [1, 50, deletions.len() - 51] {
            let some: Vec<_> = deletions.drain(..count).collect();
            let begin = Instant::now();
            world.apply(&some).unwrap();
            println!("delete {count} ports: {:?}", begin.elapsed());
        }
    });
}

#[test]
#[ignore = "it measures"]
fn the_steps_of_an_attach() {
    world(|world| {
        world.reach(&world.network());
        let mut kept = Vec::new();
        let mut steps: std::collections::BTreeMap<String, Vec<Duration>> = Default::default();
        for n in 0..1000 {
            let ns = netns::create().unwrap();
            let begin = Instant::now();
            let place = world.kernel.open(&door(&ns)).unwrap();
            let open = begin.elapsed();
            let container = super::world::Container { ns, place };
            let mut wanted = world.endpoint(n, &container);
            wanted.addrs = wanted.addrs.into_iter().map(|a| in_subnet(a, n)).collect();
            let stage = match n {
                0..100 => "0-99",
                900.. => "900-999",
                _ => "",
            };
            let mut note = |what: &str, time| {
                if !stage.is_empty() {
                    steps.entry(format!("{what} {stage}")).or_default().push(time);
                }
            };
            note("0 open", open);
            for change in diff(&State::default(), &wanted) {
                let begin = Instant::now();
                world.apply(std::slice::from_ref(&change)).unwrap();
                let text = change.to_string();
                let what: String = text.chars().filter(|c| !c.is_ascii_digit()).take(32).collect();
                note(&what, begin.elapsed());
            }
            let begin = Instant::now();
            world.kernel.close(place);
            note("9 close", begin.elapsed());
            kept.push(container.ns);
        }
        for (step, times) in steps {
            report(&step, times);
        }
    });
}
