//! Adds up finished requests: a set of distributions for the whole level and one for its steady window, the time series, errors.

use super::errors::{Errors, SATURATED, Standing};
use super::histogram::Histogram;
use super::sample::Sample;
use super::set::{Set, median, us};
use super::timeline::{Timeline, variation_qps};
use super::{Objective, Price};
use crate::exchange::FailureKind;
use crate::record::load::Level;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A request in flight.
#[derive(Debug, Clone, Copy)]
pub struct Ticket {
    /// Which steady span it started in.
    span: Option<usize>,
    pub seq: u64,
    level: usize,
}

/// What is counted.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// Names of the inputs of the mix.
    pub inputs: Vec<String>,
    pub objective: Objective,
    pub price: Option<Price>,
    /// Poisson arrivals: their own variation is taken out of that of the completions.
    pub poisson: bool,
    /// Figures of periods are wanted, too.
    pub periods: bool,
}

/// A span of steady load; its set is dropped when a longer one is known.
#[derive(Debug)]
struct Span {
    from: Instant,
    to: Option<Instant>,
    set: Option<Box<Set>>,
}

/// The client's own share: how late requests were taken up.
#[derive(Debug, Default)]
pub struct Client {
    pub lag: Histogram,
    pub opened: u64,
    pub reused: u64,
    /// Requests sent again because the connection kept for them had been closed.
    pub resent: u64,
}

#[derive(Debug)]
pub struct Tally {
    setup: Setup,
    start: Instant,
    pub timeline: Timeline,
    pub errors: Errors,
    pub client: Client,
    pub in_flight: u64,
    changed: Instant,
    seq: u64,
    levels: usize,
    target: f64,
    level_from: Instant,
    whole: Set,
    kinds: BTreeMap<String, u64>,
    spans: Vec<Span>,
    /// Requests whose start was asked for.
    pub scheduled: u64,
    /// Since when, and what, for the figures of a soak's periods.
    period: Option<(Instant, Box<Set>)>,
    /// Values since the last interval of the log.
    pub interval: Option<Interval>,
    gaps: Vec<u32>,
}

/// Distributions of one interval of the HDR log.
#[derive(Debug, Default)]
pub struct Interval {
    pub ttft: Histogram,
    pub e2e: Histogram,
    pub tpot: Histogram,
}

impl Tally {
    pub fn new(setup: Setup, start: Instant) -> Tally {
        Tally {
            setup,
            start,
            timeline: Timeline::default(),
            errors: Errors::default(),
            client: Client::default(),
            in_flight: 0,
            changed: start,
            seq: 0,
            levels: 0,
            target: 0.0,
            level_from: start,
            whole: Set::default(),
            kinds: BTreeMap::new(),
            spans: Vec::new(),
            scheduled: 0,
            period: None,
            interval: None,
            gaps: Vec::new(),
        }
    }

