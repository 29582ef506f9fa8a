//! What is seen while a load runs: a dashboard on a terminal, a line every ten seconds elsewhere.

use crate::cli::output::talk;
use crate::drive::Beat;
use crate::load::judge::show_value;
use crate::load::show_ms;
use crate::record::load::{Level, Series};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::VecDeque;
use std::io::IsTerminal;

/// Moments that a sparkline shows.
const WIDTH: usize = 48;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A line of blocks, the highest value the highest block.
fn spark(values: &VecDeque<f64>) -> String {
    let most = values.iter().copied().fold(0.0, f64::max);
    let bar = |v: &f64| if most <= 0.0 { BARS[0] } else { BARS[((v / most * 7.0).round() as usize).min(7)] };
    values.iter().map(bar).collect()
}

/// One row of the dashboard.
struct Row {
    name: String,
    values: VecDeque<f64>,
    line: ProgressBar,
}

enum Mode {
    Quiet,
    Lines { last_s: f64 },
    Dashboard { all: MultiProgress, head: ProgressBar, rows: Vec<Row> },
}

/// The view of one load.
pub(super) struct Live {
    mode: Mode,
    unit: &'static str,
    target: f64,
    before: (u64, u64),
}

impl Live {
    pub(super) fn start(name: &str, quiet: bool, unit: &'static str) -> Live {
        let watched = std::io::stderr().is_terminal() && std::env::var_os("CI").is_none();
        let mode = if quiet {
            Mode::Quiet
        } else if watched {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(4));
            let head = all.add(line());
            head.set_message(name.to_owned());
            Mode::Dashboard { all, head, rows: Vec::new() }
        } else {
            Mode::Lines { last_s: 0.0 }
        };
        Live { mode, unit, target: 0.0, before: (0, 0) }
    }

    pub(super) fn level(&mut self, target: f64) {
        self.target = target;
    }

    /// Something worth a line of its own.
    pub(super) fn say(&self, text: &str) {
        match &self.mode {
            Mode::Quiet => {}
            Mode::Lines { .. } => talk(text),
            Mode::Dashboard { all, .. } => {
                let _ = all.println(text);
            }
        }
    }

    pub(super) fn finished(&self, level: &Level) {
        let f = &level.figures;
        let p95 = |d: &Option<crate::record::load::Dist>| d.as_ref().map_or("–".into(), |d| show_ms(d.p95));
        let borne = match level.stable {
            Some(true) => "borne; ",
            Some(false) => "not borne; ",
            None => "",
        };
        let why = if level.stable == Some(false) { format!(" ({})", level.why) } else { String::new() };
        self.say(&format!(
            "{} {}: {borne}{} ok, {} failed, {:.2} answers/s, {:.1} tokens/s, ttft p95 {}, e2e p95 {}{why}",
            level.target,
            self.unit,
            level.counts.ok,
            level.counts.scheduled - level.counts.ok,
            f.rps_ok,
            f.output_tps,
            p95(&f.ttft),
            p95(&f.e2e)
        ));
    }

    pub(super) fn beat(&mut self, beat: &Beat, series: &[Series]) {
        let tick = &beat.tick;
        let ms = |v: Option<f64>| v.map_or("–".into(), show_ms);
        let t = beat.t_s;
        let head = format!(
            "{:.0}:{:02.0}  {} {}  {} in flight  {} ok  {} failed",
            (t / 60.0).floor(),
            t % 60.0,
            self.target,
            self.unit,
            beat.in_flight,
            beat.ok,
            beat.failed
        );
        let failed = beat.failed - self.before.1.min(beat.failed);
        self.before = (beat.ok, beat.failed);
        match &mut self.mode {
            Mode::Quiet => {}
            Mode::Lines { last_s } => {
                if t - *last_s >= 9.5 {
                    *last_s = t;
                    talk(&format!(
                        "{head}  {:.1} tokens/s  ttft p50 {} p95 {}  e2e p95 {}",
                        tick.tps,
                        ms(tick.ttft_p50),
                        ms(tick.ttft_p95),
                        ms(tick.e2e_p95)
                    ));
                }
            }
            Mode::Dashboard { all, head: line, rows } => {
                line.set_message(head);
                let mut show = |name: &str, value: Option<f64>, text: String| {
                    let place = rows.iter().position(|r| r.name == name).unwrap_or_else(|| {
                        rows.push(Row { name: name.to_owned(), values: VecDeque::new(), line: all.add(self::line()) });
                        rows.len() - 1
                    });
                    let row = &mut rows[place];
                    row.values.push_back(value.unwrap_or(0.0));
                    if row.values.len() > WIDTH {
                        row.values.pop_front();
                    }
                    // The number first: a narrow terminal cuts the end.
                    row.line.set_message(format!("{name:<12} {text:<30} {}", spark(&row.values)));
                };
                let answers = tick.ok as f64 / beat.tick_s.max(1.0);
                show("answers/s", Some(answers), format!("{answers:.0}"));
                show("tokens/s", Some(tick.tps), format!("{:.0}", tick.tps));
                show("ttft", tick.ttft_p50, format!("p50 {}  p95 {}", ms(tick.ttft_p50), ms(tick.ttft_p95)));
                show("e2e", tick.e2e_p50, format!("p50 {}  p95 {}", ms(tick.e2e_p50), ms(tick.e2e_p95)));
                show("in flight", Some(beat.in_flight as f64), beat.in_flight.to_string());
                show("failed/s", Some(failed as f64), failed.to_string());
                let wanted = ["cpu", "memory", "gpu_util/0", "gpu_memory/0", "running", "waiting", "kv_usage"];
                for one in series.iter().filter(|s| wanted.contains(&s.name.as_str())).take(5) {
                    let last = one.points.last().map(|p| p.1);
                    show(&one.name, last, last.map_or_else(String::new, |v| show_value(v, &one.unit)));
                }
            }
        }
    }

    pub(super) fn end(self) {
        if let Mode::Dashboard { all, head, rows } = self.mode {
            rows.iter().for_each(|r| r.line.finish_and_clear());
            head.finish_and_clear();
            let _ = all.clear();
        }
    }
}

fn line() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparklines_reach_from_low_to_high() {
        assert_eq!(spark(&VecDeque::from([0.0, 5.0, 10.0])), "▁▅█");
        assert_eq!(spark(&VecDeque::from([0.0, 0.0])), "▁▁");
    }
}
