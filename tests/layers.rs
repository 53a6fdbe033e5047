//! The house rules, held by a test each: who depends on whom, what only one crate may do, and what nobody may.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::support::root;

/// What each crate may depend on of ours. `main` is the program itself.
const DIRECTION: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("api", &["core"]),
    ("linux", &["core"]),
    ("dns", &["core"]),
    ("dhcp", &["core"]),
    ("daemon", &["api", "core", "dhcp", "dns"]),
    // The processes of `run`, and the namespaces that commands name.
    ("cli", &["api", "core", "linux"]),
    ("bench", &["api", "core", "linux"]),
    ("main", &["api", "bench", "cli", "cni", "core", "daemon", "dns", "linux"]),
];

/// What a plugin may see of us.
const PLUGIN: &[&str] = &["api"];

/// Everything at the top of the repository that does not begin with a dot.
const TOP: &[&str] = &[
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "deny.toml",
    "docs",
    "netns-tests",
    "plugins",
    "src",
    "tests",
];

/// The longest that a file may be before it must be split by idea.
const LONGEST: usize = 500;

/// A source file: its path below the top, and its text.
struct Source {
    path: String,
    text: String,
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root()).unwrap().display().to_string();
                found.push(Source { path: below, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(!found.is_empty(), "there are no sources");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

impl Source {
    /// Lines with their numbers, as they are.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(at, line)| (at + 1, line))
    }

    /// Lines of code: without comments, and without what stands between quotes on one line.
    fn code(&self) -> impl Iterator<Item = (usize, String)> {
        self.lines().map(|(at, line)| (at, without_text(line))).filter(|(_, line)| !line.trim().is_empty())
    }

    fn is_test(&self) -> bool {
        let by_name = ["/tests/", "/tests.rs", "/fixture/", "/fixture.rs"];
        by_name.iter().any(|part| self.path.contains(part)) || !self.path.starts_with("src/")
    }
}

fn without_text(line: &str) -> String {
    let mut code = String::new();
    let mut rest = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = rest.next() {
        match c {
            '\\' if quoted => drop(rest.next()),
            // A quotation mark as a character is no text.
            '\'' if !quoted && rest.peek() == Some(&'"') => drop((rest.next(), rest.next())),
            '"' => quoted = !quoted,
            '/' if !quoted && rest.peek() == Some(&'/') => break,
            _ if !quoted => code.push(c),
            _ => (),
        }
    }
    code
}

/// Fails with all places at once.
fn none(rule: &str, found: &[String]) {
    assert!(found.is_empty(), "{rule}:\n  {}", found.join("\n  "));
}

/// The places where code, other than in comments and text, has one of some words.
fn with_words(sources: &[Source], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        for (at, code) in source.code() {
            for word in words.iter().filter(|word| has_word(&code, word)) {
                found.push(format!("{}:{at}: {word}: {}", source.path, code.trim()));
            }
        }
    }
    found
}

/// The word by itself, not as a part of another.
fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let goes_on_before = word.starts_with(is_part) && code[..at].ends_with(is_part);
        let goes_on_after = word.ends_with(is_part) && code[at + word.len()..].starts_with(is_part);
        !goes_on_before && !goes_on_after
    })
}

/// The names of dependencies in each section of a Cargo.toml whose name satisfies `wanted`.
fn dependencies(manifest: &Path, wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let text = fs::read_to_string(manifest).unwrap_or_else(|e| panic!("{}: {e}", manifest.display()));
    let (mut section, mut names) = ("", BTreeSet::new());
    for line in text.lines().map(str::trim) {
        if let Some(head) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = head;
        } else if let Some((name, _)) =
            line.split_once('=').filter(|_| wanted(section) && !line.starts_with('#'))
        {
            names.insert(name.trim().split('.').next().unwrap().to_string());
        }
    }
    names
}

/// Every crate of ours with its manifest: those in src/ and plugins/, and the program.
fn crates() -> BTreeMap<String, PathBuf> {
    let mut crates = BTreeMap::from([("main".to_string(), root().join("Cargo.toml"))]);
    for folder in ["src", "plugins"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let manifest = path.join("Cargo.toml");
            if manifest.exists() {
                let name = path.file_name().unwrap().to_str().unwrap();
                let name = if folder == "src" { name.to_string() } else { format!("plugins/{name}") };
                crates.insert(name, manifest);
            }
        }
    }
    crates
}

