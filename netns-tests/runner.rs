//! Who tells which story where: on this kernel, in the guest, or nowhere; and what comes of it.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;

use libtest_mimic::{Arguments, ColorSetting, Completion, Failed, Trial};

use crate::needs::Kernel;
use crate::scenario::{Kernels, Scenario};
use crate::vm::{self, Equipment, Lane, report};
use crate::world::{Machine, World};

enum Telling {
    Here,
    There,
    Nowhere(String),
}

type Outcome = Result<Completion, Failed>;

thread_local! {
    /// What the last panic of this thread said, and where.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The whole list. Those that are told in the guest come last.
pub(crate) fn here(scenarios: impl Iterator<Item = &'static Scenario>) -> ExitCode {
    // Most of a scenario is waiting: for silence, for the kernel, for a process to start.
    let arguments = arguments(Arguments::from_args(), 3);
    let lacking = Machine::born().err();
    if let Some(why) = &lacking {
        eprintln!("no machine can be made here, so every scenario is ignored: {}", why.trim());
    }
    let mut kernel = Kernel::default();
    let equipment = Equipment::find();
    let asked = |scenario: &Scenario| {
        let trial = Trial::test(scenario.name, || Ok(()));
        !arguments.list && lacking.is_none() && !arguments.is_filtered_out(&trial)
    };
    let all: Vec<_> = scenarios
        .map(|scenario| match asked(scenario) {
            true => (scenario, telling(scenario, &mut kernel, &equipment)),
            false => (scenario, Telling::Here),
        })
        .collect();
    let there = all.iter().filter(|(_, telling)| matches!(telling, Telling::There));
    let (lane, quiet) = Lane::new(equipment, there.map(|(scenario, _)| scenario.name).collect());
    let lane = Arc::new(lane);
    let (mut trials, mut last) = (Vec::new(), Vec::new());
    for (scenario, telling) in all {
        let name = scenario.name;
        let (lane, quiet) = (Arc::clone(&lane), quiet.clone());
        match telling {
            Telling::Here => trials.push(Trial::ignorable_test(name, move || {
                let _quiet = quiet;
                play(scenario)
            })),
            Telling::There => last.push(Trial::ignorable_test(name, move || lane.told(name))),
            Telling::Nowhere(why) => {
                trials.push(Trial::ignorable_test(name, || Ok(Completion::ignored_with(why))));
            }
        }
    }
    drop(quiet);
    trials.append(&mut last);
    let trials = trials.into_iter().map(|trial| trial.with_ignored_flag(lacking.is_some()));
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

/// Those of the list in the folder that is shared, each reported there.
pub(crate) fn in_the_guest(scenarios: impl Iterator<Item = &'static Scenario>, args: &[String]) -> ExitCode {
    let folder = Path::new(args.first().expect("the guest's first process names the folder")).to_path_buf();
    let wanted = report::asked(&folder).expect("the folder has a list");
    let mut kernel = Kernel::default();
    let trials =
        scenarios.filter(|scenario| wanted.iter().any(|name| name == scenario.name)).map(|scenario| {
            let lacking = kernel.lacks(scenario.all_needs());
            let folder = folder.clone();
            Trial::ignorable_test(scenario.name, move || {
                let outcome = match lacking {
                    None => play(scenario),
                    Some(what) => Ok(Completion::ignored_with(format!("nor has the guest's kernel {what}"))),
                };
                if let Err(error) = report::write(&folder, scenario.name, &outcome) {
                    eprintln!("report {}: {error}", scenario.name);
                }
                outcome
            })
        });
    let trials = trials.collect();
    let plain = Arguments { color: Some(ColorSetting::Never), ..Arguments::default() };
    libtest_mimic::run(&arguments(plain, 2), trials).exit_code()
}

fn arguments(given: Arguments, for_each_core: usize) -> Arguments {
    panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        PANIC.with_borrow_mut(|last| *last = Some(text));
    }));
    let cores = available_parallelism().map_or(2, usize::from);
    Arguments { test_threads: given.test_threads.or(Some(cores * for_each_core)), ..given }
}

fn telling(scenario: &Scenario, kernel: &mut Kernel, equipment: &Result<Equipment, String>) -> Telling {
    let all_there = vm::takes_all();
    let why = match (scenario.kernels, kernel.lacks(scenario.all_needs())) {
        (Kernels::Own, _) if all_there => {
            return Telling::Nowhere("it measures time, which says nothing in the guest".into());
        }
        (Kernels::Own, Some(what)) => return Telling::Nowhere(format!("this kernel has no {what}")),
        (Kernels::Own, None) => return Telling::Here,
        (Kernels::Every, None) if !all_there => return Telling::Here,
        (Kernels::Every, Some(what)) => format!("this kernel has no {what}"),
        (Kernels::Every, None) => "it was to be told in the guest".into(),
        (Kernels::Guests, _) => "it is about the guest".into(),
    };
    match equipment {
        Ok(_) => Telling::There,
        Err(missing) => Telling::Nowhere(format!("{why}, and there is no guest: {missing}")),
    }
}

fn play(scenario: &Scenario) -> Outcome {
    let world = caught(World::new)?;
    let story = || {
        if scenario.daemon {
            world.start();
        }
        (scenario.run)(&world);
        world.closes();
    };
    caught(story).map_err(|why| Failed::from(format!("{why}\n\n{}", world.dump())))?;
    Ok(Completion::Completed)
}

fn caught<T>(act: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(act))
        .map_err(|_| PANIC.take().unwrap_or_else(|| "a panic without words".to_string()))
}
