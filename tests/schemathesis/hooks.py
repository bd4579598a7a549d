"""Keeps the load of a run to requests: what they would set going is not what is tested here."""

import os

import schemathesis

# An id that nothing has.
NOTHING = "0193f2a0-7c3e-7d5a-9f61-2b8c4d1e6a70"


@schemathesis.hook
def before_call(context, case, kwargs):
    # Ids are taken from earlier answers: with its own key revoked the run would be refused everything, and find nothing.
    if case.path_parameters and case.path_parameters.get("id") == os.environ["ARGUS_OWN_KEY_ID"]:
        case.path_parameters["id"] = NOTHING
    # Hundreds of cameras at work at once would test the machine. Only in bodies that are meant to be accepted: the
    # others stay as bad as they were made.
    makes_cameras = case.operation.path.startswith("/api/v1/cameras") and case.method in ("POST", "PUT")
    positive = case.meta is not None and case.meta.generation.mode.is_positive
    if makes_cameras and positive and isinstance(case.body, dict) and "{id}" not in case.operation.path:
        if not case.operation.path.endswith("/test"):
            case.body["is_enabled"] = False
    # What retention is told to forget would be missing to the requests that come after.
    if case.operation.path.endswith("/system/settings") and positive and isinstance(case.body, dict):
        case.body.pop("retention", None)
        if isinstance(case.body.get("ai"), dict):
            # Nobody outside is asked, whatever the run makes of providers; and the built-in one goes on.
            case.body["ai"].pop("local_only", None)
    # Providers lead to a port of this machine where nobody listens.
    if case.operation.path.startswith("/api/v1/ai/providers") and case.method in ("POST", "PUT"):
        if positive and isinstance(case.body, dict) and not case.operation.path.endswith("/test"):
            case.body["base_url"] = "http://127.0.0.1:9/v1"
            case.body["enabled"] = False
    # So do controllers.
    if case.operation.path.startswith("/api/v1/protect/controllers") and case.method in ("POST", "PUT"):
        if positive and isinstance(case.body, dict) and "cameras" not in case.operation.path:
            case.body["host"] = "127.0.0.1"
            case.body["port"] = 9
