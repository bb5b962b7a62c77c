"""What schemathesis is to send where the document's schemas have a format of this project's own."""

import itertools
import json
import os
import unicodedata
from urllib.parse import unquote

import schemathesis
from hypothesis import strategies as st

WORDS = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
# What tests/schemathesis.rs set up; `shop` is under no name by which something is deleted.
KNOWN_IDS = st.sampled_from(["spare", "visit", "order-1", "ada", "regular", "greet", "archive", "marketing", "purchase"])
SAYS_NOTHING = {"0", "null", "none", "nan", "true", "false", "undefined"}
IDS = st.one_of(KNOWN_IDS, WORDS.filter(lambda word: word not in SAYS_NOTHING))
TYPES = st.sampled_from(["page-view", "sign-in", "purchase-order"])


# A record as it may be imported; the last is none.
TIME = {"time": {"insert": "2024-05-01T10:00:00Z"}}
RECORDS = st.one_of(
    st.fixed_dictionaries({"id": IDS, "type": TYPES, "source": st.just({"id": "shop"}), "metadata": st.just(TIME)}),
    st.fixed_dictionaries({"id": IDS, "ids": st.lists(WORDS, max_size=2), "metadata": st.just(TIME)}),
    st.fixed_dictionaries({"id": IDS, "profile": st.just({"id": "ada"}), "metadata": st.just(TIME)}),
    st.just({}),
)

FORMATS = {
    "id": IDS,
    "source-id": st.sampled_from(["shop", "shop", "nobody"]),
    "new-id": st.uuids(version=4).map(str),
    "event-type": st.one_of(TYPES, WORDS),
    "event-type-pattern": st.sampled_from(["page-view", "checkout-*", "*"]),
    "moment": st.sampled_from(["-15m", "-24h", "-7d", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05"]),
    "expiry": st.sampled_from(["7d", "30m", "2099-01-01T00:00:00Z"]),
    "cel": st.sampled_from(["true", "1 < 2", "now > timestamp('2026-01-01T00:00:00Z')"]),
    "cron": st.sampled_from(["0 3 * * *", "*/5 * * * 1"]),
    "paths": st.sampled_from(["type", "metadata.time.insert", "type,properties.price"]),
    "step": st.sampled_from(["page-view", "checkout-*", "purchase[event.properties.price > 100]"]),
    "time-zone": st.sampled_from(["UTC", "Europe/Warsaw", "Asia/Kathmandu"]),
    "country": st.sampled_from(["CH", "us", "Pl"]),
    "phone": st.sampled_from(["+41446681800", "+1 212 555 0100"]),
    "address": st.sampled_from(["ada@example.com", "bob@example.org"]),
    "identifier": st.uuids(version=4).map(str),
    "tag": st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=100),
    "name": WORDS,
    "origin": st.sampled_from(["https://shop.example", "http://localhost:3000", "null"]),
    "record-lines": st.lists(RECORDS.map(json.dumps), max_size=3).map("\n".join),
    "event-id-place": st.sampled_from(["properties.id", "properties.data.id", "header:webhook-id"]),
    "properties-path": st.sampled_from(["properties.email", "properties.customer.id"]),
}
for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)


# What tests/schemathesis.rs set up that nothing but these operations names, by the path under which it is found: what is
# there is asked for more often than what is not.
KEPT = {kind: f"kept-{kind}" for kind in ("event", "session", "profile")} | {"erasure": os.environ["TRACARDI_ERASURE"]}
CALLS = itertools.count()


# The filters of events that an export of other records does not know.
OF_EVENTS = {"sessions": {"session", "type", "tag", "valid", "bot"}}
OF_EVENTS["profiles"] = OF_EVENTS["sessions"] | {"profile", "source"}


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return {"data": (value if isinstance(value, str) else json.dumps(value)).encode()}


@schemathesis.hook
def before_call(context, case, kwargs):
    """Three calls of four ask for what is there, if they delete nothing.

    A page of JSON has at most 1,000 records, a cursor belongs to its query, and an export takes the filters of what it
    exports, and months have too many minutes to count by: none of it is in the schema."""
    kept = KEPT.get(case.operation.path.split("/")[1])
    is_positive = case.meta and case.meta.generation.mode.is_positive
    if kept and is_positive and case.method != "DELETE" and case.path_parameters and next(CALLS) % 4:
        case.path_parameters["id"] = kept
    if is_positive and case.path_parameters:
        # The tool forgets the pattern of a part of a path now and then.
        for name, value in case.path_parameters.items():
            if isinstance(value, str) and any(unicodedata.category(character) == "Cc" for character in unquote(value)):
                case.path_parameters[name] = "nobody"
    if is_positive and case.path_parameters and case.path_parameters.get("source_id") in SAYS_NOTHING:
        case.path_parameters["source_id"] = "nobody"
    if case.query and is_positive:
        case.query.pop("cursor", None)
        session = (case.body.get("session") or {}) if isinstance(case.body, dict) else {}
        if case.operation.path == "/track" and not (session.get("id") or "").strip():
            # A session that the server makes has a profile.
            case.query.pop("profile_less", None)
        if "minute" in str(case.query.get("by")):
            case.query["from"] = "-24h"
        if case.operation.path == "/export":
            for name in OF_EVENTS.get(case.query.get("what"), ()):
                case.query.pop(name, None)
            # A session began with one source.
            if case.query.get("what") == "sessions" and isinstance(case.query.get("source"), list):
                case.query["source"] = case.query["source"][:1]
        limit = case.query.get("limit")
        if isinstance(limit, int) and limit > 1000:
            case.query["limit"] = 1000
