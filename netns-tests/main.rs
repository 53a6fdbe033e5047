//! The privileged tier: the real binary on the real kernel, every scenario on a machine of its own, many at once.
//! They are listed here, and in list/. What this kernel lacks is told in a guest; what cannot be told there either is shown as
//! ignored, never as passed.

#![allow(clippy::unwrap_used, reason = "this program is nothing but a test")]

mod matrix;
mod needs;
mod patience;
mod runner;
#[macro_use]
mod scenario;
mod list;
mod scenarios;
mod vm;
mod world;

use std::process::ExitCode;

use needs::Need;
use scenario::Scenario;

// Marks are explained in scenario.rs; `needs` may stand before a group as well.
scenarios! {
    attach {
        a_container_gets_what_was_promised,
        detaching_leaves_nothing,
        disconnecting_leaves_the_endpoint,
        what_was_asked_for_is_given,
        several_networks_several_cards,
        the_default_route_goes_by_priority,
        no_network_is_a_loopback,
        names_of_every_length,
        a_rehearsal_changes_nothing,
        a_process_is_a_way_in,
    }
    addresses {
        ranges_gateways_and_others_addresses_are_kept,
        a_taken_address_names_its_holder,
        a_full_subnet_is_named,
        freed_addresses_are_used_again_last,
        subnets_are_chosen_clear_of_the_host,
    }
    cni {
        a_runtimes_containers_reach_each_other_and_are_found,
        two_attachments_of_one_container_are_independent,
        what_is_untied_while_the_daemon_is_away_is_gone_when_it_is_back,
    }
    cni_reference {
        the_same_lists_have_the_same_results,
        addresses_are_given_as_the_reference_gives_them,
        chained_plugins_change_the_result_alike,
        the_same_list_connects_alike,
        a_del_without_a_namespace_leaves_nothing,
    }
    cni_adversity {
        blind_and_repeated_deletes_succeed,
        nothing_of_an_earlier_boot_is_in_the_way,
        a_refused_duplicate_and_its_cleanup_spare_the_first,
        two_attachments_of_a_container_are_independent,
        a_caller_that_dies_before_the_answer_leaves_nothing,
        a_caller_that_is_killed_at_any_time_leaves_nothing,
        without_a_daemon,
        a_daemon_that_dies_at_every_call_of_add,
        only_a_list_says_who_is_valid,
        a_full_pool_is_no_fault_of_the_network,
        a_hundred_add_at_once,
        nonsense_is_refused_and_changes_nothing,
    }
    families {
        two_families,
        ipv6_alone,
        ipv4_alone_has_no_ipv6_at_all,
        addresses_are_usable_at_once,
        no_container_advertises_a_route,
        no_advertisement_of_a_guarded_member_arrives,
    }
    isolation {
        networks_do_not_reach_each_other,
        an_open_network_is_open_to_all,
        outsiders_do_not_reach_members_directly,
        who_guesses_a_members_flow_stays_outside,
        published_ports_are_reached_but_strict_networks_only_from_outside,
        members_kept_apart_reach_the_gateway_only,
        members_kept_apart_do_not_meet_at_the_gateway,
    }
    internal {
        an_internal_network_reaches_its_members_only,
        not_even_the_link_local_address_of_the_bridge,
        nobody_reaches_an_internal_network,
    }
    ports {
        everybody_reaches_a_published_port_and_is_seen_as_he_is,
        nothing_else_is_open,
        a_port_on_one_address_is_on_that_one_only,
        a_loopback_port_is_the_hosts_own,
        udp_is_answered_from_the_address_that_was_asked,
        ipv6_reaches_an_endpoint_that_has_only_ipv4,
        ipv4_reaches_an_endpoint_that_has_only_ipv6,
        what_is_relayed_keeps_out_whom_the_firewall_does,
        ranges_and_free_ports,
        ports_come_and_go_while_others_are_in_use,
        who_has_a_port_is_named_and_another_proposed,
        nobody_else_can_bind_a_published_port,
        nobody_else_can_bind_a_published_port_while_the_daemon_is_away,
        ports_of_what_is_gone_when_the_daemon_comes_back_are_free,
        a_port_that_was_just_served_can_be_published,
        a_sender_that_never_stops_reaches_the_next_one,
        ports_outlive_the_daemon,
        a_port_that_was_taken_while_the_daemon_was_away_still_works,
        ports_follow_the_default_route,
        what_is_wrong_with_a_port_changes_nothing,
        a_hosts_port_of_a_well_known_number_swallows_nothing_else,
    }
    gateways {
        nat_is_reached_by_published_ports_only,
        unprotected_nat_is_reached_at_every_port,
        routed_is_reached_at_its_own_addresses,
        each_family_has_its_own_mode,
        isolated_has_no_address_of_the_hosts,
        two_addresses_are_a_network,
        a_trusted_card_reaches_every_port,
        a_member_of_two_modes_is_reached_by_both,
    }
    senders {
        an_address_of_another_is_not_believed,
        a_neighbours_address_cannot_be_taken_over,
        another_mac_is_not_believed,
        a_member_is_no_dhcp_server,
        who_routes_for_others_is_let_off,
        a_restart_does_not_stop_honest_senders,
        many_made_up_neighbours_do_not_fill_the_hosts_table,
    }
    rates {
        #[timed] rates_hold_in_both_directions_and_can_be_seen,
    }
    republish {
        a_network_that_becomes_internal_publishes_nothing,
        a_network_that_becomes_strict_is_so_for_what_is_relayed,
        of_two_strict_endpoints_one_that_goes_opens_nothing,
        a_routed_port_that_is_opened_twice_stays_open_once,
        a_routed_connection_ends_with_its_port,
        a_port_that_was_stolen_is_relayed_when_it_is_free_again,
        one_port_is_given_to_one_of_many_who_ask,
    }
    hooks {
        what_is_denied_to_some_stays_open_to_others,
        what_we_would_drop_may_be_let_in,
        a_port_is_closed_before_it_is_translated,
        what_is_wrong_changes_nothing_and_is_said,
    }
    tables {
        a_strangers_flush_takes_nothing,
        released_tables_are_put_back_when_they_are_flushed,
        a_connection_made_in_the_gap_of_a_flush_does_not_last,
        a_connection_made_while_tables_and_daemon_were_gone_does_not_last,
    }
    catalogue {
        reloads_of_other_firewalls_change_nothing,
        nobody_but_the_host_reaches_its_loopback,
        no_datagram_from_elsewhere_reaches_a_loopback_port,
        no_verb_changes_a_strangers_table,
        a_port_on_an_address_that_moved_away_takes_nobodys_traffic,
        a_member_of_an_internal_network_gets_no_answer_of_the_host,
        a_member_without_ipv6_neither_speaks_nor_hears_it,
        an_unrelated_bridge_goes_on_forwarding,
        a_flood_of_advertisements_and_redirects_reaches_nobody,
        no_forged_frame_is_delivered,
        made_up_senders_take_no_room_in_the_hosts_table,
        unanswered_flows_of_one_leave_room_for_others,
    }
    matrix {
        everybody_reaches_whom_they_should,
        it_sees_every_door_that_was_opened,
    }
    links {
        members_learn_the_routes_of_their_network,
        super_packets_where_they_cost_nobody,
    }
    remember {
        a_fixed_address_waits_for_its_stopped_endpoint,
        networks_and_fixed_addresses_outlive_a_reboot,
        what_an_earlier_boot_left_in_run_is_not_believed,
    }
    restart {
        #[timed] traffic_flows_through_a_restart,
        #[timed] traffic_flows_through_a_crash,
        everything_works_after_a_crash,
        what_happened_while_away_is_put_right,
        told_to_stop_at_once_it_ends_well,
        #[cold] a_daemon_is_started_where_none_runs,
    }
    crash {
        at_every_call_of_attach,
        at_every_call_of_detach,
        at_every_call_of_network_create,
        at_every_call_of_network_rm,
        at_every_call_of_connect,
        at_every_call_of_disconnect,
        at_every_call_of_the_last_disconnect,
        at_every_call_of_update,
        at_every_call_of_publish,
        at_every_call_of_unpublish,
        at_every_call_of_recovery,
    }
    healing {
        a_bridge_that_was_deleted,
        a_port_that_was_deleted,
        what_a_container_did_to_its_own_card,
        an_address_of_the_bridge_that_was_removed,
        links_that_were_set_down,
        a_port_that_was_taken_off_its_bridge,
        a_firewall_that_was_flushed,
        a_namespace_that_went_without_a_word,
        a_path_that_leads_to_another_namespace_now,
        a_member_that_leaves_takes_nothing_from_the_others,
    }
    foreign {
        is_the_same_after_a_hundred_operations,
        a_stranger_with_our_bridges_name,
        a_stranger_that_took_our_bridges_name_while_we_were_away,
        a_card_of_the_containers_own,
        a_default_route_of_the_containers_own,
    }
    coexist {
        docker_that_was_there_lets_us_pass_at_once,
        docker_that_comes_later_is_named,
        docker_that_comes_later_is_asked_by_a_repair,
        dockers_nftables_that_were_there,
        dockers_nftables_that_come_later,
        ufw_that_was_there,
        ufw_that_comes_later,
        firewalld_that_was_there,
        firewalld_that_comes_later,
        firewalld_that_runs_has_our_bridges_in_a_zone,
        libvirt_that_was_there,
        libvirt_that_comes_later,
        kubernetes_that_was_there,
        kubernetes_that_comes_later,
        a_firewall_of_nobodys_that_was_there,
        a_firewall_of_nobodys_that_comes_later,
        only_what_we_let_pass_is_spoken_of,
        they_are_the_same_after_a_thousand_operations,
    }
    elsewhere {
        a_network_lives_where_the_caller_says,
        its_members_find_each_other_by_name,
        it_survives_a_crash_and_is_healed_there,
        it_goes_with_its_namespace,
        a_namespace_is_a_hosts_or_a_containers,
    }
    many {
        two_hundred_attach_and_detach_at_once,
        networks_come_and_go_at_once,
        a_crash_in_the_middle_of_many,
        a_second_daemon_is_refused,
        a_second_daemon_of_the_same_namespace_changes_nothing,
        two_daemons_in_two_namespaces,
        a_full_bridge_is_named,
        only_its_socket_is_open_to_others,
    }
    races {
        many_hands_on_one_endpoint,
        namespaces_that_go_while_they_are_attached,
        a_bridge_deleted_under_those_who_join,
        networks_removed_under_those_who_join,
    }
    run {
        the_exit_code_is_the_commands_own,
        a_life_in_the_background,
        signals_reach_the_command,
        the_daemons_crash_is_not_its_own,
        ip_netns_exec_is_at_home_there,
        it_has_a_name_and_files_of_its_own,
        none_and_host_are_networks_too,
        the_default_network_is_made_when_needed,
        a_command_dies_with_its_minder,
        what_is_forgotten_leaves_nothing,
        root_is_not_led_into_a_namespace_of_the_commands_making,
        a_strangers_namespace_of_the_same_name_is_spared,
        twenty_at_once,
        the_command_inherits_nothing_but_its_streams,
    }
    doctor {
        a_healthy_host_is_well_and_stays_as_it_is,
        what_the_kernel_has_is_what_others_find,
        a_firewall_that_drops_is_named_with_what_helps,
        drift_and_forwarding_are_named_with_what_helps,
        a_network_that_is_wider_than_the_uplink,
        #[cold] without_a_daemon_it_looks_itself,
        nobody_sees_what_nobody_may,
    }
    refusals {
        what_is_no_namespace,
        what_does_not_fit,
        #[cold] directories_that_cannot_be_used,
        #[cold] a_configuration_that_is_wrong,
        #[cold] a_state_that_is_damaged,
        #[cold] a_disk_that_fills_while_it_runs,
        nobody_is_not_root,
    }
    lane {
        #[guest] the_guest_has_what_it_is_for,
        #[guest] an_endpoint_gets_what_it_gets_elsewhere,
        #[needs(Sctp)] a_published_sctp_port_carries_traffic,
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let lists = [SCENARIOS, list::media::SCENARIOS, list::names::SCENARIOS];
    let scenarios = || lists.into_iter().flatten().copied().flatten();
    match args.first().map(String::as_str) {
        Some("witness") => world::witness::main(&args[1..]),
        Some("station") => matrix::station::main(&args[1..]),
        Some("in-the-guest") => runner::in_the_guest(scenarios(), &args[1..]),
        _ => runner::here(scenarios()),
    }
}
