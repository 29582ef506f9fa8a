//! Distributions of the requests of one span, and the figures they give.

use super::histogram::Histogram;
use super::sample::Sample;
use super::tally::Setup;
use crate::record::load::{Counts, Figures, InputFigures};
use std::time::Duration;

#[derive(Debug, Clone, Default)]
struct OfInput {
    ok: u64,
    failed: u64,
    e2e: Histogram,
    ttft: Histogram,
}

/// Distributions of the requests of one span.
#[derive(Debug, Clone, Default)]
pub struct Set {
    pub counts: Counts,
    ttft: Histogram,
    ttft_sched: Histogram,
    ttfo: Histogram,
    ttfb: Histogram,
    tpot: Histogram,
    icl: Histogram,
    max_gap: Histogram,
    e2e: Histogram,
    e2e_sched: Histogram,
    tail_lag: Histogram,
    connect: Histogram,
    decode_rate: Histogram,
    req_rate: Histogram,
    pub tokens_in: Histogram,
    pub tokens_out: Histogram,
    chars_in: Histogram,
    chars_out: Histogram,
    stalls: u64,
    chunks: u64,
    coalesced: u64,
    counted: u64,
    cached: Option<u64>,
    inputs: Vec<OfInput>,
}

pub fn us(duration: Duration) -> u64 {
    duration.as_micros() as u64
}

pub fn median(values: &[u32]) -> u32 {
    // Enough for a threshold: of long answers a part serves.
    let mut some: Vec<u32> = values.iter().copied().step_by((values.len() / 64).max(1)).collect();
    let middle = some.len() / 2;
    if some.is_empty() { 0 } else { *some.select_nth_unstable(middle).1 }
}

impl Set {
    /// Empty, for a mix of so many inputs.
    pub fn of(inputs: usize) -> Set {
        Set { inputs: vec![OfInput::default(); inputs], ..Set::default() }
    }

    /// Tokens of the complete answers.
    pub fn tokens(&self) -> f64 {
        self.tokens_out.mean().unwrap_or(0.0) * self.tokens_out.len() as f64
    }

    /// `scheduled` is counted by the caller.
    pub fn add(&mut self, sample: &Sample, good: bool, gaps: &[u32], median_gap: u32) {
        let input = self.inputs.get_mut(sample.input);
        if sample.failed.is_some() {
            self.counts.failed += 1;
            input.into_iter().for_each(|i| i.failed += 1);
            return;
        }
        self.counts.ok += 1;
        self.counts.good += u64::from(good);
        let late = us(sample.sent.saturating_duration_since(sample.scheduled));
        let end = sample.end.map(us);
        if let Some(ttft) = sample.ttft() {
            self.ttft.record(ttft);
            self.ttft_sched.record(ttft + late);
        }
        sample.ttfo.into_iter().for_each(|v| self.ttfo.record(us(v)));
        sample.ttfb.into_iter().for_each(|v| self.ttfb.record(us(v)));
        sample.connect.into_iter().for_each(|v| self.connect.record(us(v)));
        if let Some(tpot) = sample.tpot() {
            // Nanoseconds, so that fast models keep their digits.
            self.tpot.record((tpot * 1e3).round() as u64);
            if tpot > 0.0 {
                self.decode_rate.record((1e9 / tpot).round() as u64);
            }
        }
        let mut largest = 0;
        for gap in gaps {
            self.icl.record(u64::from(*gap));
            largest = largest.max(*gap);
            self.stalls += u64::from(*gap > 1_000_000 && u64::from(*gap) > 10 * u64::from(median_gap));
        }
        if !gaps.is_empty() {
            self.max_gap.record(u64::from(largest));
        }
        if let Some(end) = end {
            self.e2e.record(end);
            self.e2e_sched.record(end + late);
            self.tail_lag.record(us(sample.done).saturating_sub(end));
            if end > 0 {
                self.req_rate.record((sample.tokens_out() as f64 / (end as f64 / 1e6) * 1e3).round() as u64);
            }
        }
        sample.prompt_tokens.into_iter().for_each(|v| self.tokens_in.record(v));
        self.tokens_out.record(sample.tokens_out());
        self.chars_in.record(u64::from(sample.chars_in));
        self.chars_out.record(u64::from(sample.chars_out));
        self.counted += u64::from(sample.completion_tokens.is_some());
        self.chunks += sample.chunks.len() as u64;
        self.coalesced += u64::from(sample.coalesced);
        if let Some(cached) = sample.cached_tokens {
            *self.cached.get_or_insert(0) += cached;
        }
        if let Some(input) = input {
            input.ok += 1;
            end.into_iter().for_each(|v| input.e2e.record(v));
            sample.ttft().into_iter().for_each(|v| input.ttft.record(v));
        }
    }

