//! Logging in with a form, for clients that do it that way (contract, section 9).

use serde_json::json;

use super::{
    App, auth,
    failure::Failure,
    reply::{self, Reply},
    route::Request,
};
use crate::model::Form;

const ADMIN: &str = "admin";

pub fn token(app: &App, request: &Request) -> Result<Reply, Failure> {
    let form = Form::parse_urlencoded(&request.body.bytes);
    let is_admin = form.last("username").is_some_and(|name| name == ADMIN);
    if !form.last("password").is_some_and(|password| auth::is_token(app, password)) || !is_admin {
        return Err(Failure::BadRequest("Incorrect username or password."));
    }
    let answer = json!({ "access_token": app.admin_token, "token_type": "bearer", "roles": [ADMIN] });
    Ok(reply::not_stored(reply::json(&answer)))
}
