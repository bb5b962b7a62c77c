//! The document as a page: HTML and a style, no script, nothing from elsewhere.

use base64::prelude::{BASE64_STANDARD, Engine};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page.css");
/// Where the examples send to, as in README.
const HOST: &str = "http://127.0.0.1:8686";
/// The methods in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "post", "delete", "head", "options"];
/// How deep a schema is told in one line.
const DEPTH_MAX: usize = 6;

/// What a browser may load for the page: the style that is in it, and nothing else.
pub fn content_security_policy() -> String {
    let hash = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

/// Writes the page of a document.
pub fn write(document: &Value) -> String {
    let mut page = Page { document, html: String::new() };
    page.write();
    page.html
}

struct Page<'a> {
    document: &'a Value,
    html: String,
}

/// An operation with its place.
struct Shown<'a> {
    path: &'a str,
    method: &'a str,
    operation: &'a Value,
}

impl<'a> Page<'a> {
    fn put(&mut self, html: &str) {
        self.html.push_str(html);
    }

    fn write(&mut self) {
        let info = &self.document["info"];
        let (title, version) = (escaped(text(&info["title"])), escaped(text(&info["version"])));
        self.put(&format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\"><title>{title} {version}: the API</title>\
             <style>{STYLE}</style></head><body><header><h1>{title} <small>{version}</small></h1>"
        ));
        self.paragraph(text(&info["description"]));
        self.put("<p>The same for programs: <a href=\"/openapi.json\">openapi.json</a>, OpenAPI 3.1.</p><nav>");
        let groups: Vec<&Value> = list(&self.document["tags"]).collect();
        for group in &groups {
            let name = text(&group["name"]);
            self.put(&format!("<a href=\"#{}\">{}</a>", anchor(name), escaped(name)));
        }
        self.put("<a href=\"#schemas\">Schemas</a></nav></header><main>");
        for group in groups {
            self.group(group);
        }
        self.schemas();
        self.put("</main></body></html>");
    }

    fn operations(&self) -> Vec<Shown<'a>> {
        let document = self.document;
        let paths = entries(&document["paths"]);
        let operations = paths.flat_map(|(path, methods)| {
            METHODS.iter().filter_map(move |method| {
                let (method, operation) = methods.as_object()?.get_key_value(*method)?;
                Some(Shown { path, method, operation })
            })
        });
        operations.collect()
    }

    fn group(&mut self, group: &Value) {
        let name = text(&group["name"]);
        self.put(&format!("<section id=\"{}\"><h2>{}</h2>", anchor(name), escaped(name)));
        self.paragraph(text(&group["description"]));
        let is_in_group = |shown: &Shown<'_>| list(&shown.operation["tags"]).any(|tag| tag == name);
        for shown in self.operations().into_iter().filter(is_in_group) {
            self.operation(&shown);
        }
        self.put("</section>");
    }

    fn operation(&mut self, shown: &Shown<'a>) {
        let Shown { path, method, operation } = shown;
        self.put(&format!(
            "<details id=\"{}\"><summary><b class=\"{method}\">{}</b> <code>{}</code> <span>{}</span></summary>",
            escaped(text(&operation["operationId"])),
            method.to_ascii_uppercase(),
            escaped(path).replace('/', "/<wbr>"),
            escaped(text(&operation["summary"])),
        ));
        self.paragraph(text(&operation["description"]));
        self.put(&format!("<p class=\"who\">{}</p>", who(operation)));
        if list(&operation["parameters"]).next().is_some() {
            self.put("<h3>Parameters</h3><dl>");
            for parameter in list(&operation["parameters"]) {
                let required = if parameter["required"] == true { ", required" } else { "" };
                self.put(&format!(
                    "<dt><code>{}</code> <i>in {}{required}</i></dt><dd>{}<br>{}</dd>",
                    escaped(text(&parameter["name"])),
                    text(&parameter["in"]),
                    marked(text(&parameter["description"])),
                    kind(&parameter["schema"], 0),
                ));
            }
            self.put("</dl>");
        }
        let body = &operation["requestBody"];
        if body.is_object() {
            let required = if body["required"] == true { "" } else { " <i>may be left out</i>" };
            self.put(&format!("<h3>Body{required}</h3><dl>"));
            for (media, content) in entries(&body["content"]) {
                self.content(media, &content["schema"]);
            }
            self.put("</dl>");
        }
        self.put("<h3>Answers</h3><dl>");
        for (status, answer) in entries(&operation["responses"]) {
            let answer = self.resolved(answer);
            self.put(&format!("<dt><code>{status}</code></dt><dd>{}", marked(text(&answer["description"]))));
            for (media, content) in entries(&answer["content"]) {
                self.put(&format!("<br><code>{}</code> {}", escaped(media), kind(&content["schema"], 0)));
            }
            self.put("</dd>");
        }
        self.put(&format!("</dl><h3>Example</h3><pre>{}</pre></details>", escaped(&curl(shown))));
    }

    fn content(&mut self, media: &str, schema: &Value) {
        self.put(&format!("<dt><code>{}</code></dt><dd>{}</dd>", escaped(media), kind(schema, 0)));
    }

    fn schemas(&mut self) {
        self.put("<section id=\"schemas\"><h2>Schemas</h2>");
        for (name, schema) in entries(&self.document["components"]["schemas"]) {
            self.put(&format!("<details id=\"schema-{0}\"><summary><code>{0}</code></summary>", escaped(name)));
            self.paragraph(text(&schema["description"]));
            self.put(&format!("<p>{}</p>", kind(schema, 0)));
            self.fields(schema);
            self.put("</details>");
        }
        self.put("</section>");
    }

    /// The fields of an object, and of the objects in it.
    fn fields(&mut self, schema: &Value) {
        if entries(&schema["properties"]).next().is_none() {
            return;
        }
        self.put("<dl>");
        for (name, field) in entries(&schema["properties"]) {
            let required =
                if list(&schema["required"]).any(|required| required == name) { " <i>required</i>" } else { "" };
            self.put(&format!("<dt><code>{}</code>{required}</dt><dd>{}", escaped(name), kind(field, 0)));
            let said = text(&field["description"]);
            if !said.is_empty() {
                self.put(&format!("<br>{}", marked(said)));
            }
            self.fields(field);
            self.fields(&field["items"]);
            self.put("</dd>");
        }
        self.put("</dl>");
    }

    fn paragraph(&mut self, text: &str) {
        if !text.is_empty() {
            self.put(&format!("<p>{}</p>", marked(text)));
        }
    }

    /// What a reference leads to.
    fn resolved(&self, value: &'a Value) -> &'a Value {
        let (document, pointer) = (self.document, text(&value["$ref"]).strip_prefix('#'));
        pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
    }
}

