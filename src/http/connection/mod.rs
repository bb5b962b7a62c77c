//! What a connection is, whatever is asked over it: the socket with its limits, who is let in, and how it ends.

mod activity;
mod admission;
mod linger;
mod socket;
mod streamed;

pub use activity::Activity;
pub use admission::{Admission, Place, Refused};
pub use linger::{LINGER, SHORT_LINGER, linger, linger_if_unread};
pub use socket::Socket;
pub use streamed::Streamed;
