//! Records as they are, whole.

use maud::{Markup, html};

use super::{Asked, ask::text, form::part, frame::moment};
use crate::model::{Object, Value};

/// A record as indented JSON; numbers stand in it as they were sent.
pub fn whole(record: &Value) -> Markup {
    html! { pre tabindex="0" { (indented(record)) } }
}

pub fn indented(record: &Value) -> String {
    let mut out = String::new();
    write(&mut out, record, 0);
    out
}

fn write(out: &mut String, value: &Value, level: usize) {
    let indent = |out: &mut String, level: usize| {
        out.push('\n');
        (0..level).for_each(|_| out.push_str("  "));
    };
    match value {
        Value::Object(object) if !object.is_empty() => {
            out.push('{');
            for (at, (key, below)) in object.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                indent(out, level + 1);
                out.push_str(Value::text(key).to_json().as_str());
                out.push_str(": ");
                write(out, below, level + 1);
            }
            indent(out, level);
            out.push('}');
        }
        Value::List(list) if !list.is_empty() => {
            out.push('[');
            for (at, below) in list.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                indent(out, level + 1);
                write(out, below, level + 1);
            }
            indent(out, level);
            out.push(']');
        }
        other => out.push_str(other.to_json().as_str()),
    }
}

/// What an object holds, a line for each leaf.
pub fn facts(object: &Value) -> Markup {
    let mut leaves = Vec::new();
    gather(object, &mut String::new(), &mut leaves);
    html! {
        @if leaves.is_empty() { p.quiet { "Nothing." } }
        @else { dl { @for (path, value) in &leaves { dt { (path) } dd { (value) } } } }
    }
}

fn gather(value: &Value, path: &mut String, leaves: &mut Vec<(String, String)>) {
    if let Some(object) = value.as_object().filter(|object| !object.is_empty()) {
        for (key, below) in Object::iter(object) {
            let end = path.len();
            if end > 0 {
                path.push('.');
            }
            path.push_str(key);
            gather(below, path, leaves);
            path.truncate(end);
        }
    } else if !value.is_empty() && *value != Value::object() && *value != Value::List(Vec::new()) {
        leaves.push((path.clone(), value.to_text()));
    }
}

/// A table of events.
pub fn events(asked: &Asked, events: &[Value]) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table {
                thead {
                    tr {
                        th scope="col" { "Time" }
                        th scope="col" { "Type" }
                        th scope="col" { "Page or properties" }
                        th scope="col" { "Who" }
                    }
                }
                tbody {
                    @for event in events {
                        @let id = text(event, "id");
                        @let source = text(event, "source.id");
                        @let profile = text(event, "profile.id");
                        @let session = text(event, "session.id");
                        tr {
                            td { (moment(&text(event, "metadata.time.insert"), asked.visitor.zone)) }
                            td {
                                a href={ "/console/events/" (part(&id)) "?source=" (part(&source)) } { (text(event, "type")) }
                                @if text(event, "metadata.bot") == "true" { " " span.tag.off { "bot" } }
                                @if text(event, "metadata.valid") == "false" { " " span.tag.off { "invalid" } }
                            }
                            td.long { (about(event)) }
                            td {
                                @if !profile.is_empty() {
                                    a href={ "/console/people/" (part(&profile)) } { "person" }
                                } @else if !session.is_empty() {
                                    a href={ "/console/sessions/" (part(&session)) } { "visit" }
                                } @else { span.quiet { "nobody" } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What an event is about, in a line: its properties, else its page.
pub fn about(event: &Value) -> Markup {
    const CHARS_MAX: usize = 120;
    let properties = text(event, "properties");
    let line = if properties == "{}" { text(event, "hit.url") } else { properties };
    let cut: String = line.chars().take(CHARS_MAX).collect();
    html! { (cut) @if cut.len() < line.len() { "…" } }
}
