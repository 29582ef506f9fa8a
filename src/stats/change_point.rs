//! Where a series of runs changed its level or shape: E-divisive, hierarchical divisive estimation by the energy
//! statistic with exponent 1.
//!
//! One value per run, such as the mean log latency. Sources: Matteson and James, "A Nonparametric Approach for Multiple
//! Change Point Analysis of Multivariate Data" (arXiv:1306.4933); Székely and Rizzo, "Hierarchical Clustering via Joint
//! Between-Within Distances" (2005).

/// How a series is searched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Search {
    /// Fewest values between two change points, at least 2.
    pub min_size: usize,
    /// Random permutations per test; the smallest p-value is 1 / (permutations + 1).
    pub permutations: usize,
    /// A split with a larger p-value ends the search.
    pub alpha: f64,
}

impl Default for Search {
    fn default() -> Search {
        Search { min_size: 5, permutations: 199, alpha: 0.01 }
    }
}

/// A change between `index - 1` and `index`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChangePoint {
    /// First value of the new state.
    pub index: usize,
    /// Of "no further change in any segment", by permutation within the segments.
    pub p_value: f64,
}

/// The best split of one segment.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Split {
    index: usize,
    energy: f64,
}

/// Finds the change points of `series`, ascending. `below(n)` gives a uniform index under n; the same sequence of answers
/// gives the same result. `None` when a value is not finite or larger than 1e150. Time is O(n²) per permutation, memory O(n).
pub fn change_points(series: &[f64], search: &Search, below: &mut dyn FnMut(usize) -> usize) -> Option<Vec<ChangePoint>> {
    if !series.iter().all(|v| v.abs() <= 1e150) {
        return None;
    }
    let min_size = search.min_size.max(2);
    let mut found: Vec<ChangePoint> = Vec::new();
    let mut bounds = vec![0, series.len()];
    // Segment splits stay valid while other segments are divided.
    let mut splits = vec![best_split(series, min_size)];
    while let Some((segment, best)) = strongest(&splits) {
        let p_value = permutation_p(series, &bounds, best.energy, min_size, search.permutations, below);
        if p_value > search.alpha {
            break;
        }
        let index = bounds[segment] + best.index;
        found.push(ChangePoint { index, p_value });
        splits[segment] = best_split(&series[bounds[segment]..index], min_size);
        splits.insert(segment + 1, best_split(&series[index..bounds[segment + 1]], min_size));
        bounds.insert(segment + 1, index);
    }
    found.sort_by_key(|point| point.index);
    Some(found)
}

fn strongest(splits: &[Option<Split>]) -> Option<(usize, Split)> {
    let found = splits.iter().enumerate().filter_map(|(segment, split)| split.map(|s| (segment, s)));
    found.max_by(|a, b| a.1.energy.total_cmp(&b.1.energy))
}

/// Share of permutations, the series itself counted, whose strongest split is at least as strong.
fn permutation_p(
    series: &[f64],
    bounds: &[usize],
    energy: f64,
    min_size: usize,
    permutations: usize,
    below: &mut dyn FnMut(usize) -> usize,
) -> f64 {
    let mut shuffled = series.to_vec();
    let mut as_strong = 1;
    // A sum taken in another order must still count as equal.
    let bar = energy - energy.abs() * 1e-9;
    for _ in 0..permutations {
        let reached = bounds.windows(2).fold(false, |reached, ends| {
            let segment = &mut shuffled[ends[0]..ends[1]];
            shuffle(segment, below);
            reached || best_split(segment, min_size).is_some_and(|split| split.energy >= bar)
        });
        as_strong += usize::from(reached);
    }
    as_strong as f64 / (permutations + 1) as f64
}

/// Fisher–Yates. An index out of range from `below` is taken modulo.
fn shuffle(values: &mut [f64], below: &mut dyn FnMut(usize) -> usize) {
    for i in (1..values.len()).rev() {
        values.swap(i, below(i + 1) % (i + 1));
    }
}

