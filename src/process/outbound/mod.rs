//! Asking external systems: a [`lookup`] is a request that a workflow's step makes, a [`webhook`] is posted to; [`hosts`] says
//! which addresses may be asked, `dns` finds them, `headers` are what people add, [`secrets`] are filled in last and shown
//! nowhere.

mod dns;
mod headers;
pub mod hosts;
pub mod lookup;
pub mod secrets;
pub mod webhook;
