//! Latencies in buckets that are 1.6 % wide: 64 to each doubling.

/// Counts of microseconds.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, micros: u64) {
        let at = bucket(micros);
        if self.buckets.len() <= at {
            self.buckets.resize(at + 1, 0);
        }
        if let Some(found) = self.buckets.get_mut(at) {
            *found += 1;
        }
        self.count += 1;
        self.max = self.max.max(micros);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Below which this share lies, microseconds: the upper end of its bucket.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted.max(1) {
                return upper(at).min(self.max);
            }
        }
        self.max
    }

    pub(crate) fn max(&self) -> u64 {
        self.max
    }
}

fn bucket(micros: u64) -> usize {
    if micros < 64 {
        return micros as usize;
    }
    let doubling = u64::from(micros.ilog2()) - 6;
    ((doubling << 6) + (micros >> doubling)) as usize
}

fn upper(at: usize) -> u64 {
    let at = at as u64;
    if at < 128 {
        return at;
    }
    let doubling = (at >> 6) - 1;
    ((((at & 63) | 64) + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_less_than_two_percent_off() {
        let mut histogram = Histogram::default();
        (1..=100_000).for_each(|micros| histogram.add(micros));
        for (share, exact) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0)] {
            let found = histogram.quantile(share) as f64;
            assert!((found / exact - 1.0).abs() < 0.02, "{share}: {found}");
        }
        assert_eq!(histogram.quantile(1.0), 100_000);
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for micros in 0..200_000 {
            let at = bucket(micros);
            assert!(
                micros <= upper(at) && (at == 0 || micros > upper(at - 1)),
                "{micros}"
            );
        }
    }
}