#[test]
fn crates_depend_on_one_another_in_one_direction() {
    let mut wrong = Vec::new();
    for (name, manifest) in crates() {
        let allowed = match DIRECTION.iter().find(|(known, _)| *known == name) {
            Some((_, allowed)) => *allowed,
            None if name.starts_with("plugins/") => PLUGIN,
            None => {
                wrong.push(format!("{name} is in no layer: say here what it may depend on"));
                continue;
            }
        };
        for dependency in
            dependencies(&manifest, |section| section == "dependencies" || section == "build-dependencies")
        {
            let ours = dependency.strip_prefix("bowline-");
            if ours.is_some_and(|ours| !allowed.contains(&ours)) {
                wrong.push(format!("{name} depends on {dependency}"));
            }
        }
    }
    none("the direction is cli, bench, plugins -> api -> core <- linux, and daemon -> api, core", &wrong);
}

#[test]
fn the_core_decides_and_does_nothing_else() {
    let manifest = root().join("src/core/Cargo.toml");
    let depends: Vec<_> = dependencies(&manifest, |section| section == "dependencies").into_iter().collect();
    assert_eq!(depends, ["ipnetwork"], "the core has no serde, no runtime, and nothing of ours");
    let words = [
        "std::fs",
        "std::process",
        "std::os",
        "std::env",
        "Instant",
        "SystemTime",
        "UdpSocket",
        "TcpStream",
        "File",
    ];
    let core: Vec<_> = sources(&["src/core"]).into_iter().filter(|source| !source.is_test()).collect();
    none("the core does no IO and reads no clock", &with_words(&core, &words));
}

#[test]
fn only_the_daemon_is_async() {
    for (name, manifest) in crates() {
        if name != "daemon" {
            let all = dependencies(&manifest, |section| {
                section.ends_with("dependencies") && section != "workspace.dependencies"
            });
            let found: Vec<_> = ["tokio", "axum", "hyper", "futures", "async-trait"]
                .iter()
                .filter(|dep| all.contains(**dep))
                .collect();
            assert!(found.is_empty(), "{name} depends on {found:?}");
        }
    }
    let others = sources(&["src", "plugins"]);
    let others: Vec<_> =
        others.into_iter().filter(|source| !source.path.starts_with("src/daemon/")).collect();
    none("only src/daemon is async", &with_words(&others, &["async", ".await", "tokio"]));
}

#[test]
fn only_src_linux_is_unsafe_and_it_says_why() {
    let mut all = sources(&["src", "plugins", "tests", "netns-tests"]);
    // These rules speak of it.
    all.retain(|source| source.path != "tests/layers.rs");
    let (linux, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|source| source.path.starts_with("src/linux/"));
    none("unsafe is for src/linux", &with_words(&others, &["unsafe"]));
    let mut silent = Vec::new();
    for source in &linux {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, code) in source.code().filter(|(_, code)| has_word(code, "unsafe")) {
            // Above it, with nothing between but more of the comment, attributes, and the start of the same statement.
            let above = lines[..at - 1].iter().rev().take(6);
            if !above
                .map(|line| line.trim())
                .any(|line| line.starts_with("// SAFETY:") || line.starts_with("/// # Safety"))
            {
                silent.push(format!("{}:{at}: {}", source.path, code.trim()));
            }
        }
    }
    none("every unsafe has its // SAFETY: above", &silent);
}

#[test]
fn only_src_linux_speaks_with_the_kernel() {
    let others = sources(&["src", "plugins"]);
    let others: Vec<_> = others.into_iter().filter(|source| !source.path.starts_with("src/linux/")).collect();
    // What is relayed is answered from the address that was asked, which only a socket's control messages can say; names
    // are answered many in one call; what happens to a file is told by a descriptor; and leases end by a clock that counts
    // sleep too.
    let files = [
        "src/daemon/leases.rs",
        "src/daemon/leases/clock.rs",
        "src/daemon/relay/socket.rs",
        "src/daemon/resolver/follow.rs",
    ];
    let (sockets, others): (Vec<_>, Vec<_>) = others.into_iter().partition(|source| {
        files.contains(&source.path.as_str()) || source.path.starts_with("src/dns/serve")
    });
    none("descriptors are all that these have", &with_words(&sockets, &["setns", "netlink", "unsafe"]));
    let words = ["setns", "unshare", "netlink", "rtnetlink", "nix", "libc", "CLONE_NEWNET", "AF_NETLINK"];
    none("the kernel's words are for src/linux", &with_words(&others, &words));
    let polls = |name: &str| ["daemon", "dns"].contains(&name);
    for (name, manifest) in crates() {
        if name != "linux" {
            let all = dependencies(&manifest, |section| section == "dependencies");
            let kernels =
                |dep: &str| dep.contains("netlink") || dep == "libc" || (dep == "nix" && !polls(&name));
            let found: Vec<_> = all.iter().filter(|dep| kernels(dep)).collect();
            assert!(found.is_empty(), "{name} depends on {found:?}");
        }
    }
}

