//! What one method of a path does, takes and answers.

use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::{parameters::Parameter, refusals};
use crate::http::route::{self, Audience};

const JSON: &str = "application/json";

pub struct Operation {
    pub method: Method,
    /// Among which operations people look for it.
    group: &'static str,
    summary: &'static str,
    text: Option<&'static str>,
    parameters: Vec<Parameter>,
    body: Option<Body>,
    /// Who may call it, if not whoever may call the others of its path.
    audience: Option<Audience>,
    status: StatusCode,
    /// What the answer says, by its media type; nothing if it has no body.
    answers: Vec<(&'static str, Value)>,
    /// The statuses that it may have beside those that every method of its audience has.
    refusals: Vec<StatusCode>,
}

struct Body {
    required: bool,
    /// By media type.
    content: Vec<(&'static str, Value)>,
    /// Of the first media type.
    example: Value,
}

/// A group of operations.
#[derive(Clone, Copy)]
pub struct Group(pub &'static str);

impl Group {
    pub fn get(self, summary: &'static str) -> Operation {
        Operation::new(Method::GET, self.0, summary)
    }

    pub fn post(self, summary: &'static str) -> Operation {
        Operation::new(Method::POST, self.0, summary)
    }

    pub fn delete(self, summary: &'static str) -> Operation {
        Operation::new(Method::DELETE, self.0, summary)
    }
}

impl Operation {
    fn new(method: Method, group: &'static str, summary: &'static str) -> Self {
        Self {
            method,
            group,
            summary,
            text: None,
            parameters: Vec::new(),
            body: None,
            audience: None,
            status: StatusCode::OK,
            answers: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// What a browser asks before it sends something from a page of another origin.
    pub fn preflight() -> Self {
        let text = "The answer's headers say what the page may send, if its origin may send at all.";
        let mut preflight =
            Self::new(Method::OPTIONS, super::endpoints::COLLECTING.0, "May a page send this?").text(text);
        preflight.status = StatusCode::NO_CONTENT;
        preflight
    }

    /// The same without the answer's body.
    pub fn head(&self) -> Self {
        let mut head = Self::new(Method::HEAD, self.group, self.summary);
        head.text = Some("As GET, without the answer's body.");
        head.parameters = self.parameters.clone();
        head.refusals = self.refusals.clone();
        head.status = self.status;
        head
    }

    /// Only the administrator may call it, whoever may call the others of its path.
    pub fn by_administrator(mut self) -> Self {
        self.audience = Some(Audience::Administrator);
        self
    }

    /// It answers with this status, and without a body.
    pub fn answers_with(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// What is to be said beside the summary.
    pub fn text(mut self, text: &'static str) -> Self {
        self.text = Some(text);
        self
    }

    pub fn takes(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// The body is JSON.
    pub fn sent(self, schema: Value, example: Value) -> Self {
        self.sent_as(true, vec![(JSON, schema)], example)
    }

    /// The body may be of several media types; the example is of the first.
    pub fn sent_as(mut self, required: bool, content: Vec<(&'static str, Value)>, example: Value) -> Self {
        self.body = Some(Body { required, content, example });
        self
    }

    pub fn answers(self, schema: Value) -> Self {
        self.answers_as(vec![(JSON, schema)])
    }

    pub fn answers_as(mut self, answers: Vec<(&'static str, Value)>) -> Self {
        self.answers = answers;
        self
    }

    /// 404 with `null` if there is no such record.
    pub fn or_null(self) -> Self {
        self.or(StatusCode::NOT_FOUND)
    }

    pub fn or(mut self, status: StatusCode) -> Self {
        self.refusals.push(status);
        self
    }

    /// The operation as the document has it.
    pub fn describe(&self, path: &'static str, audience: Audience) -> Value {
        let audience = self.audience.unwrap_or(audience);
        let mut described = Map::new();
        let method = self.method.as_str().to_ascii_lowercase();
        let words = path.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty());
        let id = [&*method].into_iter().chain(words).collect::<Vec<_>>().join("_");
        described.insert("operationId".into(), id.into());
        described.insert("tags".into(), json!([self.group]));
        described.insert("summary".into(), self.summary.into());
        described.extend(self.text.map(|text| ("description".to_owned(), text.into())));
        // What a browser asks first is not looked at more closely.
        let part = if self.method == Method::OPTIONS { Parameter::any_path } else { Parameter::path };
        let in_path = route::part_names(path).map(part);
        let parameters: Vec<Value> = in_path.chain(self.parameters.iter().cloned()).map(Parameter::describe).collect();
        let reads_something = !parameters.is_empty() || self.body.is_some();
        if !parameters.is_empty() {
            described.insert("parameters".into(), parameters.into());
        }
        if let Some(Body { required, content, example }) = &self.body {
            let mut content = by_media_type(content);
            if let Some((_, first)) = content.iter_mut().find(|(media, _)| **media == self.first_media()) {
                first["example"] = example.clone();
            }
            described.insert("requestBody".into(), json!({ "required": required, "content": content }));
        }
        described.insert("responses".into(), self.responses(audience, reads_something).into());
        if self.method != Method::OPTIONS {
            described.extend(security(audience).map(|security| ("security".to_owned(), security)));
        }
        described.into()
    }

    fn first_media(&self) -> &'static str {
        self.body.as_ref().and_then(|body| body.content.first()).map_or("", |(media, _)| media)
    }

    fn responses(&self, audience: Audience, reads_something: bool) -> Map<String, Value> {
        let mut responses = Map::new();
        let mut answer =
            json!({ "description": if self.answers.is_empty() { "Without a body." } else { "As asked." } });
        if !self.answers.is_empty() {
            answer["content"] = by_media_type(&self.answers).into();
        }
        responses.insert(self.status.as_str().to_owned(), answer);
        let mut refusals = refusals::ALWAYS.to_vec();
        refusals.extend(&self.refusals);
        if self.method == Method::POST {
            refusals.push(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        if self.method != Method::OPTIONS {
            if reads_something {
                refusals.push(StatusCode::UNPROCESSABLE_ENTITY);
            }
            match audience {
                Audience::Clients => refusals.extend([StatusCode::UNAUTHORIZED, StatusCode::NOT_ACCEPTABLE]),
                Audience::Administrator | Audience::Viewers | Audience::Monitoring => {
                    refusals.push(StatusCode::UNAUTHORIZED)
                }
                Audience::Public | Audience::Console => {}
            }
        }
        for status in refusals {
            responses.insert(status.as_str().to_owned(), refusals::reference(status));
        }
        responses
    }
}

fn by_media_type(content: &[(&'static str, Value)]) -> Map<String, Value> {
    content.iter().map(|(media, schema)| ((*media).to_owned(), json!({ "schema": schema }))).collect()
}

/// Who may call it; `None`: anyone.
fn security(audience: Audience) -> Option<Value> {
    match audience {
        Audience::Public | Audience::Console => None,
        Audience::Clients => Some(json!([{}, { "secret": [] }, { "password": [] }, { "administrator": [] }])),
        Audience::Administrator => Some(json!([{ "administrator": [] }])),
        Audience::Viewers => Some(json!([{ "administrator": [] }, { "viewer": [] }])),
        Audience::Monitoring => Some(json!([{ "administrator": [] }, { "viewer": [] }, { "metrics": [] }])),
    }
}
