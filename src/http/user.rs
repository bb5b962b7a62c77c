//! Logging in with a form, for clients that do it that way (contract, section 9).

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    App, auth,
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
    if !form.last("password").is_some_and(|password| auth::is_token(app, password)) || !is_admin {
        return Err(Failure::BadRequest("Incorrect username or password."));
    }
    let answer = LoggedIn { access_token: &app.admin_token, token_type: "bearer", roles: [ADMIN] };
    Ok(reply::not_stored(reply::json(&answer)))
}
