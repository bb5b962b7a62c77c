//! Every path and what it leads to.

use std::sync::{Arc, LazyLock};

use hyper::{Method, Uri, header::HeaderMap};
use percent_encoding::percent_decode_str;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    body::{Body, Pieces},
    connection::Peer,
    failure::Failure,
};
use crate::model::{ClientFacts, DefinitionKind, Fault, Form, Id, boolean_word};

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Track,
    Collect,
    Source,
    NewSource,
    SourceSecret,
    Sources,
    SourcesByType,
    SourceEntities,
    SourceTypeNames,
    SourceTypes,
    Definition(DefinitionKind),
    NewDefinition(DefinitionKind),
    Definitions(DefinitionKind),
    Configuration,
    DestinationStatus,
    /// Sends a visitor on; DELETE is for the administrator.
    Redirect,
    RedirectInSession,
    CustomerConsent,
    ConsentTypes,
    Tracker,
    ScheduleStatus(DefinitionKind),
    Replay,
    Asides,
    Aside,
    SendAside,
    Event,
    Session,
    Profile,
    SplitProfile,
    MergeProfiles,
    BlockedKeys,
    BlockedKey,
    ExportProfile,
    ForgetProfile,
    Erasure,
    Events,
    SessionEvents,
    ProfileEvents,
    Sessions,
    ProfileSessions,
    Profiles,
    Timeline,
    CountedEvents,
    CountedVisits,
    Top,
    Funnel,
    Retention,
    LiveEvents,
    Export,
    Import,
    ImportSessions,
    ImportProfiles,
    Refresh,
    Token,
    Logout,
    Health,
    Ready,
    Metrics,
    System,
    OpenApi,
    Docs,
    Console,
    /// Makes a viewer's token, or a link to a page.
    NewAccess(DefinitionKind),
    Access(DefinitionKind),
    Accesses(DefinitionKind),
    Changes,
}

impl Endpoint {
    /// Whether nothing is to be finished for a client that went away: it only asked.
    pub fn is_query(self) -> bool {
        matches!(
            self,
            Self::Events
                | Self::SessionEvents
                | Self::ProfileEvents
                | Self::Sessions
                | Self::ProfileSessions
                | Self::Profiles
                | Self::Timeline
                | Self::CountedEvents
                | Self::CountedVisits
                | Self::Top
                | Self::Funnel
                | Self::Retention
                | Self::LiveEvents
                | Self::ExportProfile
                | Self::Export
        )
    }
}

/// Who may call an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Anyone; the source decides.
    Clients,
    /// Anyone.
    Public,
    /// Whoever has the administrator's token.
    Administrator,
    /// Whoever has that or a viewer's.
    Viewers,
    /// Whoever has one of these or `metrics.token`.
    Monitoring,
    /// Whoever is logged in to the console.
    Console,
}

const GET: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const DELETE: &[Method] = &[Method::DELETE];
const GET_DELETE: &[Method] = &[Method::GET, Method::HEAD, Method::DELETE];
const POST_DELETE: &[Method] = &[Method::POST, Method::DELETE];
const GET_POST: &[Method] = &[Method::GET, Method::HEAD, Method::POST];

