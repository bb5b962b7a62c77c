//! What each endpoint does with each of its methods. HEAD goes with GET by itself, and so does what a browser asks first.

use hyper::StatusCode;
use serde_json::{Value, json};

use super::{
    answers, bodies,
    operation::{Group, Operation},
    parameters,
    schemas::Schemas,
};
use crate::{
    http::{
        access, asides, consents, definitions, health, import, metrics, query, records, reply::Saved, route::Endpoint,
        sources, user,
    },
    model::{Answer, DefinitionKind, ShownEvent, ShownProfile, ShownSession},
    read::Top,
    schedule,
};

/// The groups of operations, in the order in which people meet them.
pub const GROUPS: [(&str, &str); 8] = [
    (COLLECTING.0, "What websites, servers and services send."),
    (SOURCES.0, "Who may send, and how they are known."),
    (SETTING_UP.0, "Event types, segments, workflows, consents and destinations."),
    (RECORDS.0, "Events, sessions and profiles, one by one."),
    (QUERIES.0, "Lists of them, and following what comes."),
    (COUNTS.0, "How many there were."),
    (WATCHING.0, "How the daemon fares, and this description."),
    (CLIENTS.0, "What clients of Tracardi 0.9 call."),
];

pub const COLLECTING: Group = Group("Collecting");
const SOURCES: Group = Group("Sources");
const SETTING_UP: Group = Group("Setting up");
const RECORDS: Group = Group("Records");
const QUERIES: Group = Group("Queries");
const COUNTS: Group = Group("Counts");
const WATCHING: Group = Group("Watching");
const CLIENTS: Group = Group("Existing clients");

