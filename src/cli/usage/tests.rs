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
    check(
        "bowline pull nginx",
        &expect![[r#"
        error[BWL-1001]: bowline has no verb "pull"
          fix: there are no images: 'bowline run' starts a command of this host's in a namespace of its own
    "#]],
    );
    check(
        "bowline --color never network create x --attachable",
        &expect![[r#"
        error[BWL-1001]: bowline network create has no --attachable
          fix: this belongs to swarm; every bowline network is local, and open to any endpoint
    "#]],
    );
    check(
        "bowline network attach x web",
        &expect![[r#"
        error[BWL-1001]: bowline has no verb "attach"
          fix: bowline network connect NETWORK ENDPOINT
    "#]],
    );
    check(
        "bowline inspect x",
        &expect![[r#"
        error[BWL-1001]: bowline has no verb "inspect"
          fix: say of what: bowline network inspect NAME, or bowline endpoint inspect NAME
    "#]],
    );
    check(
        "bowline port open web 8080:80",
        &expect![[r#"
        error[BWL-1001]: bowline has no verb "open"
          fix: bowline port publish NAME 8080:80
    "#]],
    );
    check(
        "bowline exec -p 8080:80 web true",
        &expect![[r#"
        error[BWL-1001]: bowline exec has no -p
          fix: at a command that runs, ports are published with: bowline port publish NAME 8080:80
    "#]],
    );
    check(
        "bowline exec --link db:sql web true",
        &expect![[r#"
            error[BWL-1001]: bowline exec has no --link
              fix: an endpoint's own names for others are said when it is made: bowline run --link db:sql
        "#]],
    );
    check(
        "bowline network create x --dns 192.0.2.53",
        &expect![[r#"
            error[BWL-1001]: bowline network create has no --dns
              fix: an endpoint's servers are said when it is made: bowline run --dns 192.0.2.53
        "#]],
    );
    check(
        "bowline dns show",
        &expect![[r#"
            error[BWL-1001]: bowline has no verb "show"
              fix: bowline dns ls
        "#]],
    );
    check(
        "bowline --json link",
        &expect![[r#"
        {"code":"BWL-1001","message":"bowline has no verb \"link\"","fix":"the kernel's own: ip; inside an endpoint: bowline exec NAME ip addr"}
    "#]],
    );
}

#[test]
fn a_slip_of_the_finger_gets_the_nearest_flag_or_verb() {
    check(
        "bowline network create x --subnets 10.9.0.0/24",
        &expect![[r#"
        error: unexpected argument '--subnets' found

          tip: a similar argument exists: '--subnet'

        Usage: bowline network create --subnet <CIDR> <NAME>

        For more information, try '--help'.
    "#]],
    );
    check(
        "bowline netwrk ls",
        &expect![[r#"
            error: unrecognized subcommand 'netwrk'

              tip: some similar subcommands exist: 'net', 'network'

            Usage: bowline [OPTIONS] <COMMAND>

            For more information, try '--help'.
        "#]],
    );
    check(
        "bowline network create x --internel --json",
        &expect![[r#"
        {"code":"BWL-1001","message":"unexpected argument '--internel' found","fix":"a similar argument exists: '--internal'"}
    "#]],
    );
}

#[test]
fn values_that_cannot_be_are_named() {
    check(
        "bowline network create x -d overlay",
        &expect![[r#"
        error: invalid value 'overlay' for '--driver <DRIVER>'
          [possible values: bridge, macvlan, ipvlan, p2p]

        For more information, try '--help'.
    "#]],
    );
    check(
        "bowline network create x --gateway ten",
        &expect![[r#"
        error: invalid value 'ten' for '--gateway <IP>': invalid IP address syntax

        For more information, try '--help'.
    "#]],
    );
    check(
        "bowline network ls --filter colour=red",
        &expect![[r#"
            error[BWL-1001]: there is no filter "colour=red"
              cause: the filters are name=, driver=, label= and internal=true|false
        "#]],
    );
    check(
        "bowline run -p 8080:http -- true",
        &expect![[r#"
        error[BWL-1112]: publish "8080:http"
          cause: port "http" is not usable: it is not a number
          fix: use 1 to 65535
    "#]],
    );
    check(
        "bowline run -P -- true",
        &expect![[r#"
        error: the following required arguments were not provided:
          --expose <PORT>

        Usage: bowline run --expose <PORT> --publish-all <CMD>...

        For more information, try '--help'.
    "#]],
    );
    check(
        "bowline run --dns dns.example -- true",
        &expect![[r#"
            error[BWL-1114]: name server "dns.example" is not usable
              cause: it is no IP address
              fix: write it as 192.0.2.53 or 2001:db8::53
        "#]],
    );
    check(
        "bowline run --link db: -- true",
        &expect![[r#"
            error[BWL-1114]: link "db:" is not usable
              cause: its alias is empty
              fix: write it as ENDPOINT or ENDPOINT:ALIAS, such as db:sql
        "#]],
    );
    check(
        "bowline network connect front web --rate-in fast --json",
        &expect![[r#"
        {"code":"BWL-1113","message":"rate \"fast\" is not usable","cause":"its unit is none of bit, kbit, mbit and gbit","fix":"write it in bits a second, such as 500kbit, 10mbit or 1.5gbit"}
    "#]],
    );
    check(
        "bowline port ls web --format yaml",
        &expect![[r#"
        error: invalid value 'yaml' for '--format <FORMAT>': give table, json or a template such as '{{.Name}}'

        For more information, try '--help'.
    "#]],
    );
    check(
        "bowline network show front --format {{.Name}}",
        &expect![[r#"
        error[BWL-1001]: no template is used here: {{.Name}}
          fix: templates are for ls and inspect; give --format table or --format json
    "#]],
    );
}
