//! Reading what a client sends: never more than a mebibyte, never nested deeper than 64, and every complaint names the field.

use axum::body::Body;
use bowline_api::{MAX_BODY, MAX_DEPTH};
use bowline_core::{Code, Error, Result};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;

/// Counts the bytes as they come, with a length announced or not.
pub(super) async fn read(body: Body) -> Result<Vec<u8>> {
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(collected) => Ok(collected.to_bytes().to_vec()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Error::new(Code::TooLarge, "the request's body is too large")
                .because(format!("{MAX_BODY} bytes are the most"))
                .fix("send less at once"))
        }
        Err(error) => Err(Error::new(Code::InvalidRequest, "read the request's body").because(error)),
    }
}

pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    check_depth(bytes)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let what = match path.as_str() {
            "." => "the request's body is not understood".to_string(),
            _ => format!("field {path} of the request is not understood"),
        };
        Error::new(Code::InvalidRequest, what)
            .because(error.inner())
            .fix("see /v1/openapi.json for the fields and their types")
    })?;
    json.end().map_err(|error| {
        Error::new(Code::InvalidRequest, "the request's body is not understood")
            .because(error)
            .fix("send one JSON object")
    })?;
    Ok(value)
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
