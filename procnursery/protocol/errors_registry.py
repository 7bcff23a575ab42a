"""Codes of replies' errors and of goodbyes, as registered in ``spec/schema.json``."""

from __future__ import annotations

ERROR_CODES = frozenset(
    {
        "invalid_params",
        "unknown_method",
        "unsupported_protocol",
        "hello_expected",
        "hello_repeated",
        "not_found",
        "start_failed",
        "token_conflict",
        "not_running",
        "signal_failed",
        "freeze_failed",
        "timed_out",
        "process_live",
        "name_in_use",
        "no_name",
        "not_held",
        "no_pty",
        "no_stdin",
        "stdin_closed",
        "reader_gone",
        "window_exceeded",
        "no_stream",
        "offset_expired",
        "offset_future",
        "unreadable",
        "result_too_large",
        "too_many_requests",
        "too_many_subscriptions",
        "resource_exhausted",
        "permission_denied",
        "cancelled",
        "shutting_down",
        "internal",
    }
)
"""Codes of the error of a reply."""

GOODBYE_CODES = frozenset(
    {
        "done",
        "empty_frame",
        "frame_too_large",
        "bad_msgpack",
        "bad_envelope",
        "bad_notification",
        "unexpected_reply",
        "duplicate_request_id",
        "hello_expected",
        "hello_failed",
        "hello_timeout",
        "truncated",
        "stalled_reader",
        "too_many_connections",
        "not_authorized",
        "shutting_down",
        "internal",
    }
)
"""Codes of a goodbye."""
