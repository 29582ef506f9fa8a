//! A live service behind one type: sends a conversation, gives back an exchange. The only room that knows HTTP clients.

mod brief;
mod calls;
mod chunk;
mod embeddings;
mod failing;
mod helper;
mod http;
mod inflate;
mod lane;
mod limits;
mod open;
mod patience;
mod pool;
mod reading;
pub(crate) mod ready;
mod route;
mod score;
pub mod sse;
pub mod wire;

pub use embeddings::embed;
pub use http::{Request, Service};
pub use lane::{Lane, Parcel};
pub use ready::wait_until_ready;
pub use route::Route;
pub use score::Scoring;
