//! The text of the root help, in groups: clap keeps the words, we keep the order.

use std::fmt::Write as _;

use clap::Command;

/// Every visible verb is in one group.
pub(crate) const GROUPS: &[(&str, &[&str])] = &[
    ("Start here", &["run", "network", "endpoint", "port"]),
    ("Commands in namespaces", &["ps", "exec", "shell", "logs", "stop", "kill", "wait", "rm"]),
    ("Look closer", &["doctor", "dns", "events", "system", "explain", "version"]),
    ("Set up", &["daemon", "config", "cni", "bench", "completion", "man"]),
];

pub(crate) const ROOT: &str = "\
Examples:
  bowline network create front --subnet 10.9.0.0/24
  bowline run -d --name web --network front -p 8080:80 -- python3 -m http.server 80
  bowline run --network front -- curl http://10.9.0.2
  bowline network ls

'bowline help VERB' tells more about a verb; 'bowline explain CODE' about an error.";

pub(crate) const COMPLETION: &str = "\
Examples:
  bowline completion bash > /etc/bash_completion.d/bowline
  bowline completion zsh > \"${fpath[1]}/_bowline\"
  bowline completion fish > ~/.config/fish/completions/bowline.fish";

pub(crate) const DOCTOR: &str = "\
Exit code 0 says that nothing is wrong, and 7 that something is. What is only doubtful, or could not be
looked at, counts for nothing. It changes nothing, starts nothing, and does without a daemon or privilege,
as far as one can see without.

Examples:
  bowline doctor
  bowline doctor --json | jq -r '.checks[] | select(.standing != \"well\") | .fix'";

/// clap has one heading for all verbs; this has a heading for each group.
pub(crate) fn grouped(command: Command) -> Command {
    let width = command.get_subcommands().map(|verb| verb.get_name().len()).max().unwrap_or_default();
    let style = command.get_styles().clone();
    let (header, literal) = (*style.get_header(), *style.get_literal());
    let mut verbs = String::new();
    for (title, names) in GROUPS {
        let known: Vec<&Command> = names.iter().filter_map(|name| command.find_subcommand(name)).collect();
        if known.is_empty() {
            continue;
        }
        writeln!(verbs, "{header}{title}:{header:#}").expect("a string takes all");
        for verb in known {
            let (name, about) = (verb.get_name(), verb.get_about().map(ToString::to_string));
            writeln!(verbs, "  {literal}{name:width$}{literal:#}  {}", about.unwrap_or_default())
                .expect("a string takes all");
        }
        verbs.push('\n');
    }
    command.after_help(ROOT).help_template(format!(
        "{{about}}\n\n{{usage-heading}} {{usage}}\n\n{verbs}{header}Global options:{header:#}\n{{options}}{{after-help}}"
    ))
}
