//! Logging in with a form, for clients that do it that way (docs/contract.md, section 9).

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    App, client,
    failure::Failure,
    reply::{self, Reply},
    route::Request,
};
use crate::model::Form;

/// Who logged in, and by which token they are known from now on.
#[derive(Serialize, JsonSchema)]
pub struct LoggedIn<'a> {
    access_token: &'a str,
    token_type: &'static str,
    roles: [&'static str; 1],
}

const ADMIN: &str = "admin";

pub fn token(app: &App, request: &Request) -> Result<Reply, Failure> {
    let form = Form::parse_urlencoded(&request.body.bytes);
    let is_admin = form.last("username").is_some_and(|name| name == ADMIN);
    let address = client::address(&app.settings.trusted_proxies, &request.peer, &request.headers);
    // Who calls themselves otherwise has no password, and is not asked for one.
    let password = form.last("password").filter(|_| is_admin).unwrap_or_default();
    app.check_password(address, password, false).map_err(|failure| match failure {
        Failure::Unauthorized => Failure::BadRequest("Incorrect username or password."),
        other => other,
    })?;
    let answer = LoggedIn { access_token: &app.admin_token, token_type: "bearer", roles: [ADMIN] };
    Ok(reply::not_stored(reply::json(&answer)))
}
