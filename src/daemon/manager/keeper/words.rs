//! The words of the wire and the journal for what a network is, and back.

use bowline_api::v1;
use bowline_core::network::{Gateway, Isolation, Neighbours, StaticRoute};

pub(in crate::manager) fn isolation(wire: v1::Isolation) -> Isolation {
    match wire {
        v1::Isolation::Open => Isolation::Open,
        v1::Isolation::Published => Isolation::Published,
        v1::Isolation::Strict => Isolation::Strict,
    }
}

pub(super) fn isolation_view(isolation: Isolation) -> v1::Isolation {
    match isolation {
        Isolation::Open => v1::Isolation::Open,
        Isolation::Published => v1::Isolation::Published,
        Isolation::Strict => v1::Isolation::Strict,
    }
}

pub(in crate::manager) fn gateway(wire: v1::GatewayMode) -> Gateway {
    match wire {
        v1::GatewayMode::Nat => Gateway::Nat,
        v1::GatewayMode::NatUnprotected => Gateway::Unprotected,
        v1::GatewayMode::Routed => Gateway::Routed,
        v1::GatewayMode::Isolated => Gateway::Isolated,
    }
}

pub(super) fn gateway_view(gateway: Gateway) -> v1::GatewayMode {
    match gateway {
        Gateway::Nat => v1::GatewayMode::Nat,
        Gateway::Unprotected => v1::GatewayMode::NatUnprotected,
        Gateway::Routed => v1::GatewayMode::Routed,
        Gateway::Isolated => v1::GatewayMode::Isolated,
    }
}

pub(in crate::manager) fn neighbours(icc: bool) -> Neighbours {
    if icc { Neighbours::Open } else { Neighbours::Isolated }
}

pub(super) fn routes_view(routes: &[StaticRoute]) -> Vec<v1::StaticRoute> {
    routes.iter().map(|r| v1::StaticRoute { to: r.to.to_string(), via: r.via }).collect()
}
