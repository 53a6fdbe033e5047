//! Stories of names: what is answered at 127.0.0.11, by whom, and whatever happens.

use crate::needs::Need;
use crate::scenario::Scenario;
use crate::scenarios;

scenarios! {
    names {
        all_that_an_endpoint_is_called_leads_to_it,
        an_alias_of_many_leads_to_all_of_them_in_turn,
        only_names_of_ones_own_networks_are_known,
        an_address_on_a_shared_network_comes_first,
        links_are_names_of_ones_own,
        names_and_networks_may_have_dots,
        a_change_is_seen_by_the_very_next_query,
        the_first_question_of_an_endpoint_is_answered,
        what_is_stopped_or_gone_has_no_name_and_leaves_it_to_others,
        a_removed_network_takes_its_names_along,
        commands_find_each_other,
    }
    answers {
        owned_names_are_answered_with_authority,
        nothing_of_that_kind_is_not_nobody,
        addresses_have_names,
        declared_ports_are_services,
        what_does_not_fit_a_datagram_comes_by_tcp,
        tcp_takes_many_questions_at_once,
        #[cold] the_time_to_live_is_configured,
        localhost_is_everybodys_own,
    }
    resolver {
        port_53_is_the_containers_own,
        no_connection_is_tracked,
        no_port_and_no_sender_is_in_the_way,
        it_comes_and_goes_with_the_networks_and_leaves_nothing,
        a_network_without_names_has_no_resolver,
        ipv6_alone_has_one_too,
        a_member_of_many_networks_has_one,
        two_endpoints_in_one_namespace_share_it,
        who_has_no_names_leaves_the_others_theirs,
        one_that_was_let_go_of_is_made_again,
        answers_that_travel_together_arrive_each_for_itself,
    }
    resolv_conf {
        the_file_says_what_the_host_says_or_was_asked_for,
        search_domains_lead_to_names_of_ours,
        a_file_that_was_there_is_left_alone,
        what_was_written_over_ours_is_left_alone,
        nothing_is_smuggled_into_it,
    }
    forwarding {
        the_hosts_servers_are_asked_from_the_host,
        servers_on_the_hosts_loopback_are_reached,
        servers_are_reached_by_ipv6,
        own_servers_are_asked_from_inside,
        #[cold] configured_servers_are_asked_instead_of_the_hosts,
        #[cold] a_resolver_does_not_ask_itself,
        options_of_a_query_pass_as_they_are,
        every_question_has_a_port_and_an_id_of_its_own,
        what_is_no_answer_to_the_question_is_not_believed,
        long_answers_come_by_tcp,
        #[cold] a_server_that_cannot_tell_is_not_the_last,
        #[cold] #[timed] a_dead_server_is_waited_for_once,
        #[cold] where_all_are_dead_it_is_said_within_two_seconds,
    }
    remembering {
        answers_are_kept_as_long_as_they_hold,
        that_something_is_not_there_is_kept_too,
        what_is_flushed_is_asked_again,
        what_one_was_told_is_not_told_to_another,
        an_internal_network_asks_nobody,
        a_second_network_opens_and_closes_the_way_at_once,
        names_of_ours_are_asked_of_nobody_else,
    }
    following {
        #[cold] a_file_that_is_written_anew,
        #[cold] a_link_that_is_turned,
        #[cold] a_directory_that_is_exchanged,
        #[cold] a_file_that_is_mounted_over,
        #[cold] a_file_that_says_nothing_changes_nothing,
        #[cold] what_was_written_while_the_daemon_was_away_holds,
    }
    dns_verbs {
        names_are_listed,
        what_an_endpoint_is_answered_can_be_seen_from_outside,
        what_was_asked_is_logged,
        no_name_speaks_to_a_terminal,
        flushing_says_how_much_was_forgotten,
    }
    dns_faults {
        #[timed] no_question_is_lost_by_a_restart,
        #[timed] no_question_is_lost_by_a_crash,
        #[timed] questions_wait_for_a_daemon_that_is_late,
        #[timed] whoever_keeps_the_sockets_may_die,
        what_was_asked_for_outlives_the_daemon,
        no_question_is_lost_by_changes,
        no_file_is_kept_of_what_went,
        what_a_container_did_to_its_resolver_is_mended_by_a_repair,
        sockets_that_a_container_destroyed_are_made_again,
        no_question_is_lost_that_waits_for_a_server,
    }
    dns_namespaces {
        a_namespace_that_goes_is_not_held,
        a_namespace_that_goes_while_the_daemon_is_away_is_not_held,
        who_is_left_in_a_namespace_without_a_name_still_asks,
        a_namespace_of_a_process_goes_with_it,
        a_namespace_that_is_mounted_elsewhere_goes_with_that,
    }
    dns_limits {
        #[timed] ten_thousand_idle_connections_disturb_nobody,
        #[timed] slow_talkers_disturb_nobody_and_are_cut_off,
        #[timed] a_flood_leaves_others_their_share,
        names_that_cannot_be_asked_for_are_refused,
    }
    dns_nonsense {
        datagrams_of_every_kind,
        streams_of_every_kind,
        #[timed] nonsense_costs_little_and_ends,
        no_loop_can_be_begun,
    }
}
