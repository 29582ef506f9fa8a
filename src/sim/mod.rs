//! A simulated service: real HTTP on loopback, OpenAI's routes, a stated pace, rules from pattern to answer, and faults on
//! purpose. Deterministic by seed. Its own log of write times is the truth our measurements are tested against.

mod metrics;
mod script;
mod server;

pub use script::{Script, parse};
pub use server::{Running, start};
