//! All chance of a run, from its seed.

use std::fmt;
use std::ops::RangeBounds;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A stream of random numbers. Clones share it.
///
/// Each part of a run has a stream of its own, so that one part drawing more numbers changes no
/// other part.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<fastrand::Rng>>);

impl Chance {
    /// The stream with this name of a run.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        // FNV-1a (datatracker.ietf.org/doc/html/draft-eastlake-fnv).
        let mixed = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |mixed, byte| {
            (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(mixed))))
    }

    /// Whether something happens that happens so many times in a thousand.
    pub fn happens(&self, per_mille: u32) -> bool {
        self.rng().u32(..1_000) < per_mille
    }

    /// A number in a range.
    pub fn number(&self, range: impl RangeBounds<u64>) -> u64 {
        self.rng().u64(range)
    }

    /// An entry of a list that is not empty.
    ///
    /// # Panics
    /// If the list is empty.
    pub fn pick<'a, T>(&self, list: &'a [T]) -> &'a T {
        let place = self.rng().usize(..list.len());
        &list[place]
    }

    /// An entry, in proportion to its weight.
    ///
    /// # Panics
    /// If all weights are zero.
    pub fn weighted<'a, T>(&self, list: &'a [(u32, T)]) -> &'a T {
        let total: u32 = list.iter().map(|(weight, _)| weight).sum();
        let mut drawn = self.rng().u32(..total);
        for (weight, entry) in list {
            match drawn.checked_sub(*weight) {
                Some(left) => drawn = left,
                None => return entry,
            }
        }
        unreachable!("the drawn number is below the sum of the weights")
    }

    fn rng(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Chance").finish_non_exhaustive()
    }
}
