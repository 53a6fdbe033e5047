//! Reading what a client sends: never more than a mebibyte, never nested deeper than 64, and every complaint names the field.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bowline_api::{MAX_BODY, MAX_DEPTH};
use bowline_core::{Code, Error, Result};
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long a client may take for a request's body.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counts the bytes as they come, with a length announced or not.
pub(super) async fn read(body: Body) -> Result<Vec<u8>> {
    let too_large = || {
        Err(Error::new(Code::TooLarge, "the request's body is too large")
            .because(format!("{MAX_BODY} bytes are the most"))
            .fix("send less at once"))
    };
    if body.size_hint().lower() > MAX_BODY as u64 {
        return too_large();
    }
    match tokio::time::timeout(PATIENCE, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes().to_vec()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => too_large(),
        Ok(Err(error)) => Err(Error::new(Code::InvalidRequest, "read the request's body").because(error)),
        Err(_) => Err(Error::new(Code::Timeout, "read the request's body")
            .because(format!("it did not come within {} seconds", PATIENCE.as_secs()))),
    }
}

pub(super) fn parse<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T> {
    check_depth(bytes)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| misunderstood(&error.path().to_string(), error.inner()))?;
    json.end().map_err(|error| {
        Error::new(Code::InvalidRequest, "the request's body is not understood")
            .because(error)
            .fix("send one JSON object")
    })?;
    let read = serde_json::to_value(&value).expect("wire types have string keys only");
    let sent = serde_json::from_slice(bytes).expect("it was read just now");
    match list_for_object(&sent, &read, "") {
        Some(path) => Err(misunderstood(path.trim_start_matches('.'), &"a list, where an object belongs")),
        None => Ok(value),
    }
}

fn misunderstood(path: &str, why: &dyn std::fmt::Display) -> Error {
    let what = match path {
        // No field yet, or none that could be read.
        "" | "." | "?" => "the request's body is not understood".to_string(),
        _ => format!("field {} of the request is not understood", cut(path)),
    };
    Error::new(Code::InvalidRequest, what)
        .because(cut(&why.to_string()))
        .fix("see /v1/openapi.json for the fields and their types")
}

/// What a client sent comes back in what is said about it, but not all of it.
fn cut(text: &str) -> String {
    const ENOUGH: usize = 300;
    match text.char_indices().nth(ENOUGH) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

/// serde takes a list of values for a struct; the API does not. What was read, written again, shows where that was so.
fn list_for_object(sent: &Value, read: &Value, path: &str) -> Option<String> {
    match (sent, read) {
        (Value::Array(_), Value::Object(_)) => Some(path.to_string()),
        (Value::Array(sent), Value::Array(read)) => sent
            .iter()
            .zip(read)
            .enumerate()
            .find_map(|(n, (s, r))| list_for_object(s, r, &format!("{path}[{n}]"))),
        (Value::Object(sent), Value::Object(read)) => {
            sent.iter().find_map(|(key, s)| list_for_object(s, read.get(key)?, &format!("{path}.{key}")))
        }
        (_, _) => None,
    }
}

/// Before parsing, so that nesting costs nothing but the reading.
fn check_depth(bytes: &[u8]) -> Result<()> {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Err(Error::new(Code::TooDeep, "the request's JSON is nested too deeply")
                        .because(format!("{MAX_DEPTH} levels are the most"))
                        .fix("send a flatter object"));
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => (),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bowline_api::v1::CreateNetwork;

    use super::*;

    fn refused(text: &str) -> Error {
        parse::<CreateNetwork>(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn the_field_is_named() {
        for (text, field) in [
            (r#"{"name":"a","mtu_bytes":"big"}"#, "mtu_bytes"),
            (r#"{"name":"a","subnets":[{"cidr":1}]}"#, "subnets[0].cidr"),
            (r#"{"name":"a","subnets":[{"cidr":"x","gatway":"y"}]}"#, "gatway"),
            (r#"{"name":"a","nmae":1}"#, "nmae"),
            (r#"{"name":"a","name":"b"}"#, "name"),
        ] {
            let error = refused(text);
            assert_eq!(error.code, Code::InvalidRequest);
            assert!(error.to_string().contains(field), "{error}");
        }
    }

    #[test]
    fn depth_is_counted_outside_of_text_only() {
        let nested = |n| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert_eq!(refused(&nested(65)).code, Code::TooDeep);
        assert_eq!(refused(&nested(64)).code, Code::InvalidRequest);
        let text = format!(r#"{{"name":"\"{}"}}"#, "[".repeat(100));
        assert_eq!(parse::<CreateNetwork>(text.as_bytes()).unwrap().name.len(), 101);
    }

    #[test]
    fn nothing_may_follow() {
        assert_eq!(refused(r#"{"name":"a"} {"name":"b"}"#).code, Code::InvalidRequest);
        assert_eq!(refused("").code, Code::InvalidRequest);
    }
}
