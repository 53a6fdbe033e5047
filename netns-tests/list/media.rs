//! Stories of what members hang on other than a bridge of ours: links of the host's, bridges of others, VLANs, wires; and of
//! addresses that others give there.

use crate::needs::Need;
use crate::scenario::Scenario;
use crate::scenarios;

scenarios! {
    their_bridge {
        members_are_on_the_lan,
        without_a_gateway_nothing_leads_on,
        the_bridge_stays_as_it_is,
        forged_senders_do_not_get_there,
        members_kept_apart_reach_the_lan_only,
        ports_lead_there_where_the_host_does,
        a_member_of_both_kinds_is_reached_by_both,
        what_cannot_be_there_is_refused,
        members_without_addresses_of_ours,
        a_bridge_that_goes_is_named_and_one_that_comes_back_is_used,
        a_namespace_that_goes_leaves_nothing,
        at_every_call_of_attach,
        at_every_call_of_detach,
    }
    pairs {
        two_members_reach_each_other_and_nobody_else,
        a_third_is_refused_and_one_that_leaves_makes_room,
        nothing_of_the_host_is_on_the_wire,
        sizes_rates_and_subnets_are_as_asked,
        what_means_nothing_to_a_wire_is_refused,
        an_end_that_goes_leaves_the_other_waiting,
        at_every_call_of_attach,
        at_every_call_of_detach,
    }
    #[needs(VlanFiltering)]
    bridge_vlans {
        members_of_one_vlan_reach_each_other_and_the_gateway,
        members_of_another_vlan_reach_their_own_only,
        no_tag_leads_into_another_vlan,
        vlans_are_put_right,
        numbers_and_bridges_that_do_not_fit_are_refused,
        #[needs(Vlan8021q)] a_trunk_of_others_is_left_as_it_is,
        at_every_call_of_attach,
    }
    uplink {
        members_leave_under_the_hosts_address,
        members_keep_their_addresses_where_asked,
        the_size_of_packets_follows_the_uplink,
        the_size_of_packets_is_as_asked,
        #[needs(Vlan8021q)] members_leave_and_are_reached_by_a_tagged_uplink,
        #[needs(Wireguard)] the_size_of_packets_follows_a_tunnel,
    }
    direct {
        a_member_gets_a_card_on_the_lan,
        a_member_runs_and_goes,
        each_mode_reaches_whom_it_should,
        addresses_are_nobody_elses,
        several_networks_over_one_parent,
        an_internal_network_leads_nowhere,
        the_host_reaches_members_where_it_is_let,
        fifty_at_once,
        a_restart_disturbs_nobody,
        a_namespace_that_went_without_a_word,
        a_card_that_its_container_deleted,
        cards_of_others_are_left_alone,
        a_card_without_its_mark_still_goes,
    }
    direct_parents {
        the_size_of_packets_follows,
        it_goes_down_and_comes_back_up,
        it_is_deleted_and_made_again,
        it_is_renamed,
        it_is_moved_away_and_comes_back,
    }
    direct_refusals {
        what_is_no_parent,
        what_a_member_cannot_have,
    }
    direct_crashes {
        at_every_call_of_attach,
        at_every_call_of_detach,
        at_every_call_of_network_create,
        at_every_call_of_internal_network_create,
        at_every_call_of_network_rm,
    }
    #[needs(Ipvlan)]
    ipvlan {
        l2_is_on_the_lan,
        l2_private_keeps_members_apart,
        l3_is_routed_by_the_parent,
        the_host_reaches_members_where_it_is_let,
        who_has_the_parent_is_named,
        its_parent_comes_back,
    }
    dhcp {
        a_macvlan_member_has_what_a_server_gave,
        a_member_of_their_bridge_has_what_a_server_gave,
        ipv6_comes_by_advertisements,
        leases_are_renewed_also_by_the_next_daemon,
        a_lease_that_nobody_prolongs_ends,
        a_server_that_says_no_takes_the_address,
        what_is_no_answer_is_not_believed,
        an_address_that_a_neighbour_has_is_declined,
        without_a_server_an_attach_fails_and_leaves_nothing,
        who_waits_can_be_taken_away,
        a_card_made_again_keeps_its_lease,
        twenty_at_once,
        what_cannot_be_is_refused,
        at_every_call_of_attach,
    }
    #[needs(Ipvlan)]
    dhcp_ipvlan {
        members_have_what_a_server_gave,
    }
    #[needs(Vlan8021q)]
    vlan_parents {
        it_is_made_shared_and_removed,
        one_that_is_there_stays,
        it_is_healed,
    }
}
