//! Has a distribution moved? Distances between a reference and the present, each with what chance alone would do.
//!
//! Sources: Ramdas, García Trillos, Cuturi, "On Wasserstein Two-Sample Testing" (2017); Yurdakul, "Statistical Properties of
//! Population Stability Index" (2018); Gretton et al., "A Kernel Two-Sample Test" (2012).

use super::history::quantile;
use statrs::distribution::{ChiSquared, ContinuousCDF};

/// Shuffles that a p-value stands on.
pub const SHUFFLES: usize = 999;
/// Bins of the population stability index.
const BINS: usize = 10;

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// Walks the two empirical distribution functions: calls `each` with the width of every step and the difference over it.
fn steps(a: &[f64], b: &[f64], mut each: impl FnMut(f64, f64)) {
    let (a, b) = (sorted(a), sorted(b));
    let (mut i, mut j) = (0, 0);
    let mut all: Vec<f64> = a.iter().chain(&b).copied().collect();
    all.sort_by(f64::total_cmp);
    for pair in all.windows(2) {
        while i < a.len() && a[i] <= pair[0] {
            i += 1;
        }
        while j < b.len() && b[j] <= pair[0] {
            j += 1;
        }
        each(pair[1] - pair[0], i as f64 / a.len() as f64 - j as f64 / b.len() as f64);
    }
}

/// Wasserstein-1 distance: how far mass has to be moved. 0 without values.
pub fn wasserstein(a: &[f64], b: &[f64]) -> f64 {
    let mut sum = 0.0;
    if !a.is_empty() && !b.is_empty() {
        steps(a, b, |width, difference| sum += width * difference.abs());
    }
    sum
}

/// Kolmogorov–Smirnov distance: the largest difference of the distribution functions, 0 to 1.
pub fn kolmogorov_smirnov(a: &[f64], b: &[f64]) -> f64 {
    let mut most = 0.0f64;
    if !a.is_empty() && !b.is_empty() {
        steps(a, b, |width, difference| most = if width > 0.0 { most.max(difference.abs()) } else { most });
    }
    most
}

/// Population stability index over the deciles of the reference, each count half a one larger; and what it stays below in 95 of 100
/// cases when nothing has changed. `None` with fewer than twenty values on a side.
pub fn stability_index(reference: &[f64], present: &[f64]) -> Option<(f64, f64)> {
    if reference.len().min(present.len()) < 20 {
        return None;
    }
    let ordered = sorted(reference);
    let edges: Vec<f64> = (1..BINS).map(|i| quantile(&ordered, i as f64 / BINS as f64)).collect();
    let shares = |values: &[f64]| {
        let mut counts = [0.5; BINS];
        values.iter().for_each(|v| counts[edges.iter().filter(|e| **e < *v).count()] += 1.0);
        counts.map(|c| c / (values.len() as f64 + BINS as f64 / 2.0))
    };
    let (p, q) = (shares(reference), shares(present));
    let index = p.iter().zip(q).map(|(p, q)| (q - p) * (q / p).ln()).sum();
    let spread = 1.0 / reference.len() as f64 + 1.0 / present.len() as f64;
    let critical = ChiSquared::new((BINS - 1) as f64).ok()?.inverse_cdf(0.95) * spread;
    Some((index, critical))
}

/// Squared distances between all points, and their median over pairs, for a kernel.
fn distances(points: &[&[f32]]) -> (Vec<Vec<f64>>, f64) {
    let between = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
    let all: Vec<Vec<f64>> = points.iter().map(|a| points.iter().map(|b| between(a, b)).collect()).collect();
    let pairs: Vec<f64> = (0..points.len()).flat_map(|i| all[i][i + 1..].to_vec()).collect();
    let median = quantile(&sorted(&pairs), 0.5);
    (all, median)
}

/// Unbiased squared maximum mean discrepancy with a Gaussian kernel as wide as the median distance, and its p-value by `shuffle`, which
/// permutes places. `None` with fewer than five points on a side, or when all points are one.
pub fn mean_discrepancy(a: &[&[f32]], b: &[&[f32]], mut shuffle: impl FnMut(&mut [usize])) -> Option<(f64, f64)> {
    if a.len().min(b.len()) < 5 {
        return None;
    }
    let points: Vec<&[f32]> = a.iter().chain(b).copied().collect();
    let (distances, median) = distances(&points);
    if median <= 0.0 {
        return None;
    }
    let kernel: Vec<Vec<f64>> = distances.iter().map(|row| row.iter().map(|d| (-d / median).exp()).collect()).collect();
    let n = a.len();
    let discrepancy = |order: &[usize]| {
        let (x, y) = order.split_at(n);
        let within = |part: &[usize]| {
            let sum: f64 =
                part.iter().flat_map(|i| part.iter().filter(move |j| i != *j).map(move |j| (*i, *j))).map(|(i, j)| kernel[i][j]).sum();
            sum / (part.len() * (part.len() - 1)) as f64
        };
        let across: f64 = x.iter().flat_map(|i| y.iter().map(move |j| (*i, *j))).map(|(i, j)| kernel[i][j]).sum();
        within(x) + within(y) - 2.0 * across / (x.len() * y.len()) as f64
    };
    let mut order: Vec<usize> = (0..points.len()).collect();
    let seen = discrepancy(&order);
    let mut as_far = 0;
    for _ in 0..SHUFFLES {
        shuffle(&mut order);
        as_far += usize::from(discrepancy(&order) >= seen);
    }
    Some((seen, (as_far + 1) as f64 / (SHUFFLES + 1) as f64))
}

