//! How a failure is shown: what, cause and fix for people, one object for programs.

use bowline_api::v1::Failure;
use bowline_core::Error;

use crate::io::Io;
use crate::screen::{clean, json_line};
use crate::session::Session;

pub(crate) fn failure(error: &Error, session: &Session, io: &mut Io<'_>) {
    io.message(&match session.json {
        true => json_line(&Failure::from(error)),
        false => text(error, session.screen.error_color),
    });
}

/// What is no failure yet; programs find it in the JSON of the answer.
pub(crate) fn warning(what: &str, fix: &str, session: &Session, io: &mut Io<'_>) {
    if session.json {
        return;
    }
    let color = session.screen.error_color;
    let (warning, way_out) = (paint(color, "1;33", "warning"), paint(color, "1;32", "fix"));
    io.message(&format!("{warning}: {}\n  {way_out}: {}\n", clean(what), clean(fix)));
}

pub(crate) fn paint(color: bool, code: &str, text: &str) -> String {
    match color {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_string(),
    }
}

fn text(error: &Error, color: bool) -> String {
    let paint = |code: &str, text: &str| paint(color, code, text);
    let mut text = format!("{}: {}\n", paint("1;31", &format!("error[{}]", error.code)), clean(&error.what));
    if let Some(cause) = error.cause() {
        text.push_str(&format!("  {}: {}\n", paint("1", "cause"), clean(&cause)));
    }
    if let Some(fix) = &error.fix {
        text.push_str(&format!("  {}: {}\n", paint("1;32", "fix"), clean(fix)));
    }
    text
}

#[cfg(test)]
mod tests {
    use bowline_core::Code;
    use expect_test::{Expect, expect};

    use super::*;
    use crate::fixture::{Captured, session};

    fn check(error: &Error, json: bool, wanted: &Expect) {
        let mut io = Captured::default();
        let session = Session { json, ..session("/nowhere") };
        failure(error, &session, &mut io.io());
        wanted.assert_eq(&io.err());
        assert_eq!(io.out(), "");
    }

    fn overlap() -> Error {
        Error::new(Code::SubnetOverlap, "subnet 10.10.1.0/24 overlaps network front (10.10.1.0/24)")
            .because("both would be routed over one interface")
            .fix("bowline network create x")
    }

    #[test]
    fn a_failure_for_people() {
        check(
            &overlap(),
            false,
            &expect![[r#"
            error[BWL-1107]: subnet 10.10.1.0/24 overlaps network front (10.10.1.0/24)
              cause: both would be routed over one interface
              fix: bowline network create x
        "#]],
        );
    }

    #[test]
    fn a_failure_for_programs() {
        check(
            &overlap(),
            true,
            &expect![[r#"
            {"code":"BWL-1107","message":"subnet 10.10.1.0/24 overlaps network front (10.10.1.0/24)","cause":"both would be routed over one interface","fix":"bowline network create x"}
        "#]],
        );
    }

    #[test]
    fn a_failure_cannot_drive_the_terminal() {
        let error = Error::new(Code::Internal, "a\x1b[31mb\nerror: c").because("\u{9b}0m");
        check(
            &error,
            false,
            &expect![[r#"
            error[BWL-5001]: a\u{1b}[31mb\nerror: c
              cause: \u{9b}0m
        "#]],
        );
    }

    #[test]
    fn color_is_never_alone() {
        let plain = text(&overlap(), false);
        let colored = text(&overlap(), true);
        assert!(colored.contains("\x1b[1;31merror[BWL-1107]\x1b[0m"));
        assert!(plain.starts_with("error[BWL-1107]: "));
    }
}