/// Who may call it.
fn who(operation: &Value) -> String {
    let schemes: Vec<&str> = list(&operation["security"]).flat_map(entries).map(|(name, _)| name).collect();
    match schemes.as_slice() {
        [] => "Anyone may call it.",
        [.., "administrator"] if schemes.len() > 1 => {
            "Anyone may call it; the source decides, and may ask for its secret."
        }
        [_, "metrics"] => "Needs the administrator's token, or <code>metrics.token</code>.",
        _ => "Needs the administrator's token.",
    }
    .to_owned()
}

/// A schema in a line.
fn kind(schema: &Value, depth: usize) -> String {
    if depth > DEPTH_MAX {
        return "…".to_owned();
    }
    if let Some(name) = text(&schema["$ref"]).rsplit('/').next().filter(|name| !name.is_empty()) {
        return format!("<a href=\"#schema-{0}\">{0}</a>", escaped(name));
    }
    if let Some(one) = schema.get("const") {
        return format!("<code>{}</code>", escaped(&one.to_string()));
    }
    if schema.get("enum").is_some() {
        let words = list(&schema["enum"]).map(|word| format!("<code>{}</code>", escaped(&word.to_string())));
        return words.collect::<Vec<_>>().join(" ");
    }
    for key in ["anyOf", "oneOf"] {
        if schema.get(key).is_some() {
            return list(&schema[key]).map(|one| kind(one, depth + 1)).collect::<Vec<_>>().join(" or ");
        }
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().map(text).collect(),
        one => vec![text(one)],
    };
    let shown = kinds.into_iter().map(|kind_of| match kind_of {
        "array" => format!("list of {}", kind(&schema["items"], depth + 1)),
        "object" if schema["additionalProperties"].is_object() => {
            format!("object of {}", kind(&schema["additionalProperties"], depth + 1))
        }
        "" => "anything".to_owned(),
        other => escaped(other),
    });
    let mut shown = shown.collect::<Vec<_>>().join(" or ");
    for (key, word) in
        [("format", ""), ("pattern", "like "), ("minimum", "from "), ("maximum", "to "), ("default", "else ")]
    {
        let Some(value) = schema.get(key) else { continue };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        shown += &format!(" <i>{word}{}</i>", escaped(&value));
    }
    shown
}

