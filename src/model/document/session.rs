//! Sessions, as this project and the reference show them.

use super::{SessionDocument, members::Members, past};
use crate::model::{Derived, Fault, Session, Time, Value, derived::Told};

/// A session's duration, in seconds, is at most the time that can be written.
const SECONDS_MAX: f64 = 1e12;

pub fn read(members: &Members, now: Time) -> Result<SessionDocument, Fault> {
    let id = members.id("id")?.ok_or_else(|| Fault::missing().at("id"))?;
    let metadata = members.part("metadata", &["time", "channel"])?;
    let times = metadata.part("time", &["insert", "update", "duration"]).map_err(|fault| fault.at("metadata"))?;
    let within = |fault: Fault| fault.at("time").at("metadata");
    let inserted = times.time("insert").map_err(within)?.ok_or_else(Fault::missing).and_then(|time| past(time, now));
    let inserted = inserted.map_err(|fault| within(fault.at("insert")))?;
    let updated = times.time("update").map_err(within)?.unwrap_or(inserted);
    let updated = past(updated, now).map_err(|fault| within(fault.at("update")))?.max(inserted);
    let duration = times.read_as("duration", |reader| {
        let seconds: Option<f64> = reader.number()?.parse().ok();
        seconds.filter(|seconds| (0.0..SECONDS_MAX).contains(seconds)).ok_or_else(|| Fault::wrong_type("seconds"))
    });
    let duration = duration.map_err(within)?.unwrap_or(0.0);
    let channel = metadata.text("channel").map_err(|fault| fault.at("metadata"))?;
    let device = members.entity("device")?;
    let mut session = Session::new(id, 0, channel, inserted);
    session.updated = updated;
    session.context = members.object("context")?;
    session.properties = members.object("properties")?;
    session.traits = members.object("traits")?;
    session.first_event = Some(inserted);
    session.last_event = Some(inserted.later(std::time::Duration::from_secs_f64(duration)));
    session.device = device;
    let mut derived = Derived::new(&session.context, Told::default());
    if let Some(id) = &session.device {
        derived.name_device(id);
    }
    let mut shown = Value::object();
    for (part, derived) in derived.parts_of_session() {
        let said = members.object(part)?;
        if members.mentions(part) && said != *derived {
            shown.as_object_mut().into_iter().for_each(|shown| shown.insert(part, Value::from(&said)));
        }
    }
    Ok(SessionDocument { profile: members.entity("profile")?, session, shown: shown.to_json() })
}
