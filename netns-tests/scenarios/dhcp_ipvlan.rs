//! Addresses of a DHCP server on cards that all have one MAC address: the server tells them apart by their ids, and answers to
//! all, for a card hears nothing that is sent to an address that it does not have.

use super::dhcp::a_member_has_what_a_server_gave;
use super::direct::{no_second_lan, second_lan};
use crate::world::World;

pub(crate) fn members_have_what_a_server_gave(w: &World) {
    second_lan(w);
    a_member_has_what_a_server_gave(w, "network create lan -d ipvlan --parent lan0 --ipam dhcp");
    no_second_lan(w);
}
