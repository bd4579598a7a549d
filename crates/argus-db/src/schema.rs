//! The tables as diesel sees them; the same for both dialects.
//!
//! `event` leaves out the row number that the full-text index of SQLite needs and the word list of PostgreSQL: only
//! `search.rs` names them.

use diesel::{allow_tables_to_appear_in_same_query, joinable, table};

table! {
    camera (id) {
        id -> Text,
        name -> Text,
        name_key -> Text,
        created_us -> BigInt,
        updated_us -> BigInt,
        source_type -> Text,
        rtsp_url -> Nullable<Text>,
        username -> Nullable<Text>,
        password -> Nullable<Text>,
        rtsp_transport -> Text,
        device_index -> Nullable<Integer>,
        file_path -> Nullable<Text>,
        looped -> Bool,
        test_pattern -> Nullable<Text>,
        is_enabled -> Bool,
        frame_rate -> Integer,
        motion_enabled -> Bool,
        motion_sensitivity -> Text,
        motion_cooldown_s -> Integer,
        pre_roll_s -> Integer,
        post_roll_s -> Integer,
        max_event_s -> Integer,
        analysis_mode -> Text,
        prompt_override -> Nullable<Text>,
        zones -> Text,
        schedule -> Nullable<Text>,
        status -> Text,
        status_us -> BigInt,
        last_error -> Nullable<Text>,
        last_error_kind -> Nullable<Text>,
        protect_controller_id -> Nullable<Text>,
        protect_camera_id -> Nullable<Text>,
        protect_mac -> Nullable<Text>,
        protect_name -> Nullable<Text>,
        is_doorbell -> Bool,
        detections -> Nullable<Text>,
        removed_us -> Nullable<BigInt>,
    }
}

table! {
    protect_controller (id) {
        id -> Text,
        name -> Text,
        name_key -> Text,
        created_us -> BigInt,
        updated_us -> BigInt,
        host -> Text,
        port -> Integer,
        api_key -> Nullable<Text>,
        username -> Nullable<Text>,
        password -> Nullable<Text>,
        verify_tls -> Bool,
        certificate_sha256 -> Nullable<Text>,
        is_enabled -> Bool,
        kept -> Nullable<Text>,
        known_until_us -> Nullable<BigInt>,
        last_connected_us -> Nullable<BigInt>,
        choices -> Text,
    }
}

table! {
    event (id) {
        id -> Text,
        camera_id -> Text,
        created_us -> BigInt,
        updated_us -> BigInt,
        started_us -> BigInt,
        ended_us -> Nullable<BigInt>,
        last_motion_us -> BigInt,
        detected_us -> BigInt,
        described_us -> Nullable<BigInt>,
        source_type -> Text,
        detection_type -> Text,
        objects -> Text,
        description -> Text,
        search_text -> Text,
        description_status -> Text,
        status_reason -> Nullable<Text>,
        confidence -> Integer,
        ai_confidence -> Nullable<Integer>,
        low_confidence -> Bool,
        zones -> Text,
        motion -> Nullable<Text>,
        is_doorbell_ring -> Bool,
        provider_used -> Nullable<Text>,
        model -> Nullable<Text>,
        analysis_mode -> Nullable<Text>,
        frame_count_used -> Nullable<Integer>,
        fallback_reason -> Nullable<Text>,
        ai_cost -> Nullable<Double>,
        tokens_used -> Nullable<BigInt>,
        ai_response_time_ms -> Nullable<BigInt>,
        reanalysis_count -> Integer,
        reanalyzed_us -> Nullable<BigInt>,
        alert_triggered -> Bool,
        protect_event_id -> Nullable<Text>,
        smart_detection_type -> Nullable<Text>,
        correlation_group_id -> Nullable<Text>,
        thumb_stored -> Bool,
        clip_state -> Text,
        clip_bytes -> Nullable<BigInt>,
        clip_from_us -> Nullable<BigInt>,
        clip_until_us -> Nullable<BigInt>,
        frames_state -> Text,
        thumb_bytes -> Nullable<BigInt>,
        media_bytes -> BigInt,
        detected -> Text,
    }
}

