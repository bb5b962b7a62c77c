//! Who is who: [`keys`] make what somebody is known by comparable, [`primary`] keys tell people apart, [`attach`] gives
//! events the profile that is sought, [`join`] makes two profiles one, [`people`] finds profiles in the store.

pub mod attach;
pub mod blocked;
pub mod join;
pub mod keys;
pub mod people;
pub mod primary;
