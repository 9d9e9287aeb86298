//! Whole-system tests: the real binary, the real model, a directory of its own for each; one file per behaviour.

#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test may panic, and its helpers are for its neighbours")]

mod a_log_moves_to_kafka_and_back;
mod a_model_is_told_what_memory_holds;
mod a_model_reads_messages_where_one_is_configured;
mod a_model_sums_up_threads_where_one_is_configured;
mod bad_input_is_named_and_harms_nothing;
mod calls_are_shown_and_their_usage_summed_up;
mod calls_outlive_their_worker_on_kafka;
mod calls_that_a_kill_cut_off_are_shown_and_not_repeated;
mod clients_that_people_use_work_unmodified;
mod command_line;
mod dead_letters_hold_their_thread_back_until_they_are_settled;
mod docs_name_only_paths_that_exist;
mod events_can_be_followed;
mod imported_messages_are_recallable;
mod killed_at_any_moment_nothing_is_lost_or_doubled;
mod messages_tell_the_times_they_speak_of;
mod openai_sdks_work_unmodified;
mod other_clients_read_our_topics;
mod other_clients_write_events;
mod query_nodes_share_the_partitions;
mod recorded_calls_are_given_again_without_asking_anybody;
mod subscribers_are_told_of_messages;
mod support;
mod the_compose_file_is_understood;
mod the_roles_share_one_log_on_kafka;
mod threads_are_summed_up_and_put_away;
#[path = "../testing/upstream.rs"]
mod upstream;
mod views_are_rebuilt_from_the_log;
mod what_is_edited_or_redacted_tells_its_last_words_alone;
mod what_is_forgotten_is_in_no_answer;
mod what_is_past_its_retention_is_forgotten;
mod what_is_said_becomes_what_is_known;
