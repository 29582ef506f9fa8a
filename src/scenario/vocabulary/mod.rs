//! Every word of the scenario language and of the configuration, with its meaning. The reference documentation and the
//! JSON Schema are made from these tables.

mod cases;
mod configuration;
mod expectations;
mod loads;
mod simulation;

pub use cases::{CASE_KEYS, FILE_KEYS, LAYERS, PARAMS};
pub use configuration::CONFIG_KEYS;
pub use expectations::{EXPECTATIONS, FORMATS, LANGUAGES};
pub use loads::{LOAD_KEYS, SHAPES};
pub use simulation::SIM_KEYS;
