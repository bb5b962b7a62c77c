//! The console's pages over HTTP (docs/contract.md, section 19): who is logged in, what no other site may send, and
//! what browsers may do with the pages. What stands in them is the module `console`.

mod log_ins;
mod tries;

use std::{net::IpAddr, time::Duration};

use chrono_tz::Tz;
use hyper::{
    Method, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue,
        LOCATION, ORIGIN, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
    },
};
use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq;

use super::{
    App, auth, client,
    failure::Failure,
    live,
    reply::{self, Reply},
    rights,
    route::Request,
};
use crate::{
    console::{self, Answer, Asked, Role, Visitor},
    model::{DefinitionKind, Form, Id},
};

pub use log_ins::{LogIns, LoggedInBy};
pub use tries::Tries;

/// The name of the cookie that says who is logged in.
const SESSION: &str = "tracardi_console";
const LOG_IN: &str = "/console/log-in";
const FIRST_PAGE: &str = "/console/overview";
/// Under which name an address says where somebody goes on to once they logged in.
const TO: &str = "to";
/// Where an address of the console has the content's hash, it never changes.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The longest name that somebody may have, in characters.
const NAME_MAX: usize = 60;
/// What a browser may do with a page: load what comes from here, and send forms here. Nothing may frame it.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
);

/// Answers a request under `/console`.
pub async fn answer(app: &App, request: Request) -> Result<Reply, Failure> {
    let mut reply = route(app, request).await.unwrap_or_else(Reply::from);
    let headers = reply.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    Ok(reply)
}

async fn route(app: &App, request: Request) -> Result<Reply, Failure> {
    let path = path(&request)?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let is_post = request.method == Method::POST;
    match (&path[..], is_post) {
        (["assets", name], false) => return asset(name),
        (["log-in"], false) => return Ok(reply::html(console::log_in(None, request.route.query().last(TO)).into())),
        (["log-in"], true) => return log_in(app, &request),
        _ => {}
    }
    if let (["shared", secret, part @ ..], false) = (&path[..], is_post) {
        return shared(app, &request, secret, part).await;
    }
    let session = session(&request.headers);
    let is_valid = |token: &Id| {
        let services = app.services();
        services.is_ok_and(|services| services.admin.definition(DefinitionKind::Token, token).is_some())
    };
    let Some(visitor) = session.and_then(|session| app.log_ins.visitor(session, is_valid)) else {
        return Ok(see_other(&log_in_and_on_to(&request)));
    };
    let form = is_post.then(|| Form::parse_urlencoded(&request.body.bytes));
    if let Some(form) = &form {
        check_own(&request.headers, form, &visitor)?;
    }
    if path == ["log-out"] && is_post {
        session.into_iter().for_each(|session| app.log_ins.end(session));
        return Ok(see_other(LOG_IN));
    }
    let services = app.services()?;
    match &path[..] {
        ["live"] => {
            let (log_ins, admin) = (app.log_ins.clone(), services.admin.clone());
            let session = session.unwrap_or_default().to_owned();
            let may_look = move || {
                let is_valid = |token: &Id| admin.definition(DefinitionKind::Token, token).is_some();
                log_ins.visitor(&session, is_valid).is_some()
            };
            return live::events(&services.queries, &request, may_look).await;
        }
        ["people", id, "export"] if !is_post && visitor.role == Role::Administrator => {
            let id = Id::parse(id).ok().flatten().ok_or(Failure::NoRecord)?;
            let mut reply = rights::export_of(&services.rights, &id).await?;
            reply.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
            return Ok(reply);
        }
        _ => {}
    }
    let path = path.iter().map(|part| (*part).to_owned()).collect();
    let here = format!("/console/{}", request.route.raw("*path"));
    let is_page = request.method == Method::GET;
    let told = session.filter(|_| is_page).and_then(|session| app.log_ins.told(session, &here));
    let view = View { visitor, shared: None, told, path, query: request.route.query(), form };
    shown(app, &request, session, view).await
}

