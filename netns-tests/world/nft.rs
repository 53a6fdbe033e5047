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
        let read: Nftables<'_> = serde_json::from_str(&said.out)
            .unwrap_or_else(|e| panic!("the nftables crate cannot read ({e}) {said}"));
        let mut table = Table::default();
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
