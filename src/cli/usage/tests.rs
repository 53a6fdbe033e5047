use std::ffi::OsString;

use expect_test::{Expect, expect};

use crate::fixture::run;

fn check(line: &str, wanted: &Expect) {
    let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let (code, out, err) = run(&args);
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    wanted.assert_eq(&err);
}

#[test]
fn words_of_other_tools_get_a_reason() {
    check("bowline pull nginx", &expect![[""]]);
    check("bowline network create x --attachable", &expect![[""]]);
    check("bowline network attach x web", &expect![[""]]);
    check("bowline inspect x", &expect![[""]]);
    check("bowline --json link", &expect![[""]]);
}

#[test]
fn a_slip_of_the_finger_gets_the_nearest_flag_or_verb() {
    check("bowline network create x --subnets 10.9.0.0/24", &expect![[""]]);
    check("bowline netwrk ls", &expect![[""]]);
    check("bowline network create x --internel --json", &expect![[""]]);
}

#[test]
fn values_that_cannot_be_are_named() {
    check("bowline network create x -d macvlan", &expect![[""]]);
    check("bowline network create x --gateway ten", &expect![[""]]);
    check("bowline network ls --filter colour=red", &expect![[""]]);
    check("bowline network show front --format {{.Name}}", &expect![[""]]);
}
