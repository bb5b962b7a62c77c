//! Media types and encodings of bodies (docs/contract.md, section 2).

use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap};

use super::failure::Failure;

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Json,
    Form,
    Multipart,
}

/// How a body was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Plain,
    Gzip,
    Zstd,
}

/// Whether `Content-Type` says that the body is JSON of a record a line.
pub fn is_lines(headers: &HeaderMap) -> bool {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim();
    ["application/x-ndjson", "application/ndjson", "application/jsonl"]
        .iter()
        .any(|known| essence.eq_ignore_ascii_case(known))
}

/// The media type that `Content-Type` names; none at all is JSON.
pub fn media(headers: &HeaderMap, forms: bool) -> Result<Media, Failure> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(Media::Json) };
    let value = value.to_str().unwrap_or("?").trim().to_ascii_lowercase();
    if value.is_empty() {
        return Ok(Media::Json);
    }
    let mut parts = value.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        (name.trim() == "charset").then(|| value.trim().trim_matches('"'))
    });
    if charset.is_some_and(|charset| charset != "utf-8" && charset != "utf8") {
        return Err(Failure::UnsupportedMedia("The body's charset is not supported: utf-8 is.".into()));
    }
    match essence {
        "application/json" | "text/plain" | "text/json" => Ok(Media::Json),
        other if other.ends_with("+json") && other.contains('/') => Ok(Media::Json),
        "application/x-www-form-urlencoded" if forms => Ok(Media::Form),
        "multipart/form-data" if forms => Ok(Media::Multipart),
        _ => Err(Failure::UnsupportedMedia("The body's media type is not supported: application/json is.".into())),
    }
}

/// The encoding that `Content-Encoding` names.
pub fn encoding(headers: &HeaderMap) -> Result<Encoding, Failure> {
    let mut found = Encoding::Plain;
    for value in headers.get_all(CONTENT_ENCODING) {
        for word in value.to_str().unwrap_or("?").split(',') {
            let next = match word.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => continue,
                "gzip" | "x-gzip" => Encoding::Gzip,
                "zstd" => Encoding::Zstd,
                _ => return Err(Failure::UnsupportedEncoding),
            };
            if found != Encoding::Plain {
                return Err(Failure::UnsupportedEncoding); // one upon the other
            }
            found = next;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_case_do_not_matter() {
        let read = |value: &'static str, forms| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
            media(&headers, forms).ok()
        };
        for value in [
            "",
            "Application/JSON",
            "application/vnd.api+json; v=1",
            "text/plain;charset=UTF-8",
            "text/json; charset=\"utf-8\"",
            "application/cloudevents+JSON",
        ] {
            assert_eq!(read(value, false), Some(Media::Json), "{value}");
        }
        assert_eq!(read("application/x-www-form-urlencoded; charset=utf-8", true), Some(Media::Form));
        assert_eq!(read("Multipart/Form-Data; boundary=X", true), Some(Media::Multipart));
        for value in
            ["application/x-www-form-urlencoded", "text/html", "application/json; charset=latin1", "json", "+json"]
        {
            assert_eq!(read(value, false), None, "{value}");
        }
    }
}
