//! As much of Go's templates as scripts written for docker use: fields, json, len, range, if and else.

mod parse;

use bowline_core::{Code, Error, Result};
use serde_json::Value;

use crate::screen::clean;

pub(crate) use parse::parse;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Show(Show, Path),
    Range { key: Option<String>, value: Option<String>, over: Path, body: Vec<Part>, empty: Vec<Part> },
    If { path: Path, yes: Vec<Part>, no: Vec<Part> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    Plain,
    Json,
    Len,
}

/// `.A.B`, `$.A`, `$v.B`
#[derive(Debug, PartialEq, Eq)]
struct Path {
    root: Root,
    keys: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Root {
    Dot,
    Top,
    Variable(String),
}

/// What names mean at one point of the template.
struct Scope<'v> {
    top: &'v Value,
    dot: &'v Value,
    variables: Vec<(&'v str, Value)>,
}

impl Template {
    /// The template filled in, and a line break.
    pub(crate) fn line(&self, object: &impl serde::Serialize) -> Result<String> {
        let top = serde_json::to_value(object).expect("wire types have string keys only");
        let mut out = String::new();
        fill(&self.0, &Scope { top: &top, dot: &top, variables: Vec::new() }, &mut out)?;
        out.push('\n');
        Ok(out)
    }
}

fn fill(parts: &[Part], scope: &Scope<'_>, out: &mut String) -> Result<()> {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Show(show, path) => out.push_str(&shown(*show, scope.find(path)?)),
            Part::If { path, yes, no } => {
                let chosen = if scope.find(path)?.is_some_and(truth) { yes } else { no };
                fill(chosen, scope, out)?;
            }
            Part::Range { key, value, over, body, empty } => {
                let items: Vec<(Value, &Value)> = match scope.find(over)? {
                    Some(Value::Array(all)) => all.iter().enumerate().map(|(at, v)| (at.into(), v)).collect(),
                    Some(Value::Object(all)) => all.iter().map(|(k, v)| (k.clone().into(), v)).collect(),
                    Some(_) | None => Vec::new(),
                };
                if items.is_empty() {
                    fill(empty, scope, out)?;
                }
                for (name, item) in items {
                    let mut variables = scope.variables.clone();
                    variables.extend(key.as_deref().map(|key| (key, name)));
                    variables.extend(value.as_deref().map(|value| (value, item.clone())));
                    fill(body, &Scope { top: scope.top, dot: item, variables }, out)?;
                }
            }
        }
    }
    Ok(())
}

impl Scope<'_> {
    /// None for what is absent deeper down, as in a map of labels; a wrong first name is a mistake.
    fn find(&self, path: &Path) -> Result<Option<&Value>> {
        let unknown = |name: &str| {
            Error::new(Code::InvalidRequest, format!("the template asks for {name}, which is not there"))
                .fix("see what is there: leave the template out")
        };
        let mut found = match &path.root {
            Root::Dot => self.dot,
            Root::Top => self.top,
            Root::Variable(name) => {
                let variable = self.variables.iter().rev().find(|(known, _)| known == name);
                &variable.ok_or_else(|| unknown(&format!("${name}")))?.1
            }
        };
        for (depth, key) in path.keys.iter().enumerate() {
            let Some(next) = field(found, key) else {
                return if depth == 0 { Err(unknown(&format!(".{key}"))) } else { Ok(None) };
            };
            found = next;
        }
        Ok(Some(found))
    }
}

/// By its name, or by its name in other letters: docker's `.ID` is our `.Id`.
fn field<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    let object = value.as_object()?;
    object.get(key).or_else(|| object.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| v))
}

fn shown(show: Show, value: Option<&Value>) -> String {
    let json = |value: &Value| serde_json::to_string(value).expect("wire types have string keys only");
    match (show, value) {
        (Show::Plain, None | Some(Value::Null)) => "<no value>".to_string(),
        (Show::Plain, Some(Value::String(text))) => clean(text).into_owned(),
        (Show::Plain | Show::Json, Some(value)) => clean(&json(value)).into_owned(),
        (Show::Json, None) => "null".to_string(),
        (Show::Len, value) => match value {
            Some(Value::Array(all)) => all.len().to_string(),
            Some(Value::Object(all)) => all.len().to_string(),
            Some(Value::String(text)) => text.len().to_string(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_)) | None => "0".to_string(),
        },
    }
}

fn truth(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(yes) => *yes,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(template: &str, wanted: &str) {
        let object = json!({
            "Name": "front", "Id": "ab", "Internal": false,
            "IPAM": { "Config": [{ "Subnet": "10.9.0.0/24" }, { "Subnet": "fd00::/64" }] },
            "Containers": { "1": { "Name": "web" }, "2": { "Name": "db" } },
            "Labels": { "tier": "a\u{1b}b" }, "Empty": [],
        });
        let line = parse(template).and_then(|t| t.line(&object)).map_err(|e| e.what).unwrap_or_else(|e| e);
        assert_eq!(line.trim_end_matches('\n'), wanted, "{template}");
    }

    #[test]
    fn what_docker_scripts_use() {
        check("{{.Name}} {{.ID}}", "front ab");
        check("{{ .Internal }}|{{.Labels.none}}", "false|<no value>");
        check("{{range .IPAM.Config}}{{.Subnet}} {{end}}", "10.9.0.0/24 fd00::/64 ");
        check("{{range $id, $c := .Containers}}{{$id}}={{$c.Name}} {{end}}", "1=web 2=db ");
        check("{{range $c := .Containers}}{{$c.Name}}@{{$.Name}} {{end}}", "web@front db@front ");
        check("{{json .IPAM.Config}}", r#"[{"Subnet":"10.9.0.0/24"},{"Subnet":"fd00::/64"}]"#);
        check("{{len .Containers}}{{println}}x", "2\nx");
        check("{{if .Internal}}in{{else}}out{{end}}{{range .Empty}}a{{else}}none{{end}}", "outnone");
        check("a {{- .Name -}} b", "afrontb");
        check(r#"{{.Name}}\t{{"\n"}}x"#, "front\t\nx");
        check("{{.Labels.tier}}", "a\\u{1b}b");
    }

    #[test]
    fn mistakes_are_named() {
        check("{{.Nmae}}", "the template asks for .Nmae, which is not there");
        check("{{$x}}", "the template asks for $x, which is not there");
        for wrong in
            ["{{.Name", "{{range .A}}x", "{{end}}", "{{else}}", "{{index .A 0}}", "{{}}", "table {{.Name}}"]
        {
            assert_eq!(parse(wrong).unwrap_err().code, Code::InvalidRequest, "{wrong}");
        }
        parse(&"{{if .A}}".repeat(100_000)).unwrap_err();
    }
}
