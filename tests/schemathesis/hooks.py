"""What schemathesis is to send where the document's schemas have a format of this project's own."""

import schemathesis
from hypothesis import strategies as st

WORDS = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
# What tests/schemathesis.rs set up; `shop` is under no name by which something is deleted.
KNOWN_IDS = st.sampled_from(["spare", "visit", "order-1", "ada", "regular", "greet", "archive", "marketing", "purchase"])
SAYS_NOTHING = {"null", "none", "nan", "true", "false", "undefined"}
IDS = st.one_of(KNOWN_IDS, WORDS.filter(lambda word: word not in SAYS_NOTHING))
TYPES = st.sampled_from(["page-view", "sign-in", "purchase-order"])

FORMATS = {
    "id": IDS,
    "source-id": st.sampled_from(["shop", "shop", "nobody"]),
    "new-id": st.uuids(version=4).map(str),
    "event-type": st.one_of(TYPES, WORDS),
    "event-type-pattern": st.sampled_from(["page-view", "checkout-*", "*"]),
    "moment": st.sampled_from(["-15m", "-24h", "-7d", "2026-01-02T03:04:05Z", "2026-01-02 03:04:05"]),
    "cel": st.sampled_from(["true", "1 < 2", "now > timestamp('2026-01-01T00:00:00Z')"]),
    "cron": st.sampled_from(["0 3 * * *", "*/5 * * * 1"]),
    "paths": st.sampled_from(["type", "metadata.time.insert", "type,properties.price"]),
    "step": st.sampled_from(["page-view", "checkout-*", "purchase[event.properties.price > 100]"]),
    "time-zone": st.sampled_from(["UTC", "Europe/Warsaw", "Asia/Kathmandu"]),
    "phone": st.sampled_from(["+41446681800", "+1 212 555 0100"]),
    "address": st.sampled_from(["ada@example.com", "bob@example.org"]),
    "identifier": st.uuids(version=4).map(str),
    "tag": st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=100),
    "name": WORDS,
    "origin": st.sampled_from(["https://shop.example", "http://localhost:3000", "null"]),
    "properties-path": st.sampled_from(["properties.email", "properties.customer.id"]),
}
for name, strategy in FORMATS.items():
    schemathesis.openapi.format(name, strategy)


@schemathesis.hook
def before_call(context, case, kwargs):
    """A page of JSON has at most 1,000 records, and a cursor belongs to its query: neither is in the schema."""
    if case.query and case.meta and case.meta.generation.mode.is_positive:
        case.query.pop("cursor", None)
        limit = case.query.get("limit")
        if isinstance(limit, int) and limit > 1000:
            case.query["limit"] = 1000
