//! Queries over what was collected (docs/contract.md, section 12).

use std::borrow::Cow;

use bytes::Bytes;
use hyper::{
    body::Frame,
    header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::{
    Services,
    failure::Failure,
    reply::{self, Reply},
    route::Request,
};
use crate::{
    model::{Fault, ShownEvent, ShownSession, Time, Value},
    read::{
        Asked, Cohort, CountQuery, Counts, Export, Format, FunnelQuery, FunnelStep, NotCounted, Page, Parameters,
        Projection, Read, RetentionQuery, Row, TopQuery, VisitsQuery,
    },
};

/// A page of records.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct RecordPage<T> {
    /// Whole, or of each only what `fields` names.
    #[schemars(schema_with = "whole_or_in_part::<T>")]
    result: Vec<T>,
    /// Goes on behind the last record; `null`: there is no more.
    cursor: Option<String>,
    read: Read,
}

fn whole_or_in_part<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let whole = generator.subschema_for::<T>();
    json_schema!({ "type": "array", "items": { "anyOf": [whole, { "type": "object" }] } })
}

/// A session or an event in a person's timeline: its record, and `kind`.
pub enum TimelineEntry {}

impl JsonSchema for TimelineEntry {
    fn schema_name() -> Cow<'static, str> {
        "TimelineEntry".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let records = [generator.subschema_for::<ShownSession<'_>>(), generator.subschema_for::<ShownEvent>()];
        json_schema!({
            "type": "object",
            "required": ["kind"],
            "properties": { "kind": { "enum": ["session", "event"] } },
            "anyOf": records,
        })
    }
}

/// How many events there were, by what was asked for.
#[derive(Serialize, JsonSchema)]
pub struct Counted {
    /// Each with what it is counted by, in the order of that, and `events`.
    #[schemars(schema_with = "count_rows")]
    result: Vec<Row>,
    /// The time of the first event that is kept.
    complete_from: Option<Time>,
}

fn count_rows(_: &mut SchemaGenerator) -> Schema {
    let row = json_schema!({
        "type": "object",
        "required": ["events"],
        "properties": { "events": { "type": "integer", "minimum": 0 } },
        "additionalProperties": { "type": ["string", "number", "null"] },
    });
    json_schema!({ "type": "array", "items": row })
}

/// The steps of a funnel.
#[derive(Serialize, JsonSchema)]
pub struct Funnel {
    result: Vec<FunnelStep>,
}

/// Those who came first, by when they did.
#[derive(Serialize, JsonSchema)]
pub struct Retention {
    result: Vec<Cohort>,
}

/// The records that the address asks for and the query means.
pub async fn records(services: &Services, request: &Request, asked: Asked) -> Result<Reply, Failure> {
    let mut parameters = Parameters::new(request.route.query().into_pairs());
    let format = format(&mut parameters, &request.headers).map_err(in_query)?;
    let query = services.queries.query(parameters, asked).map_err(in_query)?;
    if let Some(format) = format {
        return streamed(format, services.queries.written(&query, format).await?).await;
    }
    let page = services.queries.page(&query, query.page_limit().map_err(in_query)?).await?;
    Ok(services.queries.write(move || written(page, &query.projection)).await?)
}

fn written(page: Page, projection: &Projection) -> Reply {
    let Page { records, cursor, read, .. } = page;
    if projection.is_whole() {
        return reply::json(&RecordPage { result: records, cursor, read });
    }
    let result = records.iter().map(|record| projection.of(&Value::shown(record))).collect();
    reply::json(&RecordPage { result, cursor, read })
}

/// `GET /stats/events`.
pub async fn counts(services: &Services, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = CountQuery::read(parameters, services.queries.now()).map_err(in_query)?;
    counted(services, services.queries.counts(query).await?).await
}

/// `GET /stats/visits`.
pub async fn visits(services: &Services, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = VisitsQuery::read(parameters, services.queries.now()).map_err(in_query)?;
    counted(services, services.queries.visits(query).await?).await
}

/// `GET /stats/top`.
pub async fn top(services: &Services, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = TopQuery::read(parameters, services.queries.now()).map_err(in_query)?;
    Ok(reply::json(&services.queries.top(query).await?))
}

async fn counted(services: &Services, counts: Counts) -> Result<Reply, Failure> {
    let Counts { rows, complete_from } = counts;
    Ok(services.queries.write(move || reply::json(&Counted { result: rows, complete_from })).await?)
}

impl From<NotCounted> for Failure {
    fn from(why: NotCounted) -> Self {
        match why {
            NotCounted::TooMany(fault) => in_query(fault),
            NotCounted::Refused(refused) => refused.into(),
        }
    }
}

/// `GET /stats/funnel`.
pub async fn funnel(services: &Services, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = FunnelQuery::read(parameters, services.queries.now()).map_err(in_query)?;
    Ok(reply::json(&Funnel { result: services.queries.funnel(query).await? }))
}

/// `GET /stats/retention`.
pub async fn retention(services: &Services, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = RetentionQuery::read(parameters, services.queries.now()).map_err(in_query)?;
    Ok(reply::json(&Retention { result: services.queries.retention(query).await? }))
}

/// `GET /export`: all of a kind, as a file.
pub async fn export(services: &Services, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = services.queries.export_query(parameters).map_err(in_query)?;
    let file = format!("attachment; filename=\"{}\"", query.file_name());
    let mut reply = streamed(query.format(), services.queries.export(&query).await?).await?;
    let file = HeaderValue::from_str(&file).map_err(|_| Failure::Bug)?;
    reply.headers_mut().insert(CONTENT_DISPOSITION, file);
    Ok(reply)
}

/// Writes records as they come. The status line is sent once the first of them are there.
async fn streamed(format: Format, mut export: Export) -> Result<Reply, Failure> {
    let first = export.next().await?.unwrap_or_default();
    let rest = futures_util::stream::unfold(Some(export), |export| async move {
        let mut export = export?;
        reply::next_piece(export.next().await, export)
    });
    let first = futures_util::stream::once(async move { Ok(Frame::data(Bytes::from(first))) });
    let mut reply = reply::stream(futures_util::StreamExt::chain(first, rest));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    Ok(reply)
}

/// How records are to be written: as `format` says, else as `Accept` does; `None`: a page of JSON.
fn format(parameters: &mut Parameters, headers: &HeaderMap) -> Result<Option<Format>, Fault> {
    let said = parameters.read("format", |format| match format {
        "json" => Ok(None),
        "ndjson" => Ok(Some(Format::Ndjson)),
        "csv" => Ok(Some(Format::Csv)),
        _ => Err(Fault::new("value_error", "json, ndjson or csv is expected")),
    })?;
    if let Some(format) = said {
        return Ok(format);
    }
    let accepted = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let mut types = accepted.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
    Ok(types
        .find_map(|media| match media.to_ascii_lowercase().as_str() {
            "application/x-ndjson" => Some(Some(Format::Ndjson)),
            "text/csv" => Some(Some(Format::Csv)),
            "application/json" | "*/*" => Some(None),
            _ => None,
        })
        .flatten())
}

pub(super) fn in_query(fault: Fault) -> Failure {
    Failure::Invalid("query", fault)
}