table! {
    event_frame (event_id, idx) {
        event_id -> Text,
        idx -> Integer,
        offset_ms -> BigInt,
        sha256 -> Text,
        width -> Integer,
        height -> Integer,
        bytes -> BigInt,
        stored -> Bool,
        is_best -> Bool,
    }
}

table! {
    event_facts (event_id) {
        event_id -> Text,
        facts -> Text,
    }
}

table! {
    event_summary (span, camera_id, from_us) {
        span -> Integer,
        camera_id -> Text,
        from_us -> BigInt,
        events -> BigInt,
        cells -> Binary,
        sums -> Binary,
    }
}

table! {
    event_state (id) {
        id -> Integer,
        changes -> BigInt,
        summarised -> Bool,
    }
}

table! {
    analysis (id) {
        id -> Text,
        event_id -> Text,
        created_us -> BigInt,
        finished_us -> Nullable<BigInt>,
        asked_by -> Text,
        status -> Text,
        provider -> Nullable<Text>,
        provider_id -> Nullable<Text>,
        provider_name -> Nullable<Text>,
        model -> Nullable<Text>,
        analysis_mode -> Text,
        parameters -> Text,
        prompt -> Text,
        frames -> Text,
        description -> Nullable<Text>,
        confidence -> Nullable<Integer>,
        objects -> Text,
        tokens_input -> Nullable<BigInt>,
        tokens_output -> Nullable<BigInt>,
        tokens_used -> Nullable<BigInt>,
        cost -> Nullable<Double>,
        cost_estimated -> Bool,
        latency_ms -> Nullable<BigInt>,
        fallback_path -> Text,
        raw_answer -> Nullable<Text>,
        error -> Nullable<Text>,
        queued_ms -> Nullable<BigInt>,
        frames_ms -> Nullable<BigInt>,
        providers_ms -> Nullable<BigInt>,
        stored_ms -> Nullable<BigInt>,
    }
}

table! {
    analysis_look (analysis_id) {
        analysis_id -> Text,
        looks -> Text,
    }
}

table! {
    analysis_job (event_id) {
        event_id -> Text,
        state -> Text,
        asked_by -> Text,
        priority -> Integer,
        attempts -> Integer,
        created_us -> BigInt,
        not_before_us -> BigInt,
        lease_until_us -> BigInt,
        facts -> Nullable<Text>,
        analysis_id -> Nullable<Text>,
        wish -> Nullable<Text>,
        lease_token -> BigInt,
    }
}

table! {
    ai_provider (id) {
        id -> Text,
        name -> Text,
        name_key -> Text,
        created_us -> BigInt,
        updated_us -> BigInt,
        kind -> Text,
        model -> Text,
        base_url -> Nullable<Text>,
        api_key -> Nullable<Text>,
        enabled -> Bool,
        priority -> Integer,
        timeout_s -> Integer,
        max_output_tokens -> Integer,
        has_prices -> Bool,
        price_input -> Nullable<Double>,
        price_output -> Nullable<Double>,
        max_concurrent -> Integer,
        requests_per_minute -> Nullable<Integer>,
    }
}