/// Path, methods and audience of each endpoint.
pub const TABLE: &[(&str, Endpoint, &[Method], Audience)] = &[
    ("/track", Endpoint::Track, POST, Audience::Clients),
    ("/collect/{event_type}/{source_id}", Endpoint::Collect, GET_POST, Audience::Clients),
    ("/collect/{event_type}/{source_id}/{session_id}", Endpoint::Collect, GET_POST, Audience::Clients),
    ("/event-source", Endpoint::NewSource, POST, Audience::Administrator),
    ("/event-source/{id}", Endpoint::Source, GET_DELETE, Audience::Administrator),
    ("/event-source/{id}/secret", Endpoint::SourceSecret, POST_DELETE, Audience::Administrator),
    ("/event-sources", Endpoint::Sources, GET, Audience::Administrator),
    ("/event-sources/by_type", Endpoint::SourcesByType, GET, Audience::Administrator),
    ("/event-sources/entity", Endpoint::SourceEntities, GET, Audience::Administrator),
    ("/event-sources/type/name", Endpoint::SourceTypeNames, GET, Audience::Administrator),
    ("/event-sources/type/configuration", Endpoint::SourceTypes, GET, Audience::Administrator),
    ("/event-sources/refresh", Endpoint::Refresh, GET, Audience::Administrator),
    ("/event-sources/flush", Endpoint::Refresh, GET, Audience::Administrator),
    ("/event-sources/flash", Endpoint::Refresh, GET, Audience::Administrator),
    ("/event-type", Endpoint::NewDefinition(DefinitionKind::EventType), POST, Audience::Administrator),
    ("/event-type/{id}", Endpoint::Definition(DefinitionKind::EventType), GET_DELETE, Audience::Administrator),
    ("/event-types", Endpoint::Definitions(DefinitionKind::EventType), GET, Audience::Administrator),
    ("/segment", Endpoint::NewDefinition(DefinitionKind::Segment), POST, Audience::Administrator),
    ("/segment/{id}", Endpoint::Definition(DefinitionKind::Segment), GET_DELETE, Audience::Administrator),
    ("/segment/{id}/status", Endpoint::ScheduleStatus(DefinitionKind::Segment), GET, Audience::Administrator),
    ("/segments", Endpoint::Definitions(DefinitionKind::Segment), GET, Audience::Administrator),
    ("/workflow", Endpoint::NewDefinition(DefinitionKind::Workflow), POST, Audience::Administrator),
    ("/workflow/{id}", Endpoint::Definition(DefinitionKind::Workflow), GET_DELETE, Audience::Administrator),
    ("/workflow/{id}/status", Endpoint::ScheduleStatus(DefinitionKind::Workflow), GET, Audience::Administrator),
    ("/workflows", Endpoint::Definitions(DefinitionKind::Workflow), GET, Audience::Administrator),
    ("/destination", Endpoint::NewDefinition(DefinitionKind::Destination), POST, Audience::Administrator),
    ("/destination/{id}", Endpoint::Definition(DefinitionKind::Destination), GET_DELETE, Audience::Administrator),
    ("/destination/{id}/status", Endpoint::DestinationStatus, GET, Audience::Administrator),
    ("/destination/{id}/replay", Endpoint::Replay, POST, Audience::Administrator),
    ("/destination/{id}/aside", Endpoint::Asides, GET, Audience::Administrator),
    ("/destination/{id}/aside/{number}", Endpoint::Aside, DELETE, Audience::Administrator),
    ("/destination/{id}/aside/{number}/send", Endpoint::SendAside, POST, Audience::Administrator),
    ("/destinations", Endpoint::Definitions(DefinitionKind::Destination), GET, Audience::Administrator),
    ("/consent", Endpoint::NewDefinition(DefinitionKind::Consent), POST, Audience::Administrator),
    ("/consent/{id}", Endpoint::Definition(DefinitionKind::Consent), GET_DELETE, Audience::Administrator),
    ("/consents", Endpoint::Definitions(DefinitionKind::Consent), GET, Audience::Administrator),
    ("/redirect", Endpoint::NewDefinition(DefinitionKind::Redirect), POST, Audience::Administrator),
    ("/redirect/{id}", Endpoint::Redirect, GET_DELETE, Audience::Public),
    ("/redirect/{id}/{session_id}", Endpoint::RedirectInSession, GET, Audience::Public),
    ("/redirects", Endpoint::Definitions(DefinitionKind::Redirect), GET, Audience::Administrator),
    ("/customer/consent", Endpoint::CustomerConsent, POST, Audience::Clients),
    ("/consents/types", Endpoint::ConsentTypes, GET, Audience::Clients),
    ("/tracker/tracardi.js", Endpoint::Tracker, GET, Audience::Public),
    ("/tracker/liliput.min.js", Endpoint::Tracker, GET, Audience::Public),
    ("/token", Endpoint::NewAccess(DefinitionKind::Token), POST, Audience::Administrator),
    ("/token/{id}", Endpoint::Access(DefinitionKind::Token), DELETE, Audience::Administrator),
    ("/tokens", Endpoint::Accesses(DefinitionKind::Token), GET, Audience::Administrator),
    ("/share", Endpoint::NewAccess(DefinitionKind::Share), POST, Audience::Administrator),
    ("/share/{id}", Endpoint::Access(DefinitionKind::Share), DELETE, Audience::Administrator),
    ("/shares", Endpoint::Accesses(DefinitionKind::Share), GET, Audience::Administrator),
    ("/changes", Endpoint::Changes, GET, Audience::Administrator),
    ("/configuration", Endpoint::Configuration, GET_POST, Audience::Administrator),
    ("/event/{id}", Endpoint::Event, GET_DELETE, Audience::Administrator),
    ("/events", Endpoint::Events, GET, Audience::Viewers),
    ("/stats/funnel", Endpoint::Funnel, GET, Audience::Viewers),
    ("/stats/retention", Endpoint::Retention, GET, Audience::Viewers),
    ("/stats/events", Endpoint::CountedEvents, GET, Audience::Viewers),
    ("/stats/visits", Endpoint::CountedVisits, GET, Audience::Viewers),
    ("/stats/top", Endpoint::Top, GET, Audience::Viewers),
    ("/events/live", Endpoint::LiveEvents, GET, Audience::Viewers),
    ("/session/{id}/events", Endpoint::SessionEvents, GET, Audience::Viewers),
    ("/profile/{id}/events", Endpoint::ProfileEvents, GET, Audience::Viewers),
    ("/sessions", Endpoint::Sessions, GET, Audience::Viewers),
    ("/profiles", Endpoint::Profiles, GET, Audience::Viewers),
    ("/profile/{id}/sessions", Endpoint::ProfileSessions, GET, Audience::Viewers),
    ("/profile/{id}/timeline", Endpoint::Timeline, GET, Audience::Viewers),
    ("/session/{id}", Endpoint::Session, GET_DELETE, Audience::Administrator),
    ("/profile/{id}", Endpoint::Profile, GET_DELETE, Audience::Administrator),
    ("/profile/{id}/export", Endpoint::ExportProfile, GET, Audience::Administrator),
    ("/profile/{id}/forget", Endpoint::ForgetProfile, POST, Audience::Administrator),
    ("/erasure/{id}", Endpoint::Erasure, GET, Audience::Administrator),
    ("/profile/{id}/split", Endpoint::SplitProfile, POST, Audience::Administrator),
    ("/profile/{id}/merge", Endpoint::MergeProfiles, POST, Audience::Administrator),
    ("/identity/blocked", Endpoint::BlockedKeys, GET, Audience::Administrator),
    ("/identity/blocked/{id}", Endpoint::BlockedKey, DELETE, Audience::Administrator),
    ("/export", Endpoint::Export, GET, Audience::Administrator),
    ("/import", Endpoint::Import, POST, Audience::Administrator),
    ("/sessions/import", Endpoint::ImportSessions, POST, Audience::Administrator),
    ("/profiles/import", Endpoint::ImportProfiles, POST, Audience::Administrator),
    ("/events/refresh", Endpoint::Refresh, GET, Audience::Administrator),
    ("/events/flush", Endpoint::Refresh, GET, Audience::Administrator),
    ("/events/flash", Endpoint::Refresh, GET, Audience::Administrator),
    ("/sessions/refresh", Endpoint::Refresh, GET, Audience::Administrator),
    ("/sessions/flush", Endpoint::Refresh, GET, Audience::Administrator),
    ("/sessions/flash", Endpoint::Refresh, GET, Audience::Administrator),
    ("/profiles/refresh", Endpoint::Refresh, GET, Audience::Administrator),
    ("/profiles/flush", Endpoint::Refresh, GET, Audience::Administrator),
    ("/profiles/flash", Endpoint::Refresh, GET, Audience::Administrator),
    ("/user/token", Endpoint::Token, POST, Audience::Public),
    ("/user/logout", Endpoint::Logout, POST, Audience::Public),
    ("/health", Endpoint::Health, GET, Audience::Public),
    ("/healthcheck", Endpoint::Health, GET, Audience::Public),
    ("/ready", Endpoint::Ready, GET, Audience::Public),
    ("/metrics", Endpoint::Metrics, GET, Audience::Monitoring),
    ("/system", Endpoint::System, GET, Audience::Viewers),
    ("/openapi.json", Endpoint::OpenApi, GET, Audience::Public),
    ("/docs", Endpoint::Docs, GET, Audience::Public),
    ("/console", Endpoint::Console, GET, Audience::Console),
    ("/console/{*path}", Endpoint::Console, GET_POST, Audience::Console),
];