    pub fn figures(&mut self, setup: &Setup) -> Figures {
        let lost = self.counts.failed + self.counts.cancelled + self.counts.dropped;
        let ms = 1e3;
        let all = |h: &mut Histogram| h.mean().map_or(0.0, |m| m * h.len() as f64);
        let (tokens_in, tokens_out) = (all(&mut self.tokens_in), all(&mut self.tokens_out));
        let inputs = self.inputs.iter_mut().zip(&setup.inputs).filter(|_| setup.inputs.len() > 1).map(|(i, name)| InputFigures {
            name: name.clone(),
            ok: i.ok,
            failed: i.failed,
            e2e: i.e2e.dist(ms, i.failed),
            ttft: i.ttft.dist(ms, i.failed),
        });
        let inputs = inputs.collect();
        let largest = |values: &mut dyn Iterator<Item = Option<f64>>| values.flatten().reduce(f64::max);
        Figures {
            ttft: self.ttft.dist_with_sample(ms, lost),
            ttft_sched: self.ttft_sched.dist(ms, lost),
            ttfo: self.ttfo.dist(ms, lost),
            ttfb: self.ttfb.dist(ms, lost),
            tpot: self.tpot.dist_with_sample(1e6, lost),
            icl: self.icl.dist(ms, 0),
            itl: self.icl.dist(ms, 0).filter(|_| self.counted == self.counts.ok && tokens_out <= self.chunks as f64 * 1.05),
            max_gap: self.max_gap.dist(ms, lost),
            e2e: self.e2e.dist_with_sample(ms, lost),
            e2e_sched: self.e2e_sched.dist(ms, lost),
            tail_lag: self.tail_lag.dist(ms, 0),
            connect: self.connect.dist(ms, 0),
            decode_rate: self.decode_rate.dist(1e3, 0),
            req_rate: self.req_rate.dist(1e3, 0),
            tokens_in: self.tokens_in.dist(1.0, 0),
            tokens_out: self.tokens_out.dist(1.0, 0),
            chars_in: self.chars_in.dist(1.0, 0),
            chars_out: self.chars_out.dist(1.0, 0),
            variation_e2e: largest(&mut self.inputs.iter().map(|i| i.e2e.variation())),
            variation_ttft: largest(&mut self.inputs.iter().map(|i| i.ttft.variation())),
            stalls: self.stalls,
            tokens_per_chunk: (self.chunks > 0).then(|| tokens_out / self.chunks as f64),
            coalesced: if self.chunks == 0 { 0.0 } else { self.coalesced as f64 / self.chunks as f64 },
            cached: self.cached.filter(|_| tokens_in > 0.0).map(|c| c as f64 / tokens_in),
            tokens_from: if self.counted == self.counts.ok { "usage".into() } else { "chunks".into() },
            cost_per_million: setup.price.filter(|_| tokens_out > 0.0).map(|p| (tokens_in * p.input + tokens_out * p.output) / tokens_out),
            inputs,
            ..Figures::default()
        }
    }
}
