//! Queries over what was collected (contract, section 12).

use bytes::Bytes;
use hyper::{
    body::Frame,
    header::{ACCEPT, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Serialize;

use super::{
    Rooms,
    failure::Failure,
    reply::{self, Reply},
    route::Request,
};
use crate::{
    model::{Fault, Time, Value},
    read::{
        self, Asked, CountQuery, Counts, Export, Format, FunnelQuery, NotCounted, Parameters, Read, RetentionQuery,
        TopQuery, VisitsQuery,
    },
};

/// The records that the address asks for and the query means.
pub async fn records(rooms: &Rooms, request: &Request, asked: Asked) -> Result<Reply, Failure> {
    let mut parameters = Parameters::new(request.route.query().into_pairs());
    let format = format(&mut parameters, &request.headers).map_err(in_query)?;
    let query = rooms.queries.query(parameters, asked).map_err(in_query)?;
    if let Some(format) = format {
        return streamed(format, rooms.queries.written(&query, format).await?).await;
    }
    let read::Page { records, cursor, read } =
        rooms.queries.page(&query, query.page_limit().map_err(in_query)?).await?;
    #[derive(Serialize)]
    struct Page<T> {
        result: Vec<T>,
        cursor: Option<String>,
        read: Read,
    }
    if query.projection.is_whole() {
        return Ok(reply::json(&Page { result: records, cursor, read }));
    }
    let result = records.iter().map(|record| query.projection.of(Value::shown(record))).collect();
    Ok(reply::json(&Page { result, cursor, read }))
}

/// `GET /stats/events`.
pub async fn counts(rooms: &Rooms, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = CountQuery::read(parameters, rooms.queries.now()).map_err(in_query)?;
    Ok(counted(rooms.queries.counts(query).await?))
}

/// `GET /stats/visits`.
pub async fn visits(rooms: &Rooms, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = VisitsQuery::read(parameters, rooms.queries.now()).map_err(in_query)?;
    Ok(counted(rooms.queries.visits(query).await?))
}

/// `GET /stats/top`.
pub async fn top(rooms: &Rooms, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = TopQuery::read(parameters, rooms.queries.now()).map_err(in_query)?;
    Ok(reply::json(&rooms.queries.top(query).await?))
}

fn counted(counts: Counts) -> Reply {
    #[derive(Serialize)]
    struct Counted {
        result: Vec<Value>,
        complete_from: Option<Time>,
    }
    let Counts { rows, complete_from } = counts;
    reply::json(&Counted { result: rows, complete_from })
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
pub async fn funnel(rooms: &Rooms, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = FunnelQuery::read(parameters, rooms.queries.now()).map_err(in_query)?;
    Ok(reply::json(&serde_json::json!({ "result": rooms.queries.funnel(query).await? })))
}

/// `GET /stats/retention`.
pub async fn retention(rooms: &Rooms, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = RetentionQuery::read(parameters, rooms.queries.now()).map_err(in_query)?;
    Ok(reply::json(&serde_json::json!({ "result": rooms.queries.retention(query).await? })))
}

/// `GET /export`: all of a kind, as a file.
pub async fn export(rooms: &Rooms, request: &Request) -> Result<Reply, Failure> {
    let parameters = Parameters::new(request.route.query().into_pairs());
    let query = rooms.queries.export_query(parameters).map_err(in_query)?;
    let file = format!("attachment; filename=\"{}\"", query.file_name());
    let mut reply = streamed(query.format(), rooms.queries.export(&query).await?).await?;
    let file = HeaderValue::from_str(&file).map_err(|_| Failure::Bug)?;
    reply.headers_mut().insert(CONTENT_DISPOSITION, file);
    Ok(reply)
}

/// Writes records as they come. The status line is sent once the first of them are there.
async fn streamed(format: Format, mut export: Export) -> Result<Reply, Failure> {
    let first = export.next().await?.unwrap_or_default();
    let rest = futures_util::stream::unfold(Some(export), |export| async move {
        let mut export = export?;
        match export.next().await {
            Ok(Some(piece)) => Some((Ok(Frame::data(Bytes::from(piece))), Some(export))),
            Ok(None) => None,
            // The answer is cut off, so that nobody takes it for whole.
            Err(refused) => {
                tracing::warn!(%refused, "an answer is cut off");
                Some((Err(refused), None))
            }
        }
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
