//! What is set aside for a destination.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    failure::Failure,
    reply::{self, Reply},
    route::Route,
};
use crate::{
    deliver::{Deliveries, ShownAside},
    model::Fault,
    read::Parameters,
};

/// How many items are listed if nothing is said, and at most.
pub const LIMIT: usize = 100;
pub const LIMIT_MAX: usize = 1_000;

/// Items that are set aside, in the order in which they happened.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Asides")]
pub struct List {
    /// How many there are in all.
    total: usize,
    result: Vec<ShownAside>,
    /// Where the list goes on: for `from`.
    next: Option<u64>,
}

/// `GET /destination/ID/aside`.
pub async fn list(deliveries: &Deliveries, route: &Route) -> Result<Reply, Failure> {
    let id = route.record_id()?;
    let invalid = |fault| Failure::Invalid("query", fault);
    let mut parameters = Parameters::new(route.query().into_pairs());
    let from = parameters.read("from", whole::<u64>).map_err(invalid)?.unwrap_or(0);
    let limit = parameters.read("limit", whole::<usize>).map_err(invalid)?.unwrap_or(LIMIT);
    parameters.end().map_err(invalid)?;
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(invalid(Fault::new("value_error", format!("1 to {LIMIT_MAX} is expected")).at("limit")));
    }
    let found = deliveries.asides(&id, from, limit).await?;
    Ok(reply::record(found.map(|(result, total)| {
        let next = result.last().filter(|_| result.len() == limit).and_then(|last| last.number.checked_add(1));
        List { total, result, next }
    })))
}

/// `POST /destination/ID/aside/N/send`.
pub async fn send(deliveries: &Deliveries, route: &Route) -> Result<Reply, Failure> {
    Ok(reply::record(deliveries.send_aside(&route.record_id()?, number(route)?).await?))
}

/// `DELETE /destination/ID/aside/N`.
pub async fn delete(deliveries: &Deliveries, route: &Route) -> Result<Reply, Failure> {
    Ok(reply::deleted(deliveries.delete_aside(&route.record_id()?, number(route)?).await?))
}

/// The number of the item that the path names; what is no number names none.
fn number(route: &Route) -> Result<u64, Failure> {
    let part = route.part("number")?.unwrap_or_default();
    part.parse().map_err(|_| Failure::NoRecord)
}

fn whole<T: std::str::FromStr>(text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| Fault::wrong_type("a whole number"))
}