/// The split with the greatest energy between `x[..t]` and `x[t..k]` over all t and all k, as the paper has it: the end
/// k is free so that a later change does not hide this one. Both parts have at least `min_size` values.
///
/// Distances are summed incrementally: for t going down, `rows[k]` is Σ |x_k − x_j| over j in t..k, and their running sum
/// is the sum within `x[t..=k]`.
fn best_split(x: &[f64], min_size: usize) -> Option<Split> {
    let n = x.len();
    if n < 2 * min_size {
        return None;
    }
    let within_first = prefix_distances(x);
    let mut rows = vec![0.0; n];
    let mut best: Option<Split> = None;
    for t in (min_size..n).rev() {
        let left = within_first[t];
        let mut right = 0.0;
        for k in t + 1..n {
            rows[k] += (x[k] - x[t]).abs();
            right += rows[k];
            let (a, b) = (t as f64, (k + 1 - t) as f64);
            if k + 1 - t < min_size {
                continue;
            }
            let between = within_first[k + 1] - left - right;
            let mean_gap = 2.0 * between / (a * b) - 2.0 * left / (a * (a - 1.0)) - 2.0 * right / (b * (b - 1.0));
            let energy = a * b / (a + b) * mean_gap;
            if best.is_none_or(|split| energy > split.energy) {
                best = Some(Split { index: t, energy });
            }
        }
    }
    // Equal values have no energy and nothing to split.
    best.filter(|split| split.energy > 0.0)
}

/// For every k the sum of |x_i − x_j| over pairs in `x[..k]`.
fn prefix_distances(x: &[f64]) -> Vec<f64> {
    let mut sums = vec![0.0; x.len() + 1];
    for k in 0..x.len() {
        sums[k + 1] = sums[k] + x[..k].iter().map(|v| (x[k] - v).abs()).sum::<f64>();
    }
    sums
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Normal values, sd 1: 12 around 0, 10 around 2.5, 8 around 0.
    const X: [f64; 30] = [
        -0.05, -0.79, -0.63, -1.28, 1.26, -0.15, 0.97, 0.01, -0.69, -0.33, -0.56, 0.01, 2.12, 2.2, 1.12, 1.69, 4.15, 1.83, 1.45, 2.84,
        3.91, 1.05, -0.21, -0.63, -1.76, 0.73, -0.02, 0.07, -0.75, 0.45,
    ];

    fn indices(series: &[f64], search: &Search, seed: u64) -> Vec<usize> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let found = change_points(series, search, &mut |n| rng.random_range(0..n)).unwrap();
        found.iter().map(|point| point.index).collect()
    }

    /// The definition, summed naively with numpy over all t and k: `n*m/(n+m) * (2*mean|a-b| - mean|a-a'| - mean|b-b'|)`, the
    /// latter two over distinct pairs; its maximum is 15.782251082251083 at t = 12, k = 21.
    #[test]
    fn best_split_is_the_definitions() {
        for min_size in [2, 5] {
            let best = best_split(&X, min_size).unwrap();
            assert_eq!(best.index, 12);
            assert!((best.energy - 15.782251082251083).abs() < 1e-9, "{}", best.energy);
        }
    }

    #[test]
    fn a_step_there_and_back_is_two_points() {
        let points = indices(&X, &Search::default(), 1);
        assert_eq!(points.len(), 2);
        assert!(points[0] == 12 && (21..=22).contains(&points[1]), "{points:?}");
    }

    #[test]
    fn the_same_answers_give_the_same_result() {
        assert_eq!(indices(&X, &Search::default(), 5), indices(&X, &Search::default(), 5));
        // A source that never shuffles: every permutation is the series itself, and nothing is surprising.
        assert_eq!(change_points(&X, &Search::default(), &mut |n| n - 1), Some(vec![]));
        // A source that ignores its bound must not panic.
        assert!(change_points(&X, &Search::default(), &mut |_| usize::MAX).is_some());
    }

    #[test]
    fn noise_alone_is_seldom_split() {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let search = Search { alpha: 0.05, permutations: 99, ..Search::default() };
        let mut split = 0;
        for seed in 0..300 {
            let series: Vec<f64> = (0..30).map(|_| (0..12).map(|_| rng.random::<f64>()).sum()).collect();
            split += usize::from(!indices(&series, &search, seed).is_empty());
        }
        // 5 % of 300 is 15, with a standard deviation of 3.8.
        assert!((3..=27).contains(&split), "{split}");
    }

    #[test]
    fn edges_have_no_points() {
        let search = Search::default();
        assert!(indices(&[], &search, 1).is_empty());
        assert!(indices(&[3.0], &search, 1).is_empty());
        assert!(indices(&[3.0; 50], &search, 1).is_empty());
        assert!(indices(&[1.0, 9.0], &Search { min_size: 0, ..search }, 1).is_empty());
        for bad in [f64::NAN, f64::INFINITY, 1e200] {
            assert_eq!(change_points(&[1.0, bad, 2.0], &search, &mut |_| 0), None);
        }
        // A step without noise.
        let mut step = [1.0; 20].to_vec();
        step.extend([2.0; 20]);
        assert_eq!(indices(&step, &search, 1), [20]);
    }
}
