//! What is written down is true: the pages in docs/ say what the program says.
//! `UPDATE_EXPECT=1 cargo nextest run -p bowline --test flow docs::` writes docs/openapi.json anew.

use std::fs;

use bowline_api::Code;
use bowline_daemon::config::{Config, KEYS};
use expect_test::expect_file;

use crate::support::root;

fn page(name: &str) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_error_has_its_page_and_no_page_is_left_over() {
    let page = page("docs/errors.md");
    let heads: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let wanted: Vec<String> = Code::ALL.iter().map(|code| format!("{code}: {}", code.title())).collect();
    assert_eq!(heads, wanted);
}

#[test]
fn the_openapi_document_is_the_one_that_the_daemon_serves() {
    let document = serde_json::to_string_pretty(&bowline_api::openapi::document()).unwrap();
    expect_file![root().join("docs/openapi.json")].assert_eq(&format!("{document}\n"));
}

#[test]
fn every_key_of_the_configuration_is_on_its_page_with_default_and_meaning() {
    let page = page("docs/config.md");
    for key in KEYS {
        let row = format!("| `{}` | `{}` | {} |", key.name, key.default, key.help);
        assert!(page.contains(&row), "docs/config.md has no line\n{row}");
    }
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), KEYS.len(), "docs/config.md has lines for keys that are not there");
}

/// What stands between the first pair of fences of a kind.
fn example<'a>(page: &'a str, kind: &str) -> &'a str {
    let start = page.split(&format!("```{kind}\n")).nth(1).unwrap_or_else(|| panic!("no example in {kind}"));
    start.split("```").next().unwrap()
}

#[test]
fn the_example_of_a_configuration_is_valid_and_names_every_key() {
    let page = page("docs/config.md");
    let example = example(&page, "toml");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bowline.toml");
    fs::write(&path, example).unwrap();
    for setting in Config::settings(Some(&path)).unwrap() {
        assert_ne!(setting.origin, "default", "the example leaves out {}", setting.key);
    }
}

#[test]
fn the_readme_has_exactly_the_two_commands() {
    let Ok(readme) = fs::read_to_string(root().join("README.md")) else {
        println!("there is no README.md yet");
        return;
    };
    let mut commands = Vec::new();
    let mut fenced = false;
    for line in readme.lines() {
        match line.trim() {
            fence if fence.starts_with("```") => fenced = !fenced,
            command if fenced && command.starts_with("make ") => commands.push(command.to_string()),
            _ => (),
        }
    }
    let commands: Vec<&str> = commands.iter().map(|line| line.split('#').next().unwrap().trim()).collect();
    assert_eq!(commands, ["make up", "make test"]);
}