/// How rare a distance this large is when the two samples are one, drawn by `shuffle`.
pub fn permutation_p(a: &[f64], b: &[f64], distance: impl Fn(&[f64], &[f64]) -> f64, mut shuffle: impl FnMut(&mut [f64])) -> f64 {
    let seen = distance(a, b);
    let mut all: Vec<f64> = a.iter().chain(b).copied().collect();
    let mut as_far = 0;
    for _ in 0..SHUFFLES {
        shuffle(&mut all);
        let (x, y) = all.split_at(a.len());
        as_far += usize::from(distance(x, y) >= seen - 1e-12);
    }
    (as_far + 1) as f64 / (SHUFFLES + 1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::seq::SliceRandom;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn samples() -> (Vec<f64>, Vec<f64>) {
        let a = (0..60).map(|i| f64::from((i * 37) % 101) / 10.0 + 3.0).collect();
        let b = (0..45).map(|i| f64::from((i * 53) % 97) / 9.0 + 3.5).collect();
        (a, b)
    }

    /// Values of scipy 1.16 and numpy for the same samples.
    #[test]
    fn distances_are_those_of_scipy() {
        let (a, b) = samples();
        assert!((wasserstein(&a, &b) - 0.565_617_283_950_617_3).abs() < 1e-12);
        assert!((kolmogorov_smirnov(&a, &b) - 0.111_111_111_111_111_1).abs() < 1e-12);
        let (index, critical) = stability_index(&a, &b).unwrap();
        assert!((index - 0.046_525_920_625_021_3).abs() < 1e-12, "{index}");
        assert!((critical - 0.657_960_240_179_684_1).abs() < 1e-9);
        let points = |n: usize, f: &dyn Fn(usize, usize) -> f64| -> Vec<Vec<f32>> {
            (0..n).map(|i| (0..4).map(|j| f(i, j) as f32).collect()).collect()
        };
        let x = points(8, &|i, j| ((i * 7 + j * 3) % 11) as f64 / 11.0);
        let y = points(6, &|i, j| ((i * 5 + j * 2) % 13) as f64 / 13.0 + 0.3);
        let slices = |v: &'static Vec<Vec<f32>>| v.iter().map(Vec::as_slice).collect::<Vec<_>>();
        let (x, y) = (slices(Box::leak(Box::new(x))), slices(Box::leak(Box::new(y))));
        let (seen, _) = mean_discrepancy(&x, &y, |_| {}).unwrap();
        assert!((seen - 0.163_576_562_697_677_22).abs() < 1e-6, "{seen}");
    }

    #[test]
    fn chance_alone_is_rarely_a_drift() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let (mut by_distance, mut by_index) = (0, 0);
        for _ in 0..60 {
            let mut draw = |n: usize| (0..n).map(|_| (0..6).map(|_| rng.random::<f64>()).sum::<f64>()).collect::<Vec<f64>>();
            let (a, b) = (draw(60), draw(60));
            let mut order = ChaCha8Rng::seed_from_u64(1);
            by_distance += usize::from(permutation_p(&a, &b, wasserstein, |v| v.shuffle(&mut order)) < 0.01);
            by_index += usize::from(stability_index(&a, &b).is_some_and(|(index, critical)| index > critical.max(0.1)));
        }
        assert!(by_distance <= 3 && by_index <= 9, "{by_distance} {by_index}");
        let (a, _) = samples();
        let moved: Vec<f64> = a.iter().map(|v| v + 2.5).collect();
        let mut order = ChaCha8Rng::seed_from_u64(1);
        assert!(permutation_p(&a, &moved, wasserstein, |v| v.shuffle(&mut order)) < 0.01);
        assert!((wasserstein(&a, &moved) - 2.5).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_no_distance() {
        assert_eq!((wasserstein(&[], &[1.0]), kolmogorov_smirnov(&[], &[])), (0.0, 0.0));
        assert_eq!(stability_index(&[1.0], &[1.0]), None);
    }
}