/// What a link to a single page leads to: the page, or a part of it, as it was when the link was made.
async fn shared(app: &App, request: &Request, secret: &str, part: &[&str]) -> Result<Reply, Failure> {
    let services = app.services()?;
    let Some((page, query)) = services.admin.share(secret) else {
        return Ok(with_status(StatusCode::NOT_FOUND, console::log_in(Some("The link has ended, or is none."), None)));
    };
    let visitor = Visitor { name: String::new(), zone: Tz::UTC, forgery_token: String::new(), role: Role::Guest };
    let path = [&[page.as_str()], part].concat().into_iter().map(str::to_owned).collect();
    let view = View { visitor, shared: Some(secret.to_owned()), told: None, path, query, form: None };
    shown(app, request, None, view).await
}

/// What is asked of the console, by whom.
struct View {
    visitor: Visitor,
    shared: Option<String>,
    told: Option<String>,
    path: Vec<String>,
    query: Form,
    form: Option<Form>,
}

async fn shown(app: &App, request: &Request, session: Option<&str>, view: View) -> Result<Reply, Failure> {
    let View { visitor, shared, told, path, query, form } = view;
    let services = app.services()?;
    let scheme = if is_secure(app, request) { "https" } else { "http" };
    let asked = Asked {
        visitor,
        shared,
        told,
        path,
        query,
        form,
        address: Some(client::address(&app.settings.trusted_proxies, &request.peer, &request.headers).to_string()),
        origin: format!("{scheme}://{}", host(&request.headers)),
        client: request.client.clone(),
        http: app.http_figures(),
    };
    Ok(match services.console.answer(&asked).await {
        Ok(Answer::Page(page)) => reply::html(page.into()),
        Ok(Answer::Mistaken(page)) => with_status(StatusCode::UNPROCESSABLE_ENTITY, page),
        Ok(Answer::SeeOther(address)) => see_other(&address),
        Ok(Answer::ToldOnce(address, secret)) => {
            session.into_iter().for_each(|session| app.log_ins.tell(session, &address, secret.clone()));
            see_other(&address)
        }
        Err(trouble) => {
            let status = match &trouble {
                console::Trouble::NotFound => StatusCode::NOT_FOUND,
                console::Trouble::NotAllowed => StatusCode::UNAUTHORIZED,
                console::Trouble::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
                console::Trouble::Refused(_) => StatusCode::SERVICE_UNAVAILABLE,
            };
            with_status(status, console::trouble(&asked, &trouble))
        }
    })
}

/// Where somebody logs in first, and then goes on to what they asked for.
fn log_in_and_on_to(request: &Request) -> String {
    let query = request.route.raw_query();
    let query = if query.is_empty() || request.method == Method::POST { String::new() } else { format!("?{query}") };
    let to = format!("/console/{}{query}", request.route.raw("*path"));
    let to: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
    format!("{LOG_IN}?{TO}={to}")
}

/// The parts of the path behind `/console`, each decoded once.
fn path(request: &Request) -> Result<Vec<String>, Failure> {
    let parts = request.route.raw("*path").split('/').filter(|part| !part.is_empty());
    let decoded = parts.map(|part| percent_decode_str(part).decode_utf8().map(|part| part.into_owned()));
    decoded.collect::<Result<_, _>>().map_err(|_| Failure::NotFound)
}

fn asset(name: &str) -> Result<Reply, Failure> {
    let mut reply = match name {
        "console.css" => reply::bytes("text/css; charset=utf-8", console::STYLE.as_bytes()),
        "console.js" => reply::bytes("text/javascript; charset=utf-8", console::SCRIPT.as_bytes()),
        _ => return Err(Failure::NotFound),
    };
    reply.headers_mut().insert(CACHE_CONTROL, FOR_GOOD);
    Ok(reply)
}

