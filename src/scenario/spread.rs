//! Long lists are read by several cores, and stay in order.

/// Fewer items than this are not worth a thread.
const LEAST: usize = 500;

/// What `work` makes of the items, taken in pieces of neighbours that are worked on at the same time. The results are in order.
pub fn spread<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let pieces = (items.len() / LEAST).clamp(1, cores);
    let mut pieces = items.chunks(items.len().div_ceil(pieces).max(1));
    let Some(first) = pieces.next() else { return Vec::new() };
    std::thread::scope(|scope| {
        let others: Vec<_> = pieces.map(|piece| scope.spawn(|| work(piece))).collect();
        let mut results = vec![work(first)];
        results.extend(others.into_iter().map(|thread| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }));
        results
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_taken_once_and_in_order() {
        for n in [0, 1, 499, 1000, 1001, 12_345] {
            let items: Vec<usize> = (0..n).collect();
            let out: Vec<usize> = spread(&items, <[usize]>::to_vec).concat();
            assert_eq!(out, items);
        }
    }
}
