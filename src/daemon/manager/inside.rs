//! Routes and settings that an endpoint brings for its own namespace: checked when they come, and as the journal has them.

use std::collections::BTreeMap;

use bowline_api::v1;
use bowline_core::endpoint::{DefaultRoute, Inside, OwnRoute};
use bowline_core::name::quoted;
use bowline_core::network::prefix;
use bowline_core::state::Terms;
use bowline_core::{Code, Context, Error, Result};

use crate::store::InsideRecord;

/// Of routes, and of settings, each.
const MOST: usize = 256;

pub(super) fn of_join(join: &v1::Join) -> Result<Inside> {
    if join.routes.len() > MOST || join.sysctls.len() > MOST {
        return Err(Error::new(Code::InvalidOption, format!("join network {:.80}", join.network))
            .because(format!("there are more than {MOST} routes, or more than {MOST} sysctls")));
    }
    inside(&InsideRecord {
        no_default_route: join.no_default_route,
        default_route_metric: join.default_route_metric,
        routes: join.routes.clone(),
        sysctls: join.sysctls.clone(),
        shared: Vec::new(),
    })
}

pub(super) fn inside(record: &InsideRecord) -> Result<Inside> {
    check_sysctls(&record.sysctls)?;
    Ok(Inside {
        default_route: match (record.no_default_route, record.default_route_metric) {
            (true, _) => DefaultRoute::Withheld,
            (false, Some(metric)) => DefaultRoute::After(metric),
            (false, None) => DefaultRoute::Given,
        },
        routes: record.routes.iter().map(route).collect::<Result<_>>()?,
        sysctls: record.sysctls.clone(),
        shared: record.shared.clone(),
    })
}

pub(super) fn record(inside: &Inside) -> InsideRecord {
    let (no_default_route, default_route_metric) = match inside.default_route {
        DefaultRoute::Given => (false, None),
        DefaultRoute::After(metric) => (false, Some(metric)),
        DefaultRoute::Withheld => (true, None),
    };
    let routes = inside.routes.iter().map(view).collect();
    let (sysctls, shared) = (inside.sysctls.clone(), inside.shared.clone());
    InsideRecord { no_default_route, default_route_metric, routes, shared, sysctls }
}

pub(super) fn view(route: &OwnRoute) -> v1::OwnRoute {
    let Terms { metric, mtu, advmss, table, scope } = route.terms;
    v1::OwnRoute {
        to: route.to.to_string(),
        via: route.via,
        metric,
        mtu_bytes: mtu,
        advmss_bytes: advmss,
        table,
        scope,
    }
}

fn route(wish: &v1::OwnRoute) -> Result<OwnRoute> {
    let bad = |why: &str| {
        Error::new(Code::InvalidOption, format!("route to {} is not usable", quoted(&wish.to))).because(why)
    };
    let to = prefix(&wish.to).context(|| "read a route".into())?;
    if to.ip() != to.network() {
        return Err(bad("its destination has host bits set"));
    }
    if wish.via.is_some_and(|via| via.is_ipv4() != to.is_ipv4()) {
        return Err(bad("its destination and its router are of different families"));
    }
    if wish.via.is_some_and(|via| via.is_unspecified() || via.is_multicast()) {
        return Err(bad("its router is nobody's address"));
    }
    // What the kernel does where nothing is said is written in one way only, so that what is seen compares.
    let usual = |number: u32| move |value: &u32| *value != number;
    let terms = Terms {
        metric: wish.metric.filter(usual(if to.is_ipv6() { 1024 } else { 0 })),
        mtu: wish.mtu_bytes.filter(usual(0)),
        advmss: wish.advmss_bytes.filter(usual(0)),
        table: wish.table.filter(usual(254)).filter(usual(0)),
        scope: wish.scope.filter(|scope| *scope != if wish.via.is_some() { 0 } else { 253 } && to.is_ipv4()),
    };
    Ok(OwnRoute { to, via: wish.via, terms })
}

/// Files of a network namespace, and values of one line.
pub(super) fn check_sysctls(sysctls: &BTreeMap<String, String>) -> Result<()> {
    for (path, value) in sysctls {
        let plain = |part: &str| {
            let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'@' | b'+');
            !matches!(part, "" | "." | "..") && part.bytes().all(fits)
        };
        if !path.starts_with("net/") || path.len() > 200 || !path.split('/').all(plain) {
            return Err(Error::new(Code::InvalidOption, format!("sysctl {} is not usable", quoted(path)))
                .because("it is no file of a network namespace")
                .fix("write it as net/ipv4/conf/eth0/arp_notify"));
        }
        if value.len() > 256 || value.chars().any(char::is_control) {
            return Err(Error::new(
                Code::InvalidOption,
                format!("sysctl {path} cannot be set to {}", quoted(value)),
            )
            .because("a value is one line of at most 256 bytes"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_stay_within_the_namespace() {
        let check = |path: &str, value: &str| check_sysctls(&BTreeMap::from([(path.into(), value.into())]));
        assert!(check("net/ipv4/conf/eth0/arp_notify", "1").is_ok());
        for path in
            ["kernel/hostname", "net/../kernel/hostname", "/net/x", "net", "net//x", "net/a b", "net/\0"]
        {
            assert_eq!(check(path, "1").unwrap_err().code, Code::InvalidOption, "{path:?}");
        }
        assert!(check("net/ipv4/ip_forward", "1\n").is_err());
    }

    #[test]
    fn what_the_kernel_does_anyway_is_not_said() {
        let wish = |to: &str, metric, table, scope| v1::OwnRoute {
            to: to.into(),
            metric,
            table,
            scope,
            ..v1::OwnRoute::default()
        };
        assert_eq!(
            route(&wish("10.0.0.0/8", Some(0), Some(254), Some(253))).unwrap().terms,
            Terms::default()
        );
        assert_eq!(route(&wish("fd00::/8", Some(1024), Some(0), Some(200))).unwrap().terms, Terms::default());
        assert_eq!(route(&wish("fd00::/8", Some(7), Some(9), None)).unwrap().terms.table, Some(9));
        for to in ["10.0.0.1/8", "x", "10.0.0.0"] {
            assert!(route(&wish(to, None, None, None)).is_err(), "{to}");
        }
    }
}
