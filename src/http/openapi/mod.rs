//! The API's description of itself: `GET /openapi.json` (OpenAPI 3.1), and `GET /docs`, which shows it to people.
//!
//! The paths, their methods and who may call them come from the table in `route`; what each is about stands in
//! `endpoints`, where the compiler asks for every endpoint. The schemas of answers, and of what people set up, are derived
//! from the types that are written and read. What clients send is read by hand, so `bodies` says by hand what is taken,
//! and `parameters` what a query may say.

mod answers;
mod bodies;
mod endpoints;
mod operation;
mod page;
mod parameters;
mod refusals;
mod schemas;

use std::sync::OnceLock;

use bytes::Bytes;
use hyper::{
    Method, StatusCode,
    header::{CONTENT_SECURITY_POLICY, HeaderValue},
};
use serde_json::{Map, Value, json};

use super::{
    reply::{self, Reply},
    route::{self, Audience, Endpoint},
};
use operation::Operation;
use schemas::Schemas;

/// `GET /openapi.json`. The document is written when it is first asked for.
pub fn document() -> Reply {
    static WRITTEN: OnceLock<Bytes> = OnceLock::new();
    reply::json_bytes(StatusCode::OK, WRITTEN.get_or_init(|| describe().to_string().into()).clone())
}

/// `GET /docs`: the document for people, written when it is first asked for. It needs no script and no other host.
pub fn page() -> Reply {
    static WRITTEN: OnceLock<Bytes> = OnceLock::new();
    let mut reply = reply::html(WRITTEN.get_or_init(|| page::write(&describe()).into()).clone());
    let policy = HeaderValue::try_from(page::content_security_policy());
    reply.headers_mut().extend(policy.ok().map(|policy| (CONTENT_SECURITY_POLICY, policy)));
    reply
}

/// The document.
fn describe() -> Value {
    let mut schemas = Schemas::new();
    let mut paths = Map::new();
    // The console's pages are for people, who are led through them.
    let described = route::TABLE.iter().filter(|(.., audience)| *audience != Audience::Console);
    for (path, endpoint, _, audience) in described {
        let mut methods = Map::new();
        for operation in operations(*endpoint, *audience, &mut schemas) {
            let name = operation.method.as_str().to_ascii_lowercase();
            methods.insert(name, operation.describe(path, *audience));
        }
        paths.insert((*path).to_owned(), methods.into());
    }
    let responses = refusals::responses(&mut schemas);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "tracardi",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Event tracking in one binary: takes events, keeps sources, sessions, profiles and an \
                append-only event log, and answers questions about them.",
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "tags": endpoints::GROUPS.iter().map(|(name, text)| json!({ "name": name, "description": text })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas.named(),
            "responses": responses,
            "securitySchemes": {
                "administrator": {
                    "type": "http", "scheme": "bearer",
                    "description": "The administrator's token.",
                },
                "viewer": {
                    "type": "http", "scheme": "bearer",
                    "description": "A viewer's token, as `POST /token` makes it: it reads, and changes nothing.",
                },
                "metrics": {
                    "type": "http", "scheme": "bearer",
                    "description": "The setting `metrics.token`.",
                },
                "secret": {
                    "type": "http", "scheme": "bearer",
                    "description": "A secret of the source that the request names. A source may require it.",
                },
                "password": {
                    "type": "http", "scheme": "basic",
                    "description": "Such a secret as the password, with any name: `https://any:SECRET@HOST/collect/...`.",
                },
            },
        },
    })
}

/// What the methods of a path do: those of its endpoint, and those that follow from them.
fn operations(endpoint: Endpoint, audience: Audience, schemas: &mut Schemas) -> Vec<Operation> {
    let mut operations = endpoints::operations(endpoint, schemas);
    if let Some(get) = operations.iter().find(|operation| operation.method == Method::GET) {
        operations.push(get.head());
    }
    if audience == Audience::Clients {
        operations.push(Operation::preflight());
    }
    operations
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_method_of_every_route_is_described_and_none_that_is_not_there() {
        let mut schemas = Schemas::new();
        for (path, endpoint, methods, audience) in route::TABLE.iter().filter(|(.., it)| *it != Audience::Console) {
            let described = operations(*endpoint, *audience, &mut schemas);
            let described: BTreeSet<String> = described.iter().map(|operation| operation.method.to_string()).collect();
            let preflight = Some(Method::OPTIONS).filter(|_| *audience == Audience::Clients);
            let there = methods.iter().cloned().chain(preflight).map(|method| method.to_string());
            assert_eq!(described, there.collect(), "{path}");
        }
    }

    #[test]
    fn a_name_is_one_schema_and_each_that_is_referred_to_is_there() {
        let mut schemas = Schemas::new();
        for (_, endpoint, _, audience) in route::TABLE {
            operations(*endpoint, *audience, &mut schemas);
        }
        assert_eq!(schemas.conflicts(), [""; 0]);
        let document = describe();
        let text = document.to_string();
        for referred in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(document.pointer(referred).is_some(), "{referred}");
        }
    }
}
