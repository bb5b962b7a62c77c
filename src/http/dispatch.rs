//! Which endpoint answers a request.

use hyper::Method;

use super::{
    App, Services, access, asides, auth, consents, console, definitions,
    failure::Failure,
    health, import, live, metrics, openapi, query, records, redirect,
    reply::{self, Reply},
    rights,
    route::{Audience, Endpoint, Request},
    sources, track, tracker, user, webhook,
};
use crate::{
    model::{DefinitionKind, RecordKind},
    read::{About, Asked},
};

/// Answers a request.
pub async fn answer(app: &App, request: Request) -> Result<Reply, Failure> {
    let route = &request.route;
    match route.audience {
        Audience::Administrator => auth::check_token(app, &request.headers)?,
        Audience::Viewers => access::check_viewer(app, &request)?,
        Audience::Monitoring if auth::is_metrics_token(app, &request.headers) => {}
        Audience::Monitoring => access::check_viewer(app, &request)?,
        Audience::Clients | Audience::Public | Audience::Console => {}
    }
    match route.endpoint {
        Endpoint::Health => return Ok(health::health()),
        Endpoint::Ready => return health::ready(app).await,
        Endpoint::Token => return user::token(app, &request),
        Endpoint::Logout => return Ok(reply::json(&true)),
        Endpoint::OpenApi => return Ok(openapi::document()),
        Endpoint::Docs => return Ok(openapi::page()),
        Endpoint::Tracker => return Ok(tracker::script(&request.headers)),
        Endpoint::Track => return track::track(app, &app.services()?.collector, &request).await,
        Endpoint::Collect => return webhook::collect(app, &app.services()?.collector, &request).await,
        _ => {}
    }
    // On the heap, so that what is collected does not carry the room with it that all others take.
    Box::pin(answer_others(app, request)).await
}

