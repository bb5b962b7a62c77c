//! Who is who: [`keys`] make what somebody is known by comparable, [`attach`] decides whose events are and when two profiles
//! become one, [`people`] finds profiles in the store.

pub mod attach;
pub mod keys;
pub mod people;