    fn since(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.start).as_secs_f64()
    }

    pub fn begin_level(&mut self, target: f64, at: Instant) {
        self.levels += 1;
        self.target = target;
        self.level_from = at;
        self.whole = Set::of(self.setup.inputs.len());
        self.kinds.clear();
        self.spans.clear();
        self.scheduled = 0;
        self.period = self.setup.periods.then(|| (at, Box::new(self.whole.clone())));
    }

    /// Figures since the last period, which begins anew.
    pub fn end_period(&mut self, now: Instant) -> Option<Level> {
        let empty = Set::of(self.setup.inputs.len());
        let (from, mut set) = self.period.replace((now, Box::new(empty)))?;
        let (from_s, to_s) = (self.since(from), self.since(now));
        let mut figures = set.figures(&self.setup);
        let length = (to_s - from_s).max(1e-9);
        let bins = self.timeline.within(from_s, to_s);
        figures.rps_ok = set.counts.ok as f64 / length;
        figures.output_tps = match bins.len() {
            0 => set.tokens() / length,
            n => bins.iter().map(|b| b.tokens).sum::<f64>() / (n as f64 * self.timeline.width_s),
        };
        let (variation, bin_s) = variation_qps(&self.timeline, from_s, to_s);
        figures.variation_qps = variation;
        figures.qps_bin_s = bin_s;
        Some(Level { target: self.target, started_s: from_s, ended_s: to_s, counts: set.counts, figures, ..Level::default() })
    }

    fn settle(&mut self, at: Instant) {
        if self.in_flight > 0 {
            let (from, to) = (self.since(self.changed), self.since(at));
            self.timeline.busy(from, to, self.in_flight);
        }
        self.changed = self.changed.max(at);
    }

    /// Mean number of requests in flight over the last second or so.
    pub fn lately(&mut self, now: Instant) -> f64 {
        self.settle(now);
        let place = ((self.since(now) / self.timeline.width_s) as usize).saturating_sub(1);
        self.timeline.bins.get(place).map_or(0.0, |b| b.area / self.timeline.width_s)
    }

    /// A request is about to be sent.
    pub fn begin(&mut self, at: Instant) -> Ticket {
        self.settle(at);
        self.in_flight += 1;
        self.seq += 1;
        self.whole.counts.scheduled += 1;
        let t = self.since(at);
        self.timeline.at(t).started += 1;
        let span = self.spans.len().checked_sub(1).filter(|last| self.spans[*last].to.is_none());
        Ticket { span, seq: self.seq, level: self.levels }
    }

    /// A request that the schedule asked for was not sent.
    pub fn drop_one(&mut self, at: Instant) {
        let t = self.since(at);
        let bin = self.timeline.at(t);
        bin.failed += 1;
        self.whole.counts.scheduled += 1;
        self.whole.counts.dropped += 1;
        if let Some(set) = self.spans.last_mut().filter(|s| s.to.is_none()).and_then(|s| s.set.as_mut()) {
            set.counts.dropped += 1;
        }
        if let Some((_, set)) = &mut self.period {
            set.counts.scheduled += 1;
            set.counts.dropped += 1;
        }
        let failed = super::sample::Failed {
            kind: FailureKind::ClientSaturation,
            status: None,
            excerpt: format!("{} requests were in flight already", self.in_flight),
            request_id: None,
        };
        let standing = Standing { at, start: self.start, seq: self.seq, level: self.target, in_flight: self.in_flight };
        let kind = self.errors.add(&failed, &standing);
        debug_assert_eq!(kind, SATURATED);
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// A request was still running when the drain ended.
    pub fn cancel(&mut self, at: Instant, ticket: Ticket) {
        self.settle(at);
        self.in_flight = self.in_flight.saturating_sub(1);
        if ticket.level == self.levels {
            self.whole.counts.cancelled += 1;
            if let Some(set) = ticket.span.and_then(|s| self.spans.get_mut(s)).and_then(|s| s.set.as_mut()) {
                set.counts.cancelled += 1;
            }
            if let Some((_, set)) = &mut self.period {
                set.counts.scheduled += 1;
                set.counts.cancelled += 1;
            }
        }
    }

    /// A request has ended.
    pub fn finish(&mut self, sample: &Sample, ticket: Ticket) {
        let at = sample.sent + sample.done;
        self.settle(at);
        self.in_flight = self.in_flight.saturating_sub(1);
        let sent_s = self.since(sample.sent);
        let ok = sample.failed.is_none();
        self.client.lag.record(us(sample.taken.saturating_duration_since(sample.scheduled)));
        match sample.connect {
            Some(_) => self.client.opened += 1,
            None => self.client.reused += 1,
        }
        self.client.resent += u64::from(sample.resent);
        // Tokens are credited to the moments at which they arrived.
        let tokens = sample.tokens_out() as f64;
        let per_chunk = if sample.chunks.is_empty() { 0.0 } else { tokens / sample.chunks.len() as f64 };
        for chunk in &sample.chunks {
            let bin = self.timeline.at(sent_s + f64::from(*chunk) / 1e6);
            if ok { bin.tokens += per_chunk } else { bin.wasted += per_chunk }
        }
        if sample.chunks.is_empty() && tokens > 0.0 {
            let bin = self.timeline.at(sent_s + sample.done.as_secs_f64());
            if ok { bin.tokens += tokens } else { bin.wasted += tokens }
        }
        let end_s = self.since(at);
        let bin = self.timeline.at(end_s);
        if ok {
            bin.ok += 1;
            if let Some(ttft) = sample.ttft() {
                bin.ttft.record(ttft);
            }
            if let Some(end) = sample.end {
                bin.e2e.record(us(end));
            }
            if let Some(tpot) = sample.tpot() {
                bin.tpot.record(tpot.round() as u64);
            }
            if let Some(interval) = &mut self.interval {
                sample.ttft().into_iter().for_each(|v| interval.ttft.record(v));
                sample.end.into_iter().for_each(|v| interval.e2e.record(us(v)));
                sample.tpot().into_iter().for_each(|v| interval.tpot.record(v.round() as u64));
            }
        } else {
            bin.failed += 1;
        }
        if let Some(failed) = &sample.failed {
            let standing = Standing { at, start: self.start, seq: ticket.seq, level: self.target, in_flight: self.in_flight + 1 };
            let kind = self.errors.add(failed, &standing);
            if ticket.level == self.levels {
                *self.kinds.entry(kind).or_default() += 1;
            }
        }
        if ticket.level != self.levels {
            return;
        }
        let good = ok && self.setup.objective.met_by(sample);
        self.gaps.clear();
        self.gaps.extend(sample.chunks.windows(2).map(|w| w[1].saturating_sub(w[0])));
        let median = median(&self.gaps);
        self.whole.add(sample, good, &self.gaps, median);
        if let Some((_, set)) = &mut self.period {
            set.counts.scheduled += 1;
            set.add(sample, good, &self.gaps, median);
        }
        if let Some(set) = ticket.span.and_then(|s| self.spans.get_mut(s)).and_then(|s| s.set.as_mut()) {
            set.counts.scheduled += 1;
            set.add(sample, good, &self.gaps, median);
        }
    }

    /// Whether the load is steady from now on. Spans of steady load open and close with this.
    pub fn steady(&mut self, at: Instant, steady: bool) {
        let open = self.spans.last().is_some_and(|s| s.to.is_none());
        if steady && !open {
            let set = Set::of(self.setup.inputs.len());
            self.spans.push(Span { from: at, to: None, set: Some(Box::new(set)) });
        } else if !steady && open {
            if let Some(last) = self.spans.last_mut() {
                last.to = Some(at);
            }
            // Only the longest closed span is kept.
            if let Some(longest) = self.longest() {
                self.spans.iter_mut().enumerate().filter(|(i, _)| *i != longest).for_each(|(_, s)| s.set = None);
            }
        }
    }

    fn longest(&self) -> Option<usize> {
        let length = |s: &Span| s.to.map_or(Duration::ZERO, |to| to.saturating_duration_since(s.from));
        (0..self.spans.len()).filter(|i| self.spans[*i].set.is_some()).max_by_key(|i| length(&self.spans[*i]))
    }

    /// Figures of the level so far, or of the whole when it has ended: `to` is when no more requests were started, `now` the end of the drain.
    pub fn level(&mut self, to: Instant, now: Instant) -> Level {
        let (from_s, to_s, now_s) = (self.since(self.level_from), self.since(to), self.since(now));
        let longest = self.longest().filter(|i| self.spans[*i].to.is_some());
        let window = longest.map(|i| (self.since(self.spans[i].from), self.spans[i].to.map_or(to_s, |t| self.since(t))));
        let (a, b) = window.unwrap_or((from_s, to_s));
        let all = |h: &Histogram| (h.mean().unwrap_or(0.0) * h.len() as f64).round() as u64;
        let totals = (all(&self.whole.tokens_in), all(&self.whole.tokens_out));
        let mut spans = std::mem::take(&mut self.spans);
        let set = longest.and_then(|i| spans[i].set.as_mut()).map_or(&mut self.whole, |s| &mut **s);
        let mut figures = set.figures(&self.setup);
        let good = if set.counts.ok == 0 { 0.0 } else { set.counts.good as f64 / set.counts.ok as f64 };
        self.spans = spans;
        (figures.total_tokens_in, figures.total_tokens_out) = totals;
        let bins = self.timeline.within(a, b);
        let sum = |f: &dyn Fn(&super::timeline::Bin) -> f64| bins.iter().map(f).sum::<f64>();
        let covered = (bins.len() as f64 * self.timeline.width_s).max(1e-9);
        let counts = self.whole.counts;
        if bins.is_empty() {
            // The window holds no whole second: what is known is of the whole level.
            let length = (to_s - from_s).max(1e-9);
            figures.output_tps = figures.total_tokens_out as f64 / length;
            figures.rps_ok = counts.ok as f64 / length;
            figures.offered_rps = counts.scheduled as f64 / length;
        } else {
            figures.output_tps = sum(&|b| b.tokens) / covered;
            figures.wasted_tps = sum(&|b| b.wasted) / covered;
            figures.rps_ok = sum(&|b| b.ok as f64) / covered;
            figures.offered_rps = sum(&|b| b.started as f64) / covered;
        }
        figures.output_tps_total = totals.1 as f64 / (now_s - from_s).max(1e-9);
        let sent = counts.scheduled - counts.dropped;
        let asked = self.scheduled.max(counts.scheduled);
        figures.achieved = if asked == 0 { 1.0 } else { sent as f64 / asked as f64 };
        figures.slo_attainment = if counts.scheduled == 0 { 0.0 } else { counts.good as f64 / counts.scheduled as f64 };
        figures.goodput = figures.rps_ok * good;
        let (variation, bin_s) = variation_qps(&self.timeline, a, b);
        figures.variation_qps = variation.map(|v| match self.setup.poisson && figures.rps_ok > 0.0 {
            true => (v * v - 1.0 / (figures.rps_ok * bin_s)).max(0.0).sqrt(),
            false => v,
        });
        figures.qps_bin_s = bin_s;
        Level {
            target: self.target,
            started_s: from_s,
            ended_s: to_s,
            window_s: window,
            counts,
            errors: self.kinds.clone(),
            figures,
            ..Level::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::sample::Failed;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    fn request(start: Instant, sent_ms: u64, tokens: u64) -> Sample {
        let mut s = Sample::new(0, at(start, sent_ms), at(start, sent_ms));
        s.chunks = (0..tokens as u32).map(|i| 100_000 + i * 20_000).collect();
        let last = u64::from(*s.chunks.last().unwrap_or(&0));
        s.end = Some(Duration::from_micros(last));
        s.done = Duration::from_micros(last + 1000);
        s.completion_tokens = Some(tokens);
        s
    }

    fn tally(start: Instant) -> Tally {
        let mut tally = Tally::new(Setup { inputs: vec!["a".into()], ..Setup::default() }, start);
        tally.begin_level(2.0, start);
        tally
    }

    #[test]
    fn figures_follow_the_definitions() {
        let start = Instant::now();
        let mut tally = tally(start);
        for i in 0..10 {
            let ticket = tally.begin(at(start, i * 1000));
            tally.finish(&request(start, i * 1000, 11), ticket);
        }
        let level = tally.level(at(start, 10_000), at(start, 10_000));
        let f = &level.figures;
        assert!(level.counts.balances() && level.counts.ok == 10);
        assert_eq!(f.ttft.as_ref().unwrap().p50, 100.0);
        assert_eq!(f.tpot.as_ref().unwrap().mean, 20.0);
        assert_eq!(f.e2e.as_ref().unwrap().p99, 300.0);
        assert_eq!(f.decode_rate.as_ref().unwrap().p50, 50.0);
        assert!((f.output_tps - 11.0).abs() < 0.01, "{}", f.output_tps);
        assert_eq!(f.total_tokens_out, 110);
        assert_eq!(f.variation_e2e, Some(0.0));
    }

    #[test]
    fn only_requests_that_start_in_the_window_count_for_it() {
        let start = Instant::now();
        let mut tally = tally(start);
        let early = tally.begin(at(start, 0));
        tally.steady(at(start, 1000), true);
        let inside = tally.begin(at(start, 1500));
        tally.finish(&request(start, 0, 50), early);
        tally.steady(at(start, 3000), false);
        let late = tally.begin(at(start, 3500));
        tally.finish(&request(start, 1500, 2), inside);
        tally.finish(&request(start, 3500, 3), late);
        let level = tally.level(at(start, 4000), at(start, 5000));
        assert_eq!(level.window_s, Some((1.0, 3.0)));
        assert_eq!(level.figures.e2e.as_ref().unwrap().n, 1);
        assert_eq!(level.counts.ok, 3);
        // Tokens of the early request that arrived between 1 s and 3 s count for the window's throughput.
        assert!((level.figures.output_tps - (5.0 + 2.0) / 2.0).abs() < 0.51, "{}", level.figures.output_tps);
    }

    #[test]
    fn the_accounts_balance_whatever_happens() {
        let start = Instant::now();
        let mut tally = tally(start);
        let (a, b, c) = (tally.begin(start), tally.begin(start), tally.begin(start));
        tally.finish(&request(start, 0, 3), a);
        let mut bad = request(start, 0, 2);
        bad.failed = Some(Failed { kind: FailureKind::StreamTruncated, status: Some(200), excerpt: String::new(), request_id: None });
        tally.finish(&bad, b);
        tally.cancel(at(start, 500), c);
        tally.drop_one(at(start, 600));
        let level = tally.level(at(start, 1000), at(start, 1000));
        assert!(level.counts.balances(), "{:?}", level.counts);
        assert_eq!((level.counts.error_rate(), tally.in_flight), (0.75, 0));
        assert_eq!(level.figures.e2e.as_ref().unwrap().p50_pen, None);
        assert_eq!(level.errors.keys().collect::<Vec<_>>(), ["client_saturation", "stream_truncated"]);
    }
}
