//! Where somebody logs in.

use maud::html;

use super::frame::{mistake, plain_page};

/// The page where somebody logs in, with what was wrong the last time; `to` is where they go on to then.
pub fn log_in(wrong: Option<&str>, to: Option<&str>) -> String {
    let content = html! {
        div.log-in {
            h1 { "tracardi" }
            form.card.fields method="post" action="/console/log-in" {
                (mistake(wrong))
                label {
                    "Token: the administrator's, or a viewer's"
                    input type="password" name="password" required autocomplete="current-password" autofocus;
                }
                label {
                    "Your name"
                    input type="text" name="name" maxlength="60" autocomplete="name" aria-describedby="why-name";
                }
                p.quiet.small #why-name { "Others see by it who changed what." }
                input type="hidden" name="tz" value="";
                @if let Some(to) = to { input type="hidden" name="to" value=(to); }
                div { button { "Log in" } }
            }
            p.quiet.small { "The administrator's token is in the file " code { "admin.token" } " of the storage folder." }
        }
    };
    plain_page("Log in", &content)
}
