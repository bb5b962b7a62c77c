//! The storage folder and the files in it: who has it, what is whole, and what the journal needs of a disk.

pub mod checksums;
pub mod disk;
pub mod durable;
pub mod folder;
pub mod usage;
