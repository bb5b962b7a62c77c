//! Asking external systems: a [`lookup`] is a request that a workflow's step makes, [`post`] hands something to a webhook;
//! [`hosts`] says which addresses may be asked, `dns` finds them, `headers` are what people add, [`secrets`] are filled in
//! last and shown nowhere.

mod dns;
mod headers;
pub mod hosts;
pub mod lookup;
pub mod post;
pub mod secrets;