/// A line that calls the operation.
fn curl(shown: &Shown<'_>) -> String {
    let Shown { path, method, operation } = shown;
    let mut line = "curl".to_owned();
    match *method {
        "get" => {}
        "head" => line += " -I",
        other => line += &format!(" -X {}", other.to_ascii_uppercase()),
    }
    let path: Vec<String> = path
        .split('/')
        .map(|part| match part.strip_prefix('{') {
            Some(name) => name.trim_end_matches('}').to_uppercase().replace('_', "-"),
            None => part.to_owned(),
        })
        .collect();
    let required = list(&operation["parameters"]).filter(|it| it["required"] == true && it["in"] == "query");
    let query: Vec<String> = required
        .flat_map(|it| {
            let name = text(&it["name"]);
            values(&it["schema"])
                .into_iter()
                .map(move |value| format!("{name}={}", utf8_percent_encode(&value, NON_ALPHANUMERIC)))
        })
        .collect();
    let address = format!("{HOST}{}{}{}", path.join("/"), if query.is_empty() { "" } else { "?" }, query.join("&"));
    line += &format!(" '{address}'");
    let needs_token = list(&operation["security"]).next().is_some_and(|first| first.get("administrator").is_some());
    if needs_token {
        line += " \\\n  -H \"Authorization: Bearer $TOKEN\"";
    }
    let first = entries(&operation["requestBody"]["content"]).find(|(_, content)| content.get("example").is_some());
    if let Some((media, content)) = first {
        let example = &content["example"];
        if media == "application/x-www-form-urlencoded" {
            for (name, value) in entries(example) {
                line += &format!(" \\\n  --data-urlencode \"{name}={}\"", text(value));
            }
        } else {
            let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            line += &format!(" \\\n  -H 'Content-Type: {media}' \\\n  -d '{body}'");
        }
    }
    line
}

/// Values that a required parameter may have.
fn values(schema: &Value) -> Vec<String> {
    if schema["type"] == "array" {
        return vec!["page-view".to_owned(), "checkout-*".to_owned()];
    }
    let first = list(&schema["examples"]).chain(list(&schema["enum"])).next();
    first.map(|value| text(value).to_owned()).into_iter().collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

fn anchor(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A text whose words between backquotes are code.
fn marked(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(at, part)| if at % 2 == 1 { format!("<code>{}</code>", escaped(part)) } else { escaped(part) })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_text_holds_is_no_markup() {
        assert_eq!(marked("a `<b>` & \"c\""), "a <code>&lt;b&gt;</code> &amp; &quot;c&quot;");
    }

    #[test]
    fn a_schema_is_told_in_a_line() {
        let schema = json!({ "anyOf": [{ "$ref": "#/components/schemas/Id" }, { "type": "array", "items": { "type": "string" } }] });
        assert_eq!(kind(&schema, 0), "<a href=\"#schema-Id\">Id</a> or list of string");
    }
}
