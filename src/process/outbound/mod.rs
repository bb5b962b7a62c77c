//! Asking external systems: a [`lookup`] is a request that a workflow's step makes; [`hosts`] says which addresses may be
//! asked, `dns` finds them, [`secrets`] are filled in last and shown nowhere.

mod dns;
pub mod hosts;
pub mod lookup;
pub mod secrets;
