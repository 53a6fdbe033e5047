//! JSON as container runtimes write it: keys in whatever case, some of them twice. What is said twice is kept twice,
//! for some fields may not be, and of the others the last counts.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Number;

use crate::failure::{Code, Failure};

type Result<T> = std::result::Result<T, Failure>;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Json> {
        serde_json::from_slice(bytes).map_err(|error| {
            Failure::new(Code::Decode, "the network configuration is not JSON").because(error)
        })
    }

    pub(crate) fn text(text: impl Into<String>) -> Json {
        Json::Text(text.into())
    }

    /// The value of a key, exactly as it is written or else in another case. Null is as if it were not there.
    pub(crate) fn get(&self, key: &str) -> Option<&Json> {
        let Json::Object(fields) = self else { return None };
        let last = |same: &dyn Fn(&str) -> bool| fields.iter().rev().find(|(name, _)| same(name));
        let exactly = last(&|name| name == key);
        let found = exactly.or_else(|| last(&|name| name.eq_ignore_ascii_case(key)));
        found.map(|(_, value)| value).filter(|value| **value != Json::Null)
    }

    /// Gives a key a value in place of all that it has.
    pub(crate) fn set(&mut self, key: &str, value: Json) {
        if let Json::Object(fields) = self {
            fields.retain(|(name, _)| !name.eq_ignore_ascii_case(key));
            fields.push((key.to_string(), value));
        }
    }

    pub(crate) fn fields(&self) -> &[(String, Json)] {
        match self {
            Json::Object(fields) => fields,
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) | Json::List(_) => &[],
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Object(_) => None,
        }
    }

    /// A key's text; empty is as if it were not there, as in the language that these fields come from.
    pub(crate) fn text_of(&self, key: &str) -> Result<Option<&str>> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::Text(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(other) => Err(wrong(key, "a text", other)),
        }
    }

    pub(crate) fn flag_of(&self, key: &str) -> Result<Option<bool>> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => Err(wrong(key, "true or false", other)),
        }
    }

    pub(crate) fn number_of(&self, key: &str) -> Result<Option<i64>> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::Number(number)) if number.is_i64() => Ok(number.as_i64()),
            Some(other) => Err(wrong(key, "a whole number", other)),
        }
    }

    pub(crate) fn object_of(&self, key: &str) -> Result<Option<&Json>> {
        match self.get(key) {
            None => Ok(None),
            Some(object @ Json::Object(_)) => Ok(Some(object)),
            Some(other) => Err(wrong(key, "an object", other)),
        }
    }

    pub(crate) fn list_of(&self, key: &str) -> Result<Option<&[Json]>> {
        match self.get(key) {
            None => Ok(None),
            Some(Json::List(items)) => Ok(Some(items)),
            Some(other) => Err(wrong(key, "a list", other)),
        }
    }

    pub(crate) fn texts_of(&self, key: &str) -> Result<Vec<String>> {
        let items = self.list_of(key)?.unwrap_or_default();
        let text = |item: &Json| {
            item.as_text().map(str::to_string).ok_or_else(|| wrong(key, "a list of texts", item))
        };
        items.iter().map(text).collect()
    }
}

fn wrong(key: &str, wanted: &str, found: &Json) -> Failure {
    let what = match found {
        Json::Null => "null".to_string(),
        Json::Bool(flag) => flag.to_string(),
        Json::Number(number) => number.to_string(),
        Json::Text(text) => format!("{:.40?}", text),
        Json::List(_) => "a list".to_string(),
        Json::Object(_) => "an object".to_string(),
    };
    Failure::new(Code::Decode, format!("{key} of the network configuration is not {wanted}"))
        .because(format!("it is {what}"))
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Json, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "JSON")
            }

            fn visit_unit<E>(self) -> std::result::Result<Json, E> {
                Ok(Json::Null)
            }

            fn visit_bool<E>(self, flag: bool) -> std::result::Result<Json, E> {
                Ok(Json::Bool(flag))
            }

            fn visit_i64<E>(self, number: i64) -> std::result::Result<Json, E> {
                Ok(Json::Number(number.into()))
            }

            fn visit_u64<E>(self, number: u64) -> std::result::Result<Json, E> {
                Ok(Json::Number(number.into()))
            }

            fn visit_f64<E>(self, number: f64) -> std::result::Result<Json, E> {
                // A whole number may be written as 1e3, and is one.
                let whole = number as i64;
                let exact = number.fract() == 0.0 && whole as f64 == number;
                Ok(if exact {
                    Json::Number(whole.into())
                } else {
                    Number::from_f64(number).map_or(Json::Null, Json::Number)
                })
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Json, E> {
                Ok(Json::text(text))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> std::result::Result<Json, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Json::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> std::result::Result<Json, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = entries.next_entry()? {
                    fields.push(field);
                }
                Ok(Json::Object(fields))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(flag) => serializer.serialize_bool(*flag),
            Json::Number(number) => number.serialize(serializer),
            Json::Text(text) => serializer.serialize_str(text),
            Json::List(items) => items.serialize(serializer),
            Json::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (key, value) in fields {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
        }
    }
}

/// An object of these fields, in this order.
pub(crate) fn object<const N: usize>(fields: [(&str, Json); N]) -> Json {
    Json::Object(fields.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string_pretty(self).map_err(|_| fmt::Error)?;
        write!(f, "{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Json {
        Json::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_key_is_found_in_any_case_and_exactly_first() {
        assert_eq!(parse(r#"{"HostPort":1}"#).number_of("hostPort").unwrap(), Some(1));
        assert_eq!(parse(r#"{"hostPort":1,"HostPort":2}"#).number_of("hostPort").unwrap(), Some(1));
        assert_eq!(parse(r#"{"a":1,"a":2}"#).number_of("a").unwrap(), Some(2));
        assert_eq!(parse(r#"{"a":null}"#).get("a"), None);
        assert_eq!(parse(r#"{"a":1e3}"#).number_of("a").unwrap(), Some(1000));
    }

    #[test]
    fn a_wrong_type_names_the_key() {
        let all = parse(r#"{"a":[{}],"b":1.5,"c":18446744073709551615}"#);
        assert!(all.text_of("a").unwrap_err().msg.contains("a of"));
        assert!(all.number_of("b").is_err() && all.number_of("c").is_err() && all.flag_of("b").is_err());
        assert!(all.texts_of("a").is_err() && all.object_of("a").is_err() && all.list_of("b").is_err());
    }

    #[test]
    fn what_was_read_is_written_as_it_was() {
        let text = r#"{"b":[1,null,true,"x"],"a":{"b":{}},"a":-1}"#;
        assert_eq!(serde_json::to_string(&parse(text)).unwrap(), text);
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let deep = "[".repeat(100_000);
        assert_eq!(Json::parse(deep.as_bytes()).unwrap_err().code, Code::Decode);
    }
}
