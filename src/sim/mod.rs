//! A simulated service: real HTTP on loopback, OpenAI's routes, a stated pace, rules from pattern to answer, and faults on
//! purpose. Deterministic by seed. Its own log of write times is the truth our measurements are tested against.

mod asked;
mod metrics;
mod pace;
mod reply;
mod script;
mod server;
mod service;

pub use script::{Script, parse};
pub use server::{Running, start};
