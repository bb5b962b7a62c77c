//! Webhooks that come in: GET, HEAD and POST /collect/EVENT-TYPE/SOURCE-ID[/SESSION-ID] (docs/contract.md, section 5). The
//! body, and the query, become the properties of events: `properties` chooses by the media type what
//! `model/payload/webhook.rs` makes of them.

use bytes::Bytes;
use http_body_util::{BodyDataStream, Full};
use hyper::{
    Method, StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE, HeaderMap, HeaderValue},
};

use super::{
    App, auth,
    failure::Failure,
    media::{self, Media},
    reply::{self, Reply},
    route::{Request, Route, in_path},
    track,
};
use crate::{
    collect::Collector,
    model::{EventType, Fault, Form, Id, Payload, SourceType, WebhookProperties},
};

/// The most parts of a multipart body.
const PARTS_MAX: usize = 1_000;

/// What the path says.
struct Address {
    kind: EventType,
    source: Id,
    session: Option<Id>,
}

impl Address {
    fn read(route: &Route) -> Result<Self, Failure> {
        let kind = route.part("event_type")?.unwrap_or_default();
        let kind = EventType::parse(&kind).map_err(|fault| in_path("event_type", fault))?;
        let source = route.id("source_id")?;
        let session = match route.part("session_id")? {
            Some(part) => Id::parse(&part).map_err(|fault| in_path("session_id", fault))?,
            None => None,
        };
        Ok(Self { kind, source, session })
    }
}

/// Takes what a webhook sends.
pub async fn collect(app: &App, collector: &Collector, request: &Request) -> Result<Reply, Failure> {
    if request.method == Method::HEAD {
        return ring(app, collector, request);
    }
    let Address { kind, source, session } = Address::read(&request.route)?;
    let properties = properties(request).await?;
    let profile_less = session.is_none();
    let payload = Payload::webhook(&kind, source, session, properties);
    track::take(app, collector, request, SourceType::Webhook, payload, profile_less, None).await
}

/// The properties of the events that the body holds, by its media type; what stands in the query joins them.
async fn properties(request: &Request) -> Result<WebhookProperties, Failure> {
    let (query, body) = (request.route.query(), &request.body.bytes);
    if request.method == Method::GET || body.is_empty() {
        return Ok(WebhookProperties::of_texts(query.to_json()));
    }
    let form = match media::media(&request.headers, true)? {
        Media::Json => return Ok(WebhookProperties::read_json(body, &query)?),
        Media::Form => Form::parse_urlencoded(body),
        Media::Multipart => read_multipart(&request.headers, body.clone()).await?,
    };
    Ok(WebhookProperties::of_form(&form, &query))
}

/// HEAD: would this source take such a webhook? Services ring before they send.
fn ring(app: &App, collector: &Collector, request: &Request) -> Result<Reply, Failure> {
    let Address { source, .. } = Address::read(&request.route)?;
    let credentials = auth::credentials(app, &request.headers);
    collector.check_source(SourceType::Webhook, &source, &request.client, &credentials)?;
    Ok(reply::empty(StatusCode::OK))
}

async fn read_multipart(headers: &HeaderMap, body: Bytes) -> Result<Form, Failure> {
    let invalid = |msg: &str| Failure::Invalid("body", Fault::new("value_error", msg));
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // Blanks may stand around a semicolon (RFC 9110, section 5.6.6).
    let content_type = content_type.split(';').map(str::trim).collect::<Vec<_>>().join(";");
    let boundary = multer::parse_boundary(content_type).ok().filter(|boundary| !boundary.is_empty());
    let boundary = boundary.ok_or_else(|| invalid("the multipart boundary is missing"))?;
    let mut multipart = multer::Multipart::new(BodyDataStream::new(Full::new(body)), boundary);
    let mut form = Form::default();
    for _ in 0..PARTS_MAX {
        let part =
            multipart.next_field().await.map_err(|error| invalid(&format!("not multipart/form-data: {error}")))?;
        let Some(part) = part else { return Ok(form) };
        let disposition = part.headers().get(CONTENT_DISPOSITION).map_or(&b""[..], HeaderValue::as_bytes);
        // `filename` or, in an extended notation, `filename*` (RFC 6266, section 4.1).
        let is_file = |it: &[u8]| it.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"filename"));
        if parameters(disposition).any(is_file) {
            return Err(invalid("file parts are not taken"));
        }
        let name = part.name().map(str::to_owned).ok_or_else(|| invalid("a part has no name"))?;
        let value = part.bytes().await.map_err(|error| invalid(&format!("not multipart/form-data: {error}")))?;
        form.push(name, String::from_utf8_lossy(&value).into_owned());
    }
    Err(invalid(&format!("more than {PARTS_MAX} parts")))
}

/// The parameters of a header's value; a semicolon in quotes is part of one.
fn parameters(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let mut ends = move |byte: &u8| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b';' => return !quoted,
            _ => {}
        }
        false
    };
    value.split(move |byte| ends(byte)).map(<[u8]>::trim_ascii_start)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(content_type: &'static str, body: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        let form = read_multipart(&headers, Bytes::copy_from_slice(body.as_bytes())).await;
        form.ok().map(|form| form.to_json().as_str().to_owned())
    }

    #[tokio::test]
    async fn multipart_becomes_an_object_of_strings() {
        let body = "--X\r\nContent-Disposition: form-data; name=\"data[email]\"\r\n\r\na@b\r\n--X\r\n\
                    Content-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n--X\r\n\
                    Content-Disposition: form-data; name=\"n\"\r\n\r\n\r\n--X--\r\n";
        let read_back = read("multipart/form-data; boundary=X", body).await;
        assert_eq!(read_back.as_deref(), Some(r#"{"data[email]":"a@b","n":["1",""]}"#));
        assert_eq!(read("multipart/form-data; boundary=Y", body).await, None);
        assert_eq!(read("multipart/form-data; boundary=", body).await, None);
        for name in [r"x; filename=y", r#"a\";filename=b"#, "filename"] {
            let body = format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\nx\r\n--X--\r\n");
            assert!(read("multipart/form-data ; boundary=X ; charset=utf-8", &body).await.is_some(), "{name}");
        }
        for file in ["filename=a.txt", "filename*=UTF-8''a.txt", "FileName=\"\""] {
            let body = format!("--X\r\nContent-Disposition: form-data; name=\"f\"; {file}\r\n\r\nx\r\n--X--\r\n");
            assert_eq!(read("multipart/form-data; boundary=X", &body).await, None, "{file}");
        }
    }
}
