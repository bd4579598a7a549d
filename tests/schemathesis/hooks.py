"""Keeps the load of a run to requests: what they would set going is not what is tested here."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
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
