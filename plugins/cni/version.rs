//! The versions of CNI's results, oldest first: what is asked in one is answered in exactly that one.

use crate::failure::{Code, Failure};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V0_1_0,
    V0_2_0,
    V0_3_0,
    V0_3_1,
    V0_4_0,
    V1_0_0,
    V1_1_0,
}

impl Version {
    pub(crate) const ALL: [Version; 7] = [
        Version::V0_1_0,
        Version::V0_2_0,
        Version::V0_3_0,
        Version::V0_3_1,
        Version::V0_4_0,
        Version::V1_0_0,
        Version::V1_1_0,
    ];

    pub(crate) const NEWEST: Version = Version::V1_1_0;

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Version::V0_1_0 => "0.1.0",
            Version::V0_2_0 => "0.2.0",
            Version::V0_3_0 => "0.3.0",
            Version::V0_3_1 => "0.3.1",
            Version::V0_4_0 => "0.4.0",
            Version::V1_0_0 => "1.0.0",
            Version::V1_1_0 => "1.1.0",
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Version, Failure> {
        Version::ALL.into_iter().find(|version| version.as_str() == text).ok_or_else(|| {
            let all: Vec<&str> = Version::ALL.iter().map(|version| version.as_str()).collect();
            Failure::new(Code::Version, "incompatible CNI versions")
                .because(format!("config is {text:.40?}, plugin supports {all:?}"))
        })
    }
}
