//! Statistics of latencies over runs: limits from history, change points, trends. Pure: numbers in, decisions with evidence out.

pub mod change_point;
pub mod dist;
pub mod drift;
pub mod history;
pub mod trend;
