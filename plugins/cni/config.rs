//! A network's configuration as a plugin is given it: who it is for, in which version, and the rest as it was written.

use crate::call::is_name;
use crate::failure::{Code, Failure};
use crate::json::Json;
use crate::version::Version;

type Result<T> = std::result::Result<T, Failure>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) json: Json,
}

/// No network's name is longer; the rest of a key must have room beside it.
const LONGEST_NAME: usize = 200;

impl Config {
    /// In the order in which CNI has it checked: JSON, name, version.
    pub(crate) fn read(bytes: &[u8]) -> Result<Config> {
        let json = Json::parse(bytes)?;
        if !matches!(json, Json::Object(_)) {
            return Err(Failure::new(Code::Decode, "the network configuration is no object"));
        }
        let name = json.text_of("name")?.unwrap_or_default().to_string();
        if name.is_empty() {
            return Err(Failure::new(Code::Config, "the network configuration has no name"));
        }
        if !is_name(&name) || name.len() > LONGEST_NAME {
            return Err(Failure::new(Code::Config, format!("{name:.80?} is no name of a network"))
                .because("it has at most 200 of A-Z a-z 0-9 . _ - and begins with a letter or digit"));
        }
        let version = json.text_of("cniVersion")?.map_or(Ok(Version::V0_1_0), Version::parse)?;
        Ok(Config { name, version, json })
    }

    /// What the runtime adds for one container.
    pub(crate) fn runtime(&self) -> Result<Option<&Json>> {
        self.json.object_of("runtimeConfig")
    }

    /// The older way to add something: `args.cni`.
    pub(crate) fn labels(&self) -> Result<Option<&Json>> {
        Ok(match self.json.object_of("args")? {
            Some(args) => args.object_of("cni")?,
            None => None,
        })
    }

    pub(crate) fn ipam(&self) -> Result<Option<&Json>> {
        self.json.object_of("ipam")
    }

    /// Whose addresses they are; None where none are asked for.
    pub(crate) fn ipam_type(&self) -> Result<Option<&str>> {
        Ok(match self.ipam()? {
            Some(ipam) => ipam.text_of("type")?,
            None => None,
        })
    }

    /// A verb that came with this version, or later.
    pub(crate) fn at_least(&self, version: Version, verb: &str) -> Result<()> {
        if self.version >= version {
            return Ok(());
        }
        Err(Failure::new(Code::Version, format!("config version does not allow {verb}")).because(format!(
            "config is {}, and {verb} is since {}",
            self.version.as_str(),
            version.as_str()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_first_is_said() {
        for (text, code) in [
            ("", Code::Decode),
            ("[]", Code::Decode),
            ("{", Code::Decode),
            (r#"{"name":1}"#, Code::Decode),
            ("{}", Code::Config),
            (r#"{"name":"","cniVersion":"9"}"#, Code::Config),
            (r#"{"name":"a/b"}"#, Code::Config),
            (r#"{"name":"../b"}"#, Code::Config),
            (r#"{"name":"a","cniVersion":"2.0.0"}"#, Code::Version),
            (r#"{"name":"a","cniVersion":"1.0"}"#, Code::Version),
            (r#"{"name":"a","cniVersion":["1.0.0"]}"#, Code::Decode),
        ] {
            assert_eq!(Config::read(text.as_bytes()).unwrap_err().code, code, "{text}");
        }
        let config = Config::read(br#"{"Name":"a"}"#).unwrap();
        assert_eq!((config.name.as_str(), config.version), ("a", Version::V0_1_0));
    }
}
