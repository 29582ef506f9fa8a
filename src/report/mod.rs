//! Views of a record, one file per format. Pure: a record in, text out.

pub mod json;
pub mod junit;
mod latency;
pub mod terminal;
