//! Profiles, as this project and the reference show them.

use super::{ProfileDocument, members::Members, past};
use crate::model::{
    Conflict, Fault, Field, Fields, Id, Json, Object, Path, Profile, Reader, Time, Value, Written, json,
};

/// The parts of a profile that are objects, as they stand in what is known of it.
const OBJECTS: [&str; 4] = ["traits", "data", "interests", "consents"];
/// What the server counts; beside it stands what workflows count.
const COUNTED: [&str; 2] = ["visits", "views"];
/// How many other ids a profile brings at most.
const NAMES_MAX: usize = 1_000;

/// The offsets of what it brings are set once it is stored.
pub fn read(members: &Members, now: Time) -> Result<ProfileDocument, Fault> {
    let id = members.id("id")?.ok_or_else(|| Fault::missing().at("id"))?;
    let metadata = members.part("metadata", &["time", "fields"])?;
    let times = metadata.part("time", &["insert", "update", "visit"]).map_err(|fault| fault.at("metadata"))?;
    let within = |fault: Fault| fault.at("time").at("metadata");
    let inserted = times.time("insert").map_err(within)?.ok_or_else(Fault::missing).and_then(|time| past(time, now));
    let inserted = inserted.map_err(|fault| within(fault.at("insert")))?;
    let updated = times.time("update").map_err(within)?.unwrap_or(inserted);
    let updated = past(updated, now).map_err(|fault| within(fault.at("update")))?.max(inserted);
    let visit = times.part("visit", &["count", "current", "last"]).map_err(within)?;
    let in_visit = |fault: Fault| within(fault.at("visit"));
    let visits = [visit.time("current").map_err(in_visit)?, visit.time("last").map_err(in_visit)?];
    let stats = members.part("stats", &["visits", "views"])?;
    let in_stats = |fault: Fault| fault.at("stats");
    let mut profile = Profile::new(id, 0, inserted);
    profile.updated = updated;
    profile.visits =
        count(&stats, "visits").map_err(in_stats)?.or(count(&visit, "count").map_err(in_visit)?).unwrap_or(0);
    profile.views = count(&stats, "views").map_err(in_stats)?.unwrap_or(0);
    profile.fields = fields(&metadata)?;
    let (aux, conflicts) = aux(members, inserted)?;
    profile.conflicts = conflicts;
    profile.facts = facts(members, &aux)?;
    let mut names = Vec::new();
    members.read_as("ids", |reader| {
        reader.array(|reader, _| {
            let name = Id::parse(&reader.whole_string()?)?;
            names.extend(name.filter(|name| *name != profile.id && !names.contains(name)));
            if names.len() > NAMES_MAX {
                return Err(Fault::new("value_error.list.max_items", format!("at most {NAMES_MAX} are taken")));
            }
            Ok(())
        })
    })?;
    Ok(ProfileDocument { profile, names, visits })
}

fn count(members: &Members, name: &'static str) -> Result<Option<u64>, Fault> {
    members.read_as(name, |reader| reader.number()?.parse().map_err(|_| Fault::wrong_type("a count")))
}

/// What is known of a person, in one object.
fn facts(members: &Members, aux: &Json) -> Result<Json, Fault> {
    let mut text = String::from("{");
    let mut put = |name: &str, json: &str| {
        if text.len() > 1 {
            text.push(',');
        }
        json::push_string(&mut text, name);
        text.push(':');
        text.push_str(json);
    };
    let mut counted = Object::default();
    for (name, count) in Value::from(&members.object("stats")?).as_object().into_iter().flat_map(Object::iter) {
        if !COUNTED.contains(&name) && matches!(count, Value::Number(_)) {
            counted.insert(name, count.clone()); // what else the reference notes there is left out
        }
    }
    if !counted.is_empty() {
        put("stats", Value::Object(counted).to_json().as_str());
    }
    for part in OBJECTS {
        let said = members.object(part)?;
        if !said.is_empty_object() {
            put(part, said.as_str());
        }
    }
    if let Some(segments) = members.get("segments") {
        let read = Reader::new(segments.as_str().as_bytes(), 0)
            .and_then(|mut reader| reader.array(|reader, _| reader.string().map(|_| ())));
        read.map_err(|fault| fault.at("segments"))?;
        if segments.as_str() != "[]" {
            put("segments", segments.as_str());
        }
    }
    if !aux.is_empty_object() {
        put("aux", aux.as_str());
    }
    if let Some(primary) = members.get("primary_id") {
        put("primary_id", primary.as_str());
    }
    text.push('}');
    Ok(Json::from_normal(&text))
}

/// When which leaf was written. What the reference notes beside the time is left out.
fn fields(metadata: &Members) -> Result<Fields, Fault> {
    let Some(fields) = metadata.get("fields").map(Value::from) else { return Ok(Fields::default()) };
    let wrong = || Fault::wrong_type("an object of paths and times").at("fields").at("metadata");
    let read = fields.as_object().ok_or_else(wrong)?.iter().filter_map(|(path, noted)| {
        let time = match noted {
            Value::List(list) => list.first()?,
            noted => noted,
        };
        let time = time.to_json();
        let time = Reader::new(time.as_str().as_bytes(), 0).and_then(|mut reader| Time::read(&mut reader)).ok()??;
        Path::read(path).is_ok().then(|| (path.into(), Field::set(0, time)))
    });
    Ok(read.collect())
}

/// `aux` without the values that lost in merges, and these. They were written before the profile came here.
fn aux(members: &Members, inserted: Time) -> Result<(Json, Vec<Conflict>), Fault> {
    let said = members.object("aux")?;
    if !said.mentions("conflicts") {
        return Ok((said, Vec::new()));
    }
    let mut aux = Value::from(&said);
    let lost = aux.as_object_mut().and_then(|aux| aux.remove("conflicts"));
    let Some(Value::List(lost)) = lost else { return Ok((said, Vec::new())) };
    let conflict = |lost: &Value| {
        let lost = lost.as_object()?;
        let path = lost.get("path").and_then(Value::as_str).filter(|path| Path::read(path).is_ok())?;
        let time = lost.get("time").and_then(Value::as_str).and_then(|time| Time::parse(time).ok()).unwrap_or(inserted);
        let value = lost.get("value").unwrap_or(&Value::Null).to_json();
        Some(Conflict { path: path.into(), written: Written { offset: 0, time, is_added: false, value } })
    };
    let conflicts: Option<Vec<Conflict>> = lost.iter().map(conflict).collect();
    let wrong = || Fault::wrong_type("a list of {path, value, time}").at("conflicts").at("aux");
    Ok((aux.to_json(), conflicts.ok_or_else(wrong)?))
}
