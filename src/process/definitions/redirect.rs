//! Redirects: addresses of the daemon that note an event and send the visitor on.

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use crate::model::{Definition, EventType, Fault, Id, Json};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Redirect")]
pub struct Written {
    /// Where visitors are sent to, exactly as it is written.
    #[schemars(regex(pattern = "^https?://"))]
    url: String,
    /// The type of the event that is noted.
    event_type: String,
    /// The id of the source that the event is of.
    #[schemars(extend("format" = "source-id", "minLength" = 1, "maxLength" = 128, "not" = { "enum": Id::MISSING_WORDS }))]
    source: String,
    /// Properties of the event; those of the address's query join them, and these win.
    #[schemars(with = "Option<std::collections::BTreeMap<String, Json>>")]
    properties: Option<Json>,
    /// Whether `__tr_pid` and `__tr_src` tell the site that the visitor is sent to who comes.
    #[serde(default)]
    pass: bool,
}

/// A redirect that was compiled.
#[derive(Debug)]
pub struct Redirect {
    url: Box<str>,
    pub kind: EventType,
    pub source: Id,
    properties: Json,
    /// Whether the visitor's profile is told to where they are sent.
    pub pass: bool,
}

impl Redirect {
    /// # Errors
    /// A field is missing or wrong; the fault names it.
    pub fn compile(definition: &Definition) -> Result<Self, Fault> {
        let written: Written = super::read(definition)?;
        check(&written.url).map_err(|msg| Fault::new("value_error", msg).at("url"))?;
        let properties = written.properties.unwrap_or_else(Json::empty_object);
        if !properties.as_str().starts_with('{') {
            return Err(Fault::wrong_type("an object").at("properties"));
        }
        Ok(Self {
            url: written.url.into(),
            kind: EventType::parse(&written.event_type).map_err(|fault| fault.at("event_type"))?,
            source: Id::required(&written.source).map_err(|fault| fault.at("source"))?,
            properties,
            pass: written.pass,
        })
    }

    /// The properties of the event of a visitor who came with this query.
    pub fn properties(&self, query: &Json) -> Json {
        query.updated(&self.properties)
    }

    /// Where a visitor of whom nothing is told is sent to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where a visitor with this profile is sent to.
    pub fn url_with(&self, profile: &str) -> String {
        // It was read when it was compiled.
        let Ok(mut url) = Url::parse(&self.url) else { return self.url.to_string() };
        url.query_pairs_mut().append_pair("__tr_pid", profile).append_pair("__tr_src", &self.source.text());
        url.into()
    }
}

/// Whether an address can be sent to a browser as it is written.
fn check(url: &str) -> Result<(), &'static str> {
    let read = Url::parse(url).map_err(|_| "a whole address is expected, like https://shop.example/spring")?;
    if !matches!(read.scheme(), "http" | "https") {
        return Err("it begins with https:// or http://");
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("what is not ASCII stands there percent-encoded");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_that_a_browser_can_be_sent_to() {
        for url in ["https://shop.example/spring?a=1&b=%C3%A9#top", "http://127.0.0.1:8080"] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for url in
            ["", "/spring", "javascript:alert(1)", "ftp://a.example/", "https://a.example/é", "https://a.example/ b"]
        {
            assert!(check(url).is_err(), "{url}");
        }
    }
}