/// The operations of an endpoint.
pub fn operations(endpoint: Endpoint, it: &mut Schemas) -> Vec<Operation> {
    match endpoint {
        Endpoint::Track => vec![
            COLLECTING
                .post("Takes the events of a visit")
                .text(
                    "Taken whole or not at all; 200 is sent once it is synced. The body may also be sent as \
                    `text/plain`, and compressed (`gzip`, `zstd`).",
                )
                .takes([
                    parameters::flag("profile_less", "No profile is made or touched."),
                    parameters::flag("dry_run", "Nothing is stored; needs the administrator's token."),
                    parameters::flag("lookups", "With `dry_run`: external systems are asked all the same."),
                ])
                .sent(it.body("Payload", bodies::payload()), bodies::payload_example())
                .answers(it.answer::<Answer>()),
        ],
        Endpoint::Collect => {
            let text = "Without a session it makes no profile and no session.";
            let answer = it.answer::<Answer>();
            let content = vec![
                ("application/json", bodies::webhook()),
                ("application/x-www-form-urlencoded", bodies::form()),
                ("multipart/form-data", bodies::multipart()),
            ];
            vec![
                COLLECTING
                    .get("Takes an event whose properties are the query")
                    .text(text)
                    .takes([parameters::properties()])
                    .answers(answer.clone()),
                COLLECTING
                    .post("Takes whatever a service posts as an event's properties")
                    .text(text)
                    .takes([parameters::properties()])
                    .sent_as(false, content, json!({ "voucher": "V-1001" }))
                    .answers(answer),
            ]
        }
        Endpoint::NewSource => vec![
            SOURCES
                .post("Creates or replaces a source")
                .sent(it.body("SourceBody", bodies::source()), bodies::source_example())
                .answers(it.answer::<Saved>()),
        ],
        Endpoint::Source => vec![
            SOURCES.get("A source").answers(it.answer::<sources::Shown>()).or_null(),
            SOURCES.delete("Deletes a source and its secrets").answers(answers::deleted()).or_null(),
        ],
        Endpoint::SourceSecret => vec![
            SOURCES
                .post("Makes a secret of the source, which is told this once")
                .text("Two are valid at a time: a third ends the oldest.")
                .answers(it.answer::<sources::MadeSecret>())
                .or_null(),
            SOURCES.delete("Ends all secrets of the source").answers(answers::deleted()).or_null(),
        ],
        Endpoint::Sources => vec![
            SOURCES
                .get("The sources by their groups")
                .takes([parameters::query()])
                .answers(it.answer::<sources::Grouped>()),
        ],
        Endpoint::SourcesByType => vec![
            SOURCES
                .get("The sources by their types")
                .takes([parameters::query()])
                .answers(it.answer::<sources::Grouped>()),
        ],
        Endpoint::SourceEntities => {
            vec![SOURCES.get("The sources' ids and names").answers(it.answer::<sources::Entities>())]
        }
        Endpoint::SourceTypeNames => {
            vec![SOURCES.get("The names of the types of sources").answers(it.answer::<sources::TypeNames>())]
        }
        Endpoint::SourceTypes => vec![SOURCES.get("The types of sources").answers(it.answer::<sources::Types>())],
        Endpoint::NewDefinition(kind) => {
            let (what, example) = match kind {
                DefinitionKind::EventType => (
                    "Creates or replaces an event type",
                    json!({ "id": "purchase-order", "tags": ["shop"], "journey": "purchase" }),
                ),
                DefinitionKind::Segment | DefinitionKind::DeletedSegment => (
                    "Creates or replaces a segment",
                    json!({ "id": "regular", "condition": "profile.stats.visits >= 3" }),
                ),
                DefinitionKind::Workflow => (
                    "Creates or replaces a workflow",
                    json!({ "id": "greet", "on": ["sign-in"], "step": [{ "response": { "hello": true } }] }),
                ),
                DefinitionKind::Destination => (
                    "Creates or replaces a destination",
                    json!({ "id": "archive", "events": ["*"], "file": "archive.ndjson" }),
                ),
                DefinitionKind::Token
| DefinitionKind::Share
| DefinitionKind::Change
| DefinitionKind::BlockedKey => return Vec::new(),
                DefinitionKind::Redirect => (
                    "Creates or replaces a redirect",
                    json!({ "id": "spring", "url": "https://shop.example/spring", "event_type": "link-followed",
                        "source": "shop", "properties": { "campaign": "spring" } }),
                ),
                DefinitionKind::Consent => {
                    ("Creates or replaces a consent type", json!({ "id": "marketing", "expires_after": "365d" }))
                }
            };
            vec![SETTING_UP.post(what).sent(it.definition(kind), example).answers(it.answer::<Saved>())]
        }
        Endpoint::Definition(kind) => vec![
            SETTING_UP.get("As it was saved").answers(it.definition(kind)).or_null(),
            SETTING_UP.delete("Deletes it").answers(answers::deleted()).or_null(),
        ],
        Endpoint::Definitions(kind) => {
            let result = json!({ "type": "array", "items": it.definition(kind) });
            let list = json!({
                "type": "object",
                "required": ["total", "result"],
                "properties": { "total": { "type": "integer", "minimum": 0 }, "result": result },
            });
            vec![SETTING_UP.get("All of them").answers(list)]
        }
        Endpoint::Configuration => {
            let configuration = configuration(it);
            let example = json!({ "segment": [{ "id": "regular", "condition": "profile.stats.visits >= 3" }] });
            vec![
                SETTING_UP.get("Everything that is set up").answers(json!({ "type": "object" })),
                SETTING_UP
                    .post("Saves what is new or different, all or nothing")
                    .takes([parameters::flag("dry_run", "Only tells what would change.")])
                    .sent(configuration, example)
                    .answers(it.answer::<definitions::Applied>()),
            ]
        }
        Endpoint::RedirectInSession => vec![redirect()],
        Endpoint::Redirect => {
            vec![redirect(), SETTING_UP.delete("Deletes a redirect").by_administrator().answers(answers::deleted()).or_null()]
        }
        Endpoint::CustomerConsent => vec![
            COLLECTING
                .post("Takes what a visitor grants and revokes")
                .text("As an event of the type `consent-update`.")
                .takes([parameters::flag("all", "Every consent type is granted.")])
                .sent(it.body("CustomerConsent", bodies::consents()), bodies::consents_example())
                .answers(it.answer::<Answer>()),
        ],
        Endpoint::ConsentTypes => {
            vec![COLLECTING.get("The consent types, for widgets").answers(it.answer::<consents::ConsentTypes>())]
        }
        Endpoint::Tracker => {
            let script = json!({ "type": "string" });
            vec![
                COLLECTING
                    .get("The script that web pages send with")
                    .answers_as(vec![("text/javascript", script)])
                    .or(StatusCode::NOT_MODIFIED),
            ]
        }
        Endpoint::DestinationStatus => vec![
            SETTING_UP
                .get("How far a destination is, and what keeps it")
                .answers(it.answer::<crate::deliver::Status>())
                .or_null(),
        ],
        Endpoint::ScheduleStatus(_) => {
            vec![SETTING_UP.get("How it fares").answers(it.answer::<schedule::Status>()).or_null()]
        }
        Endpoint::Replay => vec![
            SETTING_UP
                .post("Delivers everything from a place in the log on again")
                .sent(bodies::replay(), json!({ "from": 0 }))
                .answers(answers::deleted())
                .or_null(),
        ],
        Endpoint::Asides => vec![
            SETTING_UP
                .get("The items that a destination does not take, and why")
                .takes(parameters::asides())
                .answers(it.answer::<asides::List>())
                .or_null(),
        ],
        Endpoint::Aside => vec![
            SETTING_UP.delete("Forgets an item that is set aside").answers(answers::deleted()).or_null(),
        ],
        Endpoint::SendAside => vec![
            SETTING_UP
                .post("Sends an item once more that is set aside, and tells whether it was taken")
                .answers(it.answer::<crate::deliver::Sent>())
                .or_null(),
        ],
        Endpoint::Event => {
            let source = || [parameters::source_of_event()];
            vec![
                RECORDS.get("An event").takes(source()).answers(it.answer::<records::EventRecord>()).or_null(),
                RECORDS.delete("Deletes an event").takes(source()).answers(answers::deleted()).or_null(),
            ]
        }
        Endpoint::Session => vec![
            RECORDS.get("A session").answers(it.answer::<ShownSession<'_>>()).or_null(),
            RECORDS.delete("Deletes a session; its events stay").answers(answers::deleted()).or_null(),
        ],
        Endpoint::Profile => vec![
            RECORDS.get("A profile, by any of its ids").answers(it.answer::<ShownProfile<'_>>()).or_null(),
            RECORDS
                .delete("Deletes a profile, its names and its keys; sessions and events stay")
                .text("With `events=true` everything that is known of the person goes, also from the disk.")
                .takes([parameters::with_events()])
                .answers(json!({ "anyOf": [answers::deleted(), answers::begun_erasure("erased")] }))
                .or_null(),
        ],
        Endpoint::ExportProfile => vec![
            RECORDS
                .get("Everything that is known of a person, under any of their ids")
                .answers(json!({ "type": "object" }))
                .or_null(),
        ],
        Endpoint::ForgetProfile => vec![
            RECORDS
                .post("Keeps what counts of a person, and removes what identifies them")
                .answers(answers::begun_erasure("forgotten"))
                .or_null(),
        ],
        Endpoint::Erasure => {
            vec![RECORDS.get("Whether an erasure is done, and what it does not reach").answers(answers::erasure()).or_null()]
        }
        Endpoint::SplitProfile => vec![
            RECORDS
                .post("Takes back a merge")
                .sent_as(false, vec![("application/json", bodies::split())], json!({}))
                .answers(it.answer::<records::Split<'_>>())
                .or_null(),
        ],
        Endpoint::MergeProfiles => vec![
            RECORDS
                .post("Makes two profiles one")
                .sent(bodies::merge(), json!({"with": "a-profile-id"}))
                .answers(it.answer::<records::Merged<'_>>())
                .or_null(),
        ],
        Endpoint::BlockedKeys => {
            vec![RECORDS.get("The keys that joined too many people").answers(it.answer::<records::BlockedKeys>())]
        }
        Endpoint::BlockedKey => {
            vec![RECORDS.delete("Frees a key that joined too many people").answers(answers::deleted()).or_null()]
        }
        Endpoint::Events => {
            let page = it.answer::<query::RecordPage<ShownEvent>>();
            vec![QUERIES.get("Events").takes(parameters::events()).answers_as(answers::lists(page))]
        }
        Endpoint::SessionEvents => {
            let page = it.answer::<query::RecordPage<ShownEvent>>();
            let events = QUERIES.get("The events of a session").takes(parameters::events_of_session());
            vec![events.answers_as(answers::lists(page)).or_null()]
        }
        Endpoint::ProfileEvents => {
            let page = it.answer::<query::RecordPage<ShownEvent>>();
            let events = QUERIES.get("The events of a person").takes(parameters::events_of_profile());
            vec![events.answers_as(answers::lists(page)).or_null()]
        }
        Endpoint::Sessions => {
            let page = it.answer::<query::RecordPage<ShownSession<'_>>>();
            vec![QUERIES.get("Sessions").takes(parameters::sessions()).answers_as(answers::lists(page))]
        }
        Endpoint::ProfileSessions => {
            let page = it.answer::<query::RecordPage<ShownSession<'_>>>();
            let sessions = QUERIES.get("The sessions of a person").takes(parameters::sessions_of_profile());
            vec![sessions.answers_as(answers::lists(page)).or_null()]
        }
        Endpoint::Profiles => {
            let page = it.answer::<query::RecordPage<ShownProfile<'_>>>();
            vec![QUERIES.get("Profiles").takes(parameters::profiles()).answers_as(answers::lists(page))]
        }
        Endpoint::Timeline => {
            let page = it.answer::<query::RecordPage<query::TimelineEntry>>();
            let timeline = QUERIES.get("A person's sessions and events in one list").takes(parameters::timeline());
            vec![timeline.answers_as(answers::lists(page)).or_null()]
        }
        Endpoint::LiveEvents => vec![
            QUERIES
                .get("Events as they are stored")
                .text(
                    "Server-sent events without end: each `event` has the record as its data and an `id` to go on \
                    behind; a reader that does not keep up is sent `behind` and is closed.",
                )
                .takes(parameters::live())
                .answers_as(vec![("text/event-stream", answers::live_event())]),
        ],
        Endpoint::Export => {
            let file = |media| (media, json!({ "type": "string" }));
            let files = ["application/x-ndjson", "text/csv", "application/vnd.apache.parquet"].map(file);
            vec![QUERIES.get("All records of a kind, as a file").takes(parameters::export()).answers_as(files.into())]
        }
        Endpoint::Import => {
            let lines = vec![("application/x-ndjson", bodies::lines())];
            vec![
                RECORDS
                    .post("Takes records from a file, one a line")
                    .takes(parameters::import())
                    .sent_as(false, lines, bodies::line_example())
                    .answers(json!({ "type": "object" })),
            ]
        }
        Endpoint::ImportProfiles | Endpoint::ImportSessions => {
            let what = if endpoint == Endpoint::ImportProfiles { "Takes profiles" } else { "Takes sessions" };
            let records = json!({ "type": "array", "items": { "type": "object" } });
            vec![RECORDS.post(what).sent(records, bodies::records_example()).answers(it.answer::<import::Saved>())]
        }
        Endpoint::CountedEvents => vec![
            COUNTS.get("How many events there were").takes(parameters::counts()).answers(it.answer::<query::Counted>()),
        ],
        Endpoint::CountedVisits => vec![
            COUNTS.get("How many visits there were").takes(parameters::visits()).answers(it.answer::<query::Counted>()),
        ],
        Endpoint::Top => {
            vec![COUNTS.get("Which values events have most").takes(parameters::top()).answers(it.answer::<Top>())]
        }
        Endpoint::Funnel => vec![
            COUNTS
                .get("How many people took one step after the other")
                .takes(parameters::funnel())
                .answers(it.answer::<query::Funnel>()),
        ],
        Endpoint::Retention => vec![
            COUNTS
                .get("How many people came back")
                .takes(parameters::retention())
                .answers(it.answer::<query::Retention>()),
        ],
        Endpoint::Refresh => {
            vec![CLIENTS.get("Nothing: every read is fresh").answers(json!({ "const": true }))]
        }
        Endpoint::Token => {
            let content = vec![("application/x-www-form-urlencoded", bodies::log_in())];
            vec![
                CLIENTS
                    .post("Logs in with a form")
                    .sent_as(true, content, json!({ "username": "admin", "password": "$TOKEN" }))
                    .answers(it.answer::<user::LoggedIn<'_>>())
                    .or(StatusCode::TOO_MANY_REQUESTS),
            ]
        }
        Endpoint::Logout => {
            vec![CLIENTS.post("Nothing: a token does not end").answers(json!({ "const": true }))]
        }
        Endpoint::Health => vec![WATCHING.get("The process is up").answers(it.answer::<health::Health>())],
        Endpoint::Ready => {
            vec![WATCHING.get("It takes requests; else 503 with the reason").answers(it.answer::<health::Ready>())]
        }
        Endpoint::Metrics => {
            let text = json!({ "type": "string" });
            let formats = vec![("application/openmetrics-text", text.clone()), ("text/plain", text)];
            vec![WATCHING.get("How the daemon fares, for Prometheus").answers_as(formats)]
        }
        Endpoint::System => {
            vec![WATCHING.get("The same for a person, with the settings").answers(it.answer::<metrics::System<'_>>())]
        }
        Endpoint::Console => Vec::new(), // pages for people
        Endpoint::NewAccess(DefinitionKind::Share) => vec![
            SETTING_UP
                .post("Makes a link to a page of the console, which is told this once")
                .text("It shows the page with its filters, without people's records, until it expires or is ended.")
                .sent(it.body("NewShare", bodies::share()), bodies::share_example())
                .answers(it.answer::<access::MadeShare>()),
        ],
        Endpoint::NewAccess(_) => vec![
            SETTING_UP
                .post("Makes a viewer's token, which is told this once")
                .text("It reads queries, counts, the live stream and metrics, and logs in to the console; it changes nothing.")
                .sent(it.body("NewToken", bodies::token()), bodies::token_example())
                .answers(it.answer::<access::MadeToken>()),
        ],
        Endpoint::Access(_) => vec![SETTING_UP.delete("Ends it").answers(answers::deleted()).or_null()],
        Endpoint::Accesses(_) => vec![SETTING_UP.get("Those that there are").answers(it.answer::<access::Accesses>())],
        Endpoint::Changes => {
            vec![SETTING_UP.get("Who changed what is set up, the newest first").answers(it.answer::<access::Changes>())]
        }
        Endpoint::OpenApi => vec![WATCHING.get("This description").answers(json!({ "type": "object" }))],
        Endpoint::Docs => {
            let html = json!({ "type": "string" });
            vec![WATCHING.get("This description for people").answers_as(vec![("text/html", html)])]
        }
    }
}

/// What visitors follow.
fn redirect() -> Operation {
    COLLECTING
        .get("Notes an event and sends the visitor on")
        .text(
            "The query joins the event's properties. Without a session it makes no profile. The visitor is sent on also \
            where the event cannot be stored.",
        )
        .takes([parameters::properties()])
        .answers_with(StatusCode::FOUND)
        .or_null()
}

/// Everything that can be set up, each kind in a list of its own.
fn configuration(it: &mut Schemas) -> Value {
    let source = it.body("SourceBody", bodies::source());
    let mut lists = json!({ "source": { "type": "array", "items": source } });
    for kind in DefinitionKind::ALL {
        lists[kind.word()] = json!({ "type": "array", "items": it.definition(kind) });
    }
    let schema = json!({ "type": "object", "properties": lists, "additionalProperties": false });
    it.body("Configuration", schema)
}
