//! What a connection is, whatever is asked over it: the socket with its limits, who is let in, and how it ends.

mod activity;
mod admission;
mod given;
mod linger;
mod peer;
mod phases;
mod socket;
mod streamed;
mod streams;
mod wire;

pub use activity::Activity;
pub use admission::{Admission, Place, Refused};
pub use given::Given;
pub use linger::{LINGER, SHORT_LINGER, linger, linger_if_unread, linger_on_wire};
pub use peer::Peer;
pub use phases::Phased;
pub use socket::{Socket, prepare};
pub use streamed::Streamed;
pub use streams::{STREAMS_MAX, Streams, UnderWay};
pub use wire::{Transport, Wire};