#[test]
fn no_tool_of_the_host_is_run() {
    let mut found = Vec::new();
    // The benchmark has by hand what it compares with.
    let bench = |path: &str| path.starts_with("src/bench/");
    for source in
        sources(&["src", "plugins"]).iter().filter(|source| !source.is_test() && !bench(&source.path))
    {
        for (at, line) in source.lines() {
            for tool in ["nft", "ip", "iptables", "sh", "bash", "sysctl", "modprobe", "nsenter", "systemctl"]
            {
                if line.contains(&format!("Command::new(\"{tool}\")")) {
                    found.push(format!("{}:{at}: {}", source.path, line.trim()));
                }
            }
        }
    }
    none("nothing is needed at run time but the kernel", &found);
}

#[test]
fn the_top_of_the_repository_is_what_it_was_meant_to_be() {
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let stray: Vec<String> = names
        .filter(|name| !name.starts_with('.') && name != "target" && !TOP.contains(&name.as_str()))
        .collect();
    none("these do not belong at the top", &stray);
    let missing: Vec<String> =
        TOP.iter().filter(|name| !root().join(name).exists()).map(ToString::to_string).collect();
    none("these are missing at the top", &missing);
}

#[test]
fn no_file_is_too_long() {
    let found: Vec<String> = sources(&["src", "plugins", "netns-tests"])
        .iter()
        .map(|source| (source.text.lines().count(), &source.path))
        .filter(|(length, _)| *length > LONGEST)
        .map(|(length, path)| format!("{path}: {length} lines"))
        .collect();
    none("a file past 500 lines is split by idea", &found);
}

#[test]
fn every_file_begins_with_what_it_is_about() {
    let found: Vec<String> = sources(&["src", "plugins", "tests", "netns-tests"])
        .iter()
        .filter(|source| !source.is_test() || !source.path.starts_with("src/"))
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.clone())
        .collect();
    none("a file begins with //! and two sentences", &found);
}

#[test]
fn nothing_is_left_for_later() {
    let mut all = sources(&["src", "plugins", "tests", "netns-tests"]);
    all.retain(|source| source.path != "tests/layers.rs");
    none("nothing is left for later", &with_words(&all, &["todo!", "unimplemented!", "dbg!"]));
    let mut found = Vec::new();
    for source in &all {
        for (at, line) in source.lines() {
            let line = line.trim();
            if line == "#[ignore]" || line.contains("TODO") || line.contains("XXX") {
                found.push(format!("{}:{at}: {line}", source.path));
            }
        }
    }
    none("a test that is ignored says why, and notes to oneself are not kept", &found);
}

#[test]
fn tests_wait_for_conditions_and_not_for_time() {
    let mut found = Vec::new();
    for source in sources(&["tests", "netns-tests"]) {
        let mut inside = String::new();
        for (at, code) in source.code() {
            if let Some((_, name)) = code.split_once("fn ") {
                inside = name.split(['(', '<']).next().unwrap().to_string();
            }
            // Between two looks at a condition, in a helper that has a deadline.
            // A witness that talks at a pace waits for nothing.
            let polls = ["pause", "until", "wait", "poll", "eventually", "talk"]
                .iter()
                .any(|helper| inside.contains(helper));
            if has_word(&code, "sleep") && code.contains("sleep(") && !polls {
                found.push(format!("{}:{at}: in {inside}: {}", source.path, code.trim()));
            }
        }
    }
    none("a test waits for a condition, with a deadline, in a helper that says so in its name", &found);
}

#[test]
fn the_rules_see_code_and_not_what_is_said_about_it() {
    assert_eq!(without_text(r#"let a = "unsafe \" // text"; // unsafe"#), "let a = ; ");
    assert_eq!(without_text(r#"match c { '"' => unsafe {} }"#), "match c {  => unsafe {} }");
    assert!(
        has_word("unsafe { x }", "unsafe") && has_word("a.await?", ".await") && has_word("todo!()", "todo!")
    );
    assert!(
        !has_word("unsafe_code", "unsafe")
            && !has_word("my_async", "async")
            && !has_word("asynchronous", "async")
    );
}