/// Answers a request that collects nothing.
async fn answer_others(app: &App, request: Request) -> Result<Reply, Failure> {
    let route = &request.route;
    if route.endpoint == Endpoint::Console {
        return console::answer(app, request).await;
    }
    let services = app.services()?;
    if route.endpoint == Endpoint::Import {
        return import::file(&services.importer, request).await;
    }
    let Services { collector, admin, deliveries, scheduler, .. } = services;
    // Who changes something that is set up; reading needs no author.
    let by = || auth::author(app, &request);
    match (route.endpoint, &request.method) {
        (Endpoint::NewAccess(DefinitionKind::Share), _) => access::make_share(admin, &request, &by()).await,
        (Endpoint::NewAccess(_), _) => access::make_token(admin, &request, &by()).await,
        (Endpoint::Access(kind), _) => access::end(admin, kind, route, &by()).await,
        (Endpoint::Accesses(kind), _) => Ok(access::list(admin, kind)),
        (Endpoint::Changes, _) => Ok(access::changes(admin)),
        (Endpoint::CustomerConsent, _) => consents::give(app, services, &request).await,
        (Endpoint::ConsentTypes, _) => Ok(consents::types(admin)),
        (Endpoint::Redirect, &Method::DELETE) => {
            auth::check_token(app, &request.headers)?;
            definitions::delete(admin, DefinitionKind::Redirect, route, &by()).await
        }
        (Endpoint::Redirect | Endpoint::RedirectInSession, _) => redirect::follow(collector, &request).await,
        (Endpoint::NewSource, _) => sources::save(admin, &request.body.bytes, &by()).await,
        (Endpoint::Source, &Method::DELETE) => sources::delete(admin, route, &by()).await,
        (Endpoint::Source, _) => sources::get(admin, route),
        (Endpoint::SourceSecret, &Method::DELETE) => sources::end_secrets(admin, route, &by()).await,
        (Endpoint::SourceSecret, _) => sources::make_secret(admin, route, &by()).await,
        (Endpoint::Sources, _) => Ok(sources::list(admin, route)),
        (Endpoint::SourcesByType, _) => Ok(sources::list_by_type(admin, route)),
        (Endpoint::SourceEntities, _) => Ok(sources::entities(admin)),
        (Endpoint::SourceTypeNames, _) => Ok(sources::type_names()),
        (Endpoint::SourceTypes, _) => Ok(sources::types()),
        (Endpoint::NewDefinition(kind), _) => definitions::save(admin, kind, &request.body.bytes, &by()).await,
        (Endpoint::Definition(kind), &Method::DELETE) => definitions::delete(admin, kind, route, &by()).await,
        (Endpoint::Definition(kind), _) => definitions::get(admin, kind, route),
        (Endpoint::Definitions(kind), _) => Ok(definitions::list(admin, kind)),
        (Endpoint::DestinationStatus, _) => definitions::destination_status(deliveries, route),
        (Endpoint::ScheduleStatus(kind), _) => definitions::status(scheduler, kind, route).await,
        (Endpoint::Replay, _) => definitions::replay(admin, &request).await,
        (Endpoint::Asides, _) => asides::list(deliveries, route).await,
        (Endpoint::Aside, _) => asides::delete(deliveries, route).await,
        (Endpoint::SendAside, _) => asides::send(deliveries, route).await,
        (Endpoint::Configuration, &Method::POST) => definitions::apply(admin, &request, &by()).await,
        (Endpoint::Configuration, _) => Ok(definitions::dump(admin)),
        (Endpoint::Event, &Method::DELETE) => records::delete_event(admin, route).await,
        (Endpoint::Event, _) => records::event(admin, route).await,
        (Endpoint::Session, &Method::DELETE) => records::delete_session(admin, route).await,
        (Endpoint::Session, _) => records::session(admin, route).await,
        (Endpoint::Profile, &Method::DELETE) => rights::delete_profile(services, route).await,
        (Endpoint::Profile, _) => records::profile(admin, route).await,
        (Endpoint::Events, _) => query::records(services, &request, Asked::Events(None)).await,
        (Endpoint::SessionEvents, _) => {
            let about = About::Session(route.record_id()?);
            query::records(services, &request, Asked::Events(Some(about))).await
        }
        (Endpoint::ProfileEvents, _) => {
            let about = About::Profile(route.record_id()?);
            query::records(services, &request, Asked::Events(Some(about))).await
        }
        (Endpoint::Sessions, _) => query::records(services, &request, Asked::Sessions(None)).await,
        (Endpoint::ProfileSessions, _) => {
            query::records(services, &request, Asked::Sessions(Some(route.record_id()?))).await
        }
        (Endpoint::Profiles, _) => query::records(services, &request, Asked::Profiles).await,
        (Endpoint::Timeline, _) => query::records(services, &request, Asked::Timeline(route.record_id()?)).await,
        (Endpoint::CountedVisits, _) => query::visits(services, &request).await,
        (Endpoint::Top, _) => query::top(services, &request).await,
        (Endpoint::Funnel, _) => query::funnel(services, &request).await,
        (Endpoint::Retention, _) => query::retention(services, &request).await,
        (Endpoint::CountedEvents, _) => query::counts(services, &request).await,
        (Endpoint::LiveEvents, _) => {
            live::events(&services.queries, &request, access::still_allowed(services, &request)).await
        }
        (Endpoint::ExportProfile, _) => rights::export(&services.rights, route).await,
        (Endpoint::ForgetProfile, _) => rights::forget(&services.rights, route).await,
        (Endpoint::Erasure, _) => rights::erasure(&services.rights, route).await,
        (Endpoint::MergeProfiles, _) => records::merge_profiles(admin, &request).await,
        (Endpoint::BlockedKeys, _) => records::blocked_keys(admin).await,
        (Endpoint::BlockedKey, _) => Ok(reply::deleted(admin.free_key(&route.record_id()?).await?)),
        (Endpoint::SplitProfile, _) => records::split_profile(services, &request).await,
        (Endpoint::Export, _) => query::export(services, &request).await,
        (Endpoint::ImportSessions, _) => import::list(&services.importer, &request, RecordKind::Session).await,
        (Endpoint::ImportProfiles, _) => import::list(&services.importer, &request, RecordKind::Profile).await,
        (Endpoint::Metrics, _) => Ok(metrics::metrics(app, &services.metrics, &request.headers).await),
        (Endpoint::System, _) => Ok(metrics::system(app, &services.metrics).await),
        (Endpoint::Refresh, _) => Ok(reply::json(&true)), // every read is fresh anyway
        (
            Endpoint::Token
            | Endpoint::Logout
            | Endpoint::Health
            | Endpoint::Ready
            | Endpoint::Import
            | Endpoint::OpenApi
            | Endpoint::Docs
            | Endpoint::Tracker
            | Endpoint::Console
            | Endpoint::Track
            | Endpoint::Collect,
            _,
        ) => Err(Failure::NotFound),
    }
}
