//! Between the wire and the core, where both have a word for the same thing.

use bowline_core::feature::{Feature, Need};
use bowline_core::{Code, Error, Result, checkup};

use crate::v1::{self, Failure};

impl From<&(Feature, Result<()>)> for v1::Feature {
    fn from((feature, outcome): &(Feature, Result<()>)) -> v1::Feature {
        let error = outcome.as_ref().err();
        v1::Feature {
            feature: feature.word().to_string(),
            name: feature.name().to_string(),
            has: match error {
                None => v1::Has::Yes,
                Some(no) if no.code == Code::Unsupported => v1::Has::No,
                Some(_) => v1::Has::Unknown,
            },
            required: feature.need() == Need::Always,
            purpose: feature.purpose().to_string(),
            cause: error.and_then(Error::cause),
            fix: error.and_then(|error| error.fix.clone()),
        }
    }
}

impl From<checkup::Check> for v1::Check {
    fn from(check: checkup::Check) -> v1::Check {
        v1::Check {
            about: check.about.to_string(),
            standing: match check.standing {
                checkup::Standing::Well => v1::Standing::Well,
                checkup::Standing::Doubtful => v1::Standing::Doubtful,
                checkup::Standing::Wrong => v1::Standing::Wrong,
                checkup::Standing::Unknown => v1::Standing::Unknown,
            },
            what: check.what,
            fix: check.fix,
        }
    }
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Failure {
        Failure {
            code: error.code.to_string(),
            message: error.what.clone(),
            cause: error.cause(),
            fix: error.fix.clone(),
        }
    }
}

impl From<Failure> for Error {
    /// A code from a newer daemon is one of ours that we do not know: internal.
    fn from(failure: Failure) -> Error {
        Error {
            code: Code::parse(&failure.code).unwrap_or(Code::Internal),
            what: failure.message,
            causes: failure.cause.into_iter().collect(),
            fix: failure.fix,
        }
    }
}
