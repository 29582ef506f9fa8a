//! What the load engine costs and how true its clock is, beside a hand-written client loop and the log of the server.
//!
//! `load server …` and `load reference …` are the two child processes; anything else runs the comparison.

mod compare;
mod pace;
mod process;
mod reference;
mod server;
mod summary;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("server") => server::main(&arguments),
        Some("reference") => reference::main(&arguments),
        _ => compare::main(&arguments),
    }
}

/// The value after `--name`, or `default` when the name is absent. A value that is not a `T` ends the process.
fn option<T: std::str::FromStr>(arguments: &[String], name: &str, default: T) -> T {
    let Some(at) = arguments.iter().position(|a| a == name) else { return default };
    let Some(value) = arguments.get(at + 1).and_then(|v| v.parse().ok()) else { panic!("{name} needs a value of its kind") };
    value
}
