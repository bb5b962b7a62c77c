//! Records that come in files (docs/contract.md, section 15).

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    failure::Failure,
    query::in_query,
    reply::{self, Reply},
    route::Request,
};
use crate::{
    import::{ImportOptions, Importer},
    model::{Fault, Id, RecordKind, boolean_word},
    read::Parameters,
};

/// `POST /import`: a record a line.
pub async fn file(importer: &Importer, mut request: Request) -> Result<Reply, Failure> {
    let options = options(&request).map_err(in_query)?;
    let Some(mut pieces) = request.pieces.take() else { return Err(Failure::Bug) };
    let mut import = importer.begin(options)?;
    while let Some(piece) = pieces.next().await? {
        import.add(&piece).await?;
    }
    Ok(reply::json(&import.end().await?))
}

fn options(request: &Request) -> Result<ImportOptions, Fault> {
    let mut parameters = Parameters::new(request.route.query().into_pairs());
    let kind = parameters.read("what", RecordKind::read)?;
    let source = parameters.read("source", Id::required)?;
    let makes_sources =
        parameters.read("make_sources", |word| boolean_word(word).ok_or_else(|| Fault::wrong_type("a boolean")))?;
    parameters.end()?;
    Ok(ImportOptions { kind, source, makes_sources: makes_sources.unwrap_or(false) })
}

/// What became of a list.
#[derive(Serialize, JsonSchema)]
pub struct Saved {
    saved: u64,
    errors: Vec<String>,
    ids: Vec<Id>,
}

/// `POST /profiles/import` and `/sessions/import`: a list of them.
pub async fn list(importer: &Importer, request: &Request, kind: RecordKind) -> Result<Reply, Failure> {
    let outcome = importer.list(&request.body.bytes, kind).await?;
    let outcome = outcome.map_err(|fault| Failure::Invalid("body", fault))?;
    let refused = outcome.errors.iter().map(|fault| format!("{}: {}", fault.line, fault.msg));
    let there = outcome.ids_skipped.iter().map(|id| format!("{id}: it is there already"));
    let errors = refused.chain(there).collect();
    Ok(reply::json(&Saved { saved: outcome.imported.sessions + outcome.imported.profiles, errors, ids: outcome.ids }))
}
