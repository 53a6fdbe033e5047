//! Between the wire and the core, where both have a word for the same thing.

use bowline_core::{Code, Error};

use crate::v1::Failure;

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
