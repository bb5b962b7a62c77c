//! What people write to be evaluated: a [`condition`] is CEL, a [`template`] is text with places to fill, and both read the
//! records through a [`scope`].

pub mod condition;
pub mod scope;
pub mod template;
