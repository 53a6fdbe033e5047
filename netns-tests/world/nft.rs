//! The firewall as the `nftables` crate reads it from `nft -j`: a reader that shares no line with our own codec.

use std::collections::BTreeSet;

use nftables::expr::{Expression, NamedExpression};
use nftables::schema::{NfListObject, NfObject, Nftables};

use super::place::Place;

/// Our table: the names of its chains, and what is in each of its sets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) chains: BTreeSet<String>,
    pub(crate) elements: BTreeSet<(String, String)>,
}

impl Table {
    pub(crate) fn holds(&self, set: &str, element: &str) -> bool {
        self.elements.contains(&(set.to_string(), element.to_string()))
    }
}

impl Place<'_> {
    /// None where there is no such table.
    #[track_caller]
    pub(crate) fn table(self) -> Option<Table> {
        let said = self.tries("nft -j list table inet bowline");
        if said.code != 0 {
            return None;
        }
        // The crate has no words for maps whose keys have several parts, nor for sets of families.
        let mut json = said.json();
        let mut table = Table::default();
        if let Some(objects) = json["nftables"].as_array_mut() {
            objects.retain(|object| object.get("map").is_none() && object.get("rule").is_none());
            objects.retain(|object| {
                let of_families = object["set"]["type"].as_array().is_some_and(|t| t[0] == "nf_proto");
                for element in object["set"]["elem"].as_array().into_iter().flatten().filter(|_| of_families)
                {
                    let parts = element["concat"].as_array().cloned().unwrap_or_default();
                    let words: Vec<&str> = parts.iter().filter_map(|part| part.as_str()).collect();
                    let set = object["set"]["name"].as_str().unwrap_or_default().to_string();
                    table.elements.insert((set, words.join(" . ")));
                }
                !of_families
            });
        }
        let read: Nftables<'_> = serde_json::from_value(json)
            .unwrap_or_else(|e| panic!("the nftables crate cannot read ({e}) {said}"));
        for object in read.objects.iter() {
            match object {
                NfObject::ListObject(NfListObject::Chain(chain)) => {
                    table.chains.insert(chain.name.to_string());
                }
                NfObject::ListObject(NfListObject::Set(set)) => {
                    for element in set.elem.iter().flat_map(|all| all.iter()) {
                        table.elements.insert((set.name.to_string(), text(element)));
                    }
                }
                NfObject::ListObject(_) | NfObject::CmdObject(_) => (),
            }
        }
        Some(table)
    }
}

fn text(expression: &Expression<'_>) -> String {
    match expression {
        Expression::String(text) => text.to_string(),
        Expression::Named(NamedExpression::Prefix(prefix)) => {
            format!("{}/{}", text(&prefix.addr), prefix.len)
        }
        Expression::Named(NamedExpression::Concat(parts)) => {
            parts.iter().map(text).collect::<Vec<_>>().join(" . ")
        }
        other => format!("{other:?}"),
    }
}