/// The patterns of all paths, in the table's order.
pub fn patterns() -> impl ExactSizeIterator<Item = &'static str> {
    TABLE.iter().map(|(pattern, ..)| *pattern)
}

/// The names that a pattern gives to parts of its paths.
pub fn part_names(pattern: &'static str) -> impl Iterator<Item = &'static str> {
    pattern.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// What a request asks for, as its head says.
pub struct Route {
    /// Where its path stands in the table.
    pub place: usize,
    pub endpoint: Endpoint,
    pub audience: Audience,
    pub methods: &'static [Method],
    /// The parts of the path that the table names, still encoded.
    parts: Vec<(&'static str, String)>,
    query: String,
}

/// A request whose body was read.
pub struct Request {
    pub method: Method,
    pub route: Route,
    pub headers: HeaderMap,
    /// The share that the head has of the room for bodies, if it has one.
    pub _head_share: Option<OwnedSemaphorePermit>,
    pub body: Body,
    /// A body of any length, which is not read yet.
    pub pieces: Option<Box<Pieces>>,
    pub client: Arc<ClientFacts>,
    /// Who is connected: the client, or a proxy.
    pub peer: Peer,
}

impl Route {
    /// Finds what the path leads to; one trailing slash is ignored.
    pub fn find(uri: &Uri) -> Result<Self, Failure> {
        static ROUTER: LazyLock<matchit::Router<usize>> = LazyLock::new(|| {
            let mut router = matchit::Router::new();
            for (index, (path, ..)) in TABLE.iter().enumerate() {
                router.insert(*path, index).expect("the table's paths do not conflict");
            }
            router
        });
        let path = uri.path();
        let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
        let found = ROUTER.at(path).map_err(|_| Failure::NotFound)?;
        let place = *found.value;
        let (pattern, endpoint, methods, audience) = &TABLE[place];
        let parts =
            part_names(pattern).zip(found.params.iter()).map(|(name, (_, part))| (name, part.to_owned())).collect();
        let query = uri.query().unwrap_or_default().to_owned();
        Ok(Self { place, endpoint: *endpoint, audience: *audience, methods, parts, query })
    }

    /// A part of the path as it was sent; nothing where it has no such part.
    pub fn raw(&self, name: &str) -> &str {
        self.parts.iter().find(|(known, _)| *known == name).map_or("", |(_, part)| part)
    }

    /// A part of the path, decoded once; `None` when the path has no such part.
    pub fn part(&self, name: &'static str) -> Result<Option<String>, Failure> {
        let Some((_, part)) = self.parts.iter().find(|(known, _)| *known == name) else { return Ok(None) };
        let decoded = percent_decode_str(part).decode_utf8();
        let decoded = decoded.map_err(|_| in_path(name, Fault::new("value_error", "the path is not UTF-8")))?;
        if decoded.chars().any(char::is_control) {
            return Err(in_path(name, Fault::new("value_error", "the path holds control characters")));
        }
        Ok(Some(decoded.into_owned()))
    }

    /// The id that the path names.
    pub fn id(&self, name: &'static str) -> Result<Id, Failure> {
        let part = self.part(name)?.unwrap_or_default();
        Id::required(&part).map_err(|fault| in_path(name, fault))
    }

    /// The id of the record that the path names; one that counts as missing names none.
    pub fn record_id(&self) -> Result<Id, Failure> {
        let part = self.part("id")?.unwrap_or_default();
        Id::parse(&part).map_err(|fault| in_path("id", fault))?.ok_or(Failure::NoRecord)
    }

    /// The query as it was sent.
    pub fn raw_query(&self) -> &str {
        &self.query
    }

    pub fn query(&self) -> Form {
        Form::parse_urlencoded(self.query.as_bytes())
    }

    /// What the query says under `name`: a bare name is true, none is false (docs/contract.md, section 1).
    pub fn flag(&self, name: &'static str) -> Result<bool, Failure> {
        match self.query().last(name) {
            Some(word) => {
                boolean_word(word).ok_or_else(|| Failure::Invalid("query", Fault::wrong_type("a boolean").at(name)))
            }
            None => Ok(false),
        }
    }
}

/// A fault in a part of the path.
pub fn in_path(name: &'static str, fault: Fault) -> Failure {
    Failure::Invalid("path", fault.at(name))
}