fn log_in(app: &App, request: &Request) -> Result<Reply, Failure> {
    check_origin(&request.headers)?;
    let form = Form::parse_urlencoded(&request.body.bytes);
    let address = client::address(&app.settings.trusted_proxies, &request.peer, &request.headers);
    app.check_password(address, form.last("password").unwrap_or_default().trim(), true)
        .map(|by| {
            let name: String = form.last("name").unwrap_or_default().trim().chars().take(NAME_MAX).collect();
            let unnamed = if by.is_some() { "A viewer" } else { "Administrator" };
            let name = if name.is_empty() { unnamed.into() } else { name };
            let zone = form.last("tz").and_then(|zone| zone.parse().ok()).unwrap_or(Tz::UTC);
            let session = app.log_ins.begin(name, zone, by, app.console_session);
            let secure = if is_secure(app, request) { "; Secure" } else { "" };
            let cookie = format!(
                "{SESSION}={session}; Path=/console; HttpOnly; SameSite=Strict; Max-Age={}{secure}",
                app.console_session.as_secs()
            );
            // Nowhere but here: nothing but a path of the console is gone on to.
            let to = form
                .last(TO)
                .filter(|to| to.starts_with("/console/") && to.bytes().all(|byte| byte.is_ascii_graphic()));
            let mut reply = see_other(to.unwrap_or(FIRST_PAGE));
            reply.headers_mut().extend(HeaderValue::try_from(cookie).ok().map(|cookie| (SET_COOKIE, cookie)));
            reply
        })
        .or_else(|failure| match failure {
            Failure::Unauthorized => Ok(with_status(
                StatusCode::UNAUTHORIZED,
                console::log_in(Some("This token is not known here."), form.last(TO)),
            )),
            Failure::TooManyTries(_) => Ok(with_status(
                StatusCode::TOO_MANY_REQUESTS,
                console::log_in(Some("Too many tries: wait a minute."), form.last(TO)),
            )),
            other => Err(other),
        })
}

impl App {
    /// Checks a password that comes from an address, which may try it a few times a minute: the administrator's token, or
    /// one of a viewer's where they may log in.
    ///
    /// # Errors
    /// It is none of them, or too many were tried.
    pub(super) fn check_password(
        &self,
        address: IpAddr,
        password: &str,
        viewers_too: bool,
    ) -> Result<LoggedInBy, Failure> {
        self.tries.check(address)?;
        if auth::is_token(self, password) {
            return Ok(None);
        }
        if viewers_too && let Some(viewer) = self.services()?.admin.viewer(password) {
            return Ok(Some(viewer.id));
        }
        self.tries.note(address);
        Err(Failure::Unauthorized)
    }
}

/// Whether a form is one that this console sent to this visitor.
fn check_own(headers: &HeaderMap, form: &Form, visitor: &Visitor) -> Result<(), Failure> {
    check_origin(headers)?;
    let token = form.last("token").unwrap_or_default();
    let is_own: bool = token.as_bytes().ct_eq(visitor.forgery_token.as_bytes()).into();
    if is_own { Ok(()) } else { Err(Failure::BadRequest("The form is none of this console's: load the page again.")) }
}

/// Whether what is sent comes from a page of this very host: browsers say so with everything that is sent.
fn check_origin(headers: &HeaderMap) -> Result<(), Failure> {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    let from = origin.split_once("://").map_or("", |(_, host)| host);
    if !from.is_empty() && from.eq_ignore_ascii_case(host(headers)) {
        Ok(())
    } else {
        Err(Failure::BadRequest("The form comes from another site."))
    }
}

fn host(headers: &HeaderMap) -> &str {
    headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default()
}

/// Whether the visitor's browser speaks TLS: with this very process, or with a proxy that says so.
fn is_secure(app: &App, request: &Request) -> bool {
    let is_trusted = request.peer.is_trusted(&app.settings.trusted_proxies);
    let said = request.headers.get(X_FORWARDED_PROTO).and_then(|proto| proto.to_str().ok()).unwrap_or_default();
    request.peer.speaks_tls || (is_trusted && said.trim().eq_ignore_ascii_case("https"))
}

/// What the cookie says.
fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION).map(|(_, session)| session)
}

fn see_other(address: &str) -> Reply {
    let mut reply = reply::empty(StatusCode::SEE_OTHER);
    reply.headers_mut().extend(HeaderValue::from_str(address).ok().map(|address| (LOCATION, address)));
    reply
}

fn with_status(status: StatusCode, page: String) -> Reply {
    let mut reply = reply::html(page.into());
    *reply.status_mut() = status;
    reply
}

/// How long somebody who logged in stays so, at least.
pub const SESSION_MIN: Duration = Duration::from_secs(60);
