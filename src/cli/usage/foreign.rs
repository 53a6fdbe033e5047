//! Flags and verbs of docker, podman and ip that are not ours, with one line on each.

type Row = (&'static [&'static str], &'static str);

const NO_IMAGE: &str =
    "there are no images: 'bowline run' starts a command of this host's in a namespace of its own";
const HOST_FILES: &str = "a command sees the host's own files: there is no image to mount anything into";
const LIMITS: &str =
    "bowline is about networks; for limits: systemd-run --scope -p MemoryMax=1G bowline run ...";
const PORTS: &str = "at a command that runs, ports are published with: bowline port publish NAME 8080:80";
const SWARM: &str = "this belongs to swarm; every bowline network is local, and open to any endpoint";
const LINKS: &str = "an endpoint's own names for others are said when it is made: bowline run --link db:sql";
const SERVERS: &str = "an endpoint's servers are said when it is made: bowline run --dns 192.0.2.53";

const OF_RUN: &[Row] = &[
    (&["-v", "--volume", "--mount", "--tmpfs", "--volumes-from", "--volume-driver"], HOST_FILES),
    (&["--entrypoint", "--pull", "--platform", "--read-only", "--disable-content-trust"], NO_IMAGE),
    (
        &["-m", "--memory", "--cpus", "-c", "--cpu-shares", "--cpuset-cpus", "--pids-limit", "--ulimit"],
        LIMITS,
    ),
    (&["-p", "--publish", "-P", "--publish-all", "--expose"], PORTS),
    (
        &["--restart"],
        "commands are not restarted; a systemd unit with Restart= and ExecStart=bowline run ... can",
    ),
    (
        &["--privileged", "--cap-add", "--cap-drop", "--security-opt"],
        "a command keeps the rights it was started with; drop them with setpriv",
    ),
    (&["--link"], LINKS),
    (&["--dns", "--dns-search", "--dns-opt", "--dns-option"], SERVERS),
    (&["--pod"], "let commands share a network instead: --network NAME"),
];

const OF_CREATE: &[Row] = &[
    (&["--attachable", "--ingress", "--scope", "--config-only", "--config-from"], SWARM),
    (
        &["--ipam-driver", "--ipam-opt"],
        "bowline chooses addresses itself; say which with --subnet and --ip-range",
    ),
    (&["--ignore"], "exit code 4 says that it exists: bowline network create NAME || [ $? = 4 ]"),
    (&["--dns", "--dns-add", "--dns-search", "--dns-opt"], SERVERS),
    (&["--interface-name"], "bowline names the bridge itself: see bowline network show NAME"),
];

const OF_CONNECT: &[Row] = &[
    (&["--link"], LINKS),
    (&["--link-local-ip"], "the kernel makes link-local addresses itself"),
    (&["--driver-opt"], "for the interface's name: --interface NAME"),
];

/// The verb it is not a flag of, and why not.
pub(super) fn flag(verb: &[&str], flag: &str) -> Option<(String, &'static str)> {
    let (rows, words) = match verb {
        ["run" | "exec" | "shell", ..] => (OF_RUN, 1),
        ["network" | "net", "create"] => (OF_CREATE, 2),
        ["network" | "net", "connect"] | ["endpoint" | "ep", "create"] => (OF_CONNECT, 2),
        _ => return None,
    };
    Some((verb[..words].join(" "), find(rows, flag)?))
}

const VERBS: &[Row] = &[
    (
        &[
            "image", "images", "pull", "push", "build", "buildx", "builder", "tag", "save", "load", "import",
            "search", "history", "commit", "login", "logout", "manifest", "create", "start",
        ],
        NO_IMAGE,
    ),
    (&["volume", "volumes", "cp", "diff", "export", "mount"], HOST_FILES),
    (
        &["container", "containers", "ls", "list"],
        "commands: bowline ps; networks: bowline network ls; endpoints: bowline endpoint ls",
    ),
    (&["inspect"], "say of what: bowline network inspect NAME, or bowline endpoint inspect NAME"),
    (&["info"], "bowline system info"),
    (&["df"], "bowline system df"),
    (&["prune"], "bowline system prune, or bowline network prune"),
    (&["restart", "pause", "unpause"], "stop it and run it again: bowline stop NAME; bowline run ..."),
    (&["attach"], "bowline logs -f NAME follows its output, bowline shell NAME goes inside"),
    (&["publish", "expose"], PORTS),
    (&["unpublish"], "bowline port unpublish NAME 8080"),
    (
        &["top", "stats"],
        "for its processes: bowline exec NAME ps; for its counters: bowline exec NAME ip -s link",
    ),
    (
        &["compose", "stack", "pod", "play", "kube"],
        "one verb at a time: bowline network create, then bowline run --network",
    ),
    (&["swarm", "service", "node", "secret", "context"], "bowline looks after this host alone"),
    (
        &["connect", "disconnect"],
        "bowline network connect NETWORK ENDPOINT, bowline network disconnect NETWORK ENDPOINT",
    ),
    (
        &["link", "addr", "address", "route", "neigh"],
        "the kernel's own: ip; inside an endpoint: bowline exec NAME ip addr",
    ),
    (
        &["netns", "ns"],
        "connect a namespace of 'ip netns' with: bowline endpoint create NAME --netns NAME --network NETWORK",
    ),
    (&["bridge"], "bowline network ls; the ports of one: bridge link show"),
    (
        &["drift", "repair", "dump", "firewall", "release"],
        "it is a verb of system: bowline system drift, repair, dump, firewall, release",
    ),
    (&["resolve", "lookup", "dig", "nslookup", "getent"], "bowline dns resolve NAME"),
];

const PORT_VERBS: &[Row] = &[
    (&["add", "open", "create", "new"], "bowline port publish NAME 8080:80"),
    (&["rm", "remove", "delete", "del", "close"], "bowline port unpublish NAME 8080"),
    (&["show", "inspect"], "bowline port ls NAME"),
];

const DNS_VERBS: &[Row] = &[
    (&["show", "inspect", "names"], "bowline dns ls"),
    (&["query", "dig", "get"], "bowline dns resolve NAME"),
    (&["logs", "queries", "events"], "bowline dns log"),
    (&["clear", "reset", "purge", "flush-caches"], "bowline dns flush"),
];

const NETWORK_VERBS: &[Row] = &[
    (&["add", "new"], "bowline network create NAME"),
    (&["attach", "join"], "bowline network connect NETWORK ENDPOINT"),
    (&["detach", "leave"], "bowline network disconnect NETWORK ENDPOINT"),
    (&["exists"], "bowline network inspect NAME; exit code 3 says that there is none"),
    (&["reload"], "bowline system repair puts right whatever was flushed"),
];

pub(super) fn verb(line: &[&str], word: &str) -> Option<&'static str> {
    match line {
        ["network" | "net", ..] => find(NETWORK_VERBS, word),
        ["endpoint" | "ep", "connect" | "disconnect"] => find(VERBS, word),
        ["port", ..] => find(PORT_VERBS, word),
        ["dns", ..] => find(DNS_VERBS, word),
        [first, ..] if *first == word => find(VERBS, word),
        _ => None,
    }
}

fn find(rows: &[Row], word: &str) -> Option<&'static str> {
    rows.iter().find(|(words, _)| words.contains(&word)).map(|(_, why)| *why)
}