table! {
    ai_call (id) {
        id -> Text,
        created_us -> BigInt,
        finished_us -> Nullable<BigInt>,
        state -> Text,
        purpose -> Text,
        analysis_id -> Nullable<Text>,
        event_id -> Nullable<Text>,
        camera_id -> Nullable<Text>,
        analysis_mode -> Nullable<Text>,
        provider -> Text,
        provider_id -> Nullable<Text>,
        provider_name -> Text,
        model -> Text,
        host -> Nullable<Text>,
        is_remote -> Bool,
        prompt -> Nullable<Text>,
        parameters -> Text,
        frames -> Text,
        frame_count -> Integer,
        bytes_sent -> BigInt,
        bytes_received -> BigInt,
        error_kind -> Nullable<Text>,
        error -> Nullable<Text>,
        raw_answer -> Nullable<Text>,
        tokens_input -> Nullable<BigInt>,
        tokens_output -> Nullable<BigInt>,
        estimate -> Nullable<Double>,
        cost -> Nullable<Double>,
        cost_estimated -> Bool,
        price_version -> Nullable<Text>,
        waited_ms -> Nullable<BigInt>,
        first_byte_ms -> Nullable<BigInt>,
        total_ms -> Nullable<BigInt>,
        description -> Nullable<Text>,
        confidence -> Nullable<Integer>,
        objects -> Nullable<Text>,
        is_vague -> Bool,
        is_refusal -> Bool,
    }
}

table! {
    ai_budget_told (budget) {
        budget -> Text,
        start_us -> BigInt,
        limit_usd -> Double,
        percent -> Integer,
    }
}

table! {
    ai_spent (quarter_us) {
        quarter_us -> BigInt,
        usd -> Double,
    }
}

table! {
    journal (seq) {
        seq -> BigInt,
        #[sql_name = "type"]
        kind -> Text,
        at_us -> BigInt,
        camera_id -> Nullable<Text>,
        event_id -> Nullable<Text>,
        data -> Text,
        notice -> Nullable<Text>,
    }
}

table! {
    coverage (id) {
        id -> BigInt,
        camera_id -> Text,
        from_us -> BigInt,
        until_us -> Nullable<BigInt>,
        state -> Text,
        reason -> Nullable<Text>,
        seen_us -> BigInt,
        is_gap -> Bool,
    }
}

table! {
    api_key (id) {
        id -> Text,
        name -> Text,
        prefix -> Text,
        sha256 -> Text,
        scopes -> Text,
        expires_us -> Nullable<BigInt>,
        rate_limit_per_minute -> Integer,
        usage_count -> BigInt,
        last_used_us -> Nullable<BigInt>,
        last_used_ip -> Nullable<Text>,
        created_us -> BigInt,
        created_by -> Nullable<Text>,
        revoked_us -> Nullable<BigInt>,
    }
}

table! {
    setting (name) {
        name -> Text,
        json -> Text,
        updated_us -> BigInt,
    }
}

table! {
    user (id) {
        id -> Text,
        username -> Text,
        email -> Nullable<Text>,
        email_key -> Nullable<Text>,
        role -> Text,
        is_active -> Bool,
        password_hash -> Text,
        must_change_password -> Bool,
        password_expires_us -> Nullable<BigInt>,
        created_us -> BigInt,
        updated_us -> BigInt,
        last_login_us -> Nullable<BigInt>,
    }
}

table! {
    session (id) {
        id -> Text,
        user_id -> Text,
        created_us -> BigInt,
        last_active_us -> BigInt,
        expires_us -> BigInt,
        ip_address -> Nullable<Text>,
        user_agent -> Nullable<Text>,
    }
}

table! {
    refresh_token (sha256) {
        sha256 -> Text,
        session_id -> Text,
        expires_us -> BigInt,
        replaced_us -> Nullable<BigInt>,
    }
}

table! {
    media_usage (camera_id) {
        camera_id -> Text,
        thumbnails_bytes -> BigInt,
        frames_bytes -> BigInt,
        clips_bytes -> BigInt,
        frames -> BigInt,
        clips -> BigInt,
    }
}

table! {
    media_trash (prefix) {
        prefix -> Text,
        at_us -> BigInt,
    }
}

joinable!(analysis_look -> analysis (analysis_id));
joinable!(analysis -> event (event_id));
allow_tables_to_appear_in_same_query!(journal, event);
allow_tables_to_appear_in_same_query!(analysis_look, analysis, event);
allow_tables_to_appear_in_same_query!(user, session, refresh_token);
