//! Who a command runs as, read from /etc/passwd and /etc/group by hand: a static binary has no name service.

use std::path::PathBuf;

use bowline_core::{Code, Error, Result};

/// A user with all of their groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub uid: u32,
    pub gid: u32,
    /// The supplementary ones.
    pub groups: Vec<u32>,
    /// None for a number that /etc/passwd does not know.
    pub name: Option<String>,
    pub home: Option<PathBuf>,
}

impl User {
    /// `web`, `33`, `web:www-data`, `33:33`.
    pub fn find(text: &str) -> Result<User> {
        let read = |path: &str| match std::fs::read(path) {
            // Names may be in any encoding; those that are not UTF-8 cannot be asked for.
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(Error::new(Code::Denied, format!("read {path}")).because(e)),
        };
        User::find_in(text, &read("/etc/passwd")?, &read("/etc/group")?)
    }

    /// The same, from the text of both files.
    pub fn find_in(text: &str, passwd: &str, group: &str) -> Result<User> {
        let (who, of) = match text.split_once(':') {
            Some((who, of)) => (who, Some(of)),
            None => (text, None),
        };
        let known = passwd.lines().filter_map(Account::parse).find(|account| account.is(who));
        let uid = match &known {
            Some(account) => account.uid,
            None => number(who).ok_or_else(|| unknown(text, "user", who, "/etc/passwd"))?,
        };
        let gid = match (of, &known) {
            (Some(of), _) => gid_of(of, group).ok_or_else(|| unknown(text, "group", of, "/etc/group"))?,
            (None, Some(account)) => account.gid,
            (None, None) => {
                return Err(unknown(text, "user", who, "/etc/passwd")
                    .fix(format!("give a group as well: --user {uid}:{uid}")));
            }
        };
        let name = known.as_ref().map(|account| account.name.to_string());
        // A group that is asked for stands alone, as engines have it.
        let groups = match (of, &name) {
            (None, Some(name)) => groups_with(name, group).filter(|&g| g != gid).collect(),
            _ => Vec::new(),
        };
        let home =
            known.filter(|account| !account.home.is_empty()).map(|account| PathBuf::from(account.home));
        Ok(User { uid, gid, groups, name, home })
    }
}

/// A line of /etc/passwd; passwd(5).
struct Account<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> Account<'a> {
    fn parse(line: &'a str) -> Option<Account<'a>> {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, uid, gid, _, home, ..] = fields.as_slice() else { return None };
        Some(Account { name, uid: number(uid)?, gid: number(gid)?, home })
            .filter(|account| !account.name.is_empty())
    }

    fn is(&self, who: &str) -> bool {
        self.name == who || number(who) == Some(self.uid)
    }
}

/// Lines of /etc/group as name, number and members; group(5).
fn lines_of(group: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    group.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let &[name, _, gid, members, ..] = fields.as_slice() else { return None };
        Some((name, number(gid)?, members)).filter(|_| !name.is_empty())
    })
}

fn gid_of(text: &str, group: &str) -> Option<u32> {
    lines_of(group).find(|(name, ..)| *name == text).map(|(_, gid, _)| gid).or_else(|| number(text))
}

fn groups_with<'a>(user: &'a str, group: &'a str) -> impl Iterator<Item = u32> + 'a {
    lines_of(group)
        .filter(move |(_, _, members)| members.split(',').any(|member| member.trim() == user))
        .map(|(_, gid, _)| gid)
}

/// The largest value means "no change" to the kernel.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&n| digits && n != u32::MAX)
}

fn unknown(text: &str, kind: &str, name: &str, file: &str) -> Error {
    Error::new(Code::InvalidOption, format!("run as {text:?}"))
        .because(format!("{file} has no {kind} {name:?}"))
        .fix("give names that are there, or numbers: --user 1000:1000")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nbroken line\nweb:x:33:34::/srv/web:/bin/sh\n+::::::\n1000:x:77:78::/home/n:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nwww:x:34:web\ndocs:x:50:root, web\nfiles:x:51:web,root\nbad\n";

    fn find(text: &str) -> (u32, u32, Vec<u32>) {
        let user = User::find_in(text, PASSWD, GROUP).unwrap();
        (user.uid, user.gid, user.groups)
    }

    #[test]
    fn names_bring_their_groups() {
        assert_eq!(find("web"), (33, 34, vec![50, 51]));
        assert_eq!(find("33"), (33, 34, vec![50, 51]));
        assert_eq!(User::find_in("web", PASSWD, GROUP).unwrap().home, Some("/srv/web".into()));
    }

    #[test]
    fn a_group_that_is_asked_for_stands_alone() {
        assert_eq!(find("web:files"), (33, 51, vec![]));
        assert_eq!(find("web:99"), (33, 99, vec![]));
        assert_eq!(find("7:8"), (7, 8, vec![]));
    }

    #[test]
    fn a_name_of_digits_comes_before_the_number() {
        assert_eq!(find("1000"), (77, 78, vec![]));
    }

    #[test]
    fn strangers_are_refused() {
        for text in ["nobody-here", "web:nogroup", "", ":", "web:", "-1", "4294967295:1", "1 ", "4242"] {
            let error = User::find_in(text, PASSWD, GROUP).unwrap_err();
            assert_eq!(error.code, Code::InvalidOption, "{text:?}");
        }
        let error = User::find_in("4242", PASSWD, GROUP).unwrap_err();
        assert_eq!(error.fix.as_deref(), Some("give a group as well: --user 4242:4242"));
    }
}
