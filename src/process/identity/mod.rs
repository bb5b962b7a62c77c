//! Who is who: [`keys`] make what somebody is known by comparable, [`primary`] keys tell people apart, [`attach`] gives
//! events the profile that is sought, [`join`] makes two profiles one, [`contacts`] are let go of, [`people`] finds profiles in the store.

pub mod attach;
pub mod blocked;
pub mod contacts;
pub mod join;
pub mod keys;
pub mod people;
pub mod primary;
