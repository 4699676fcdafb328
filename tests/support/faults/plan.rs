//! Faults by chance, the same for the same seed and the same order of calls.

use super::{DynamoFault, Operation};

/// Faults and how often each happens. One number is drawn for every call.
#[derive(Clone, Debug)]
pub struct FaultPlan {
    random: fastrand::Rng,
    chances: Vec<(DynamoFault, u32)>,
    operations: Option<Vec<Operation>>,
    left: usize,
}

impl FaultPlan {
    /// No faults yet, to be drawn from this seed.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            chances: Vec::new(),
            operations: None,
            left: usize::MAX,
        }
    }

    /// This fault, in so many of a thousand calls that it applies to.
    ///
    /// # Panics
    ///
    /// If the chances of all faults are above a thousand together.
    #[must_use]
    pub fn with(mut self, fault: DynamoFault, per_mille: u32) -> Self {
        self.chances.push((fault, per_mille));
        let sum: u32 = self.chances.iter().map(|(_, chance)| chance).sum();
        assert!(sum <= 1000, "faults in {sum} of 1000 calls");
        self
    }

    /// Only in calls of these operations.
    #[must_use]
    pub fn only(self, operations: impl IntoIterator<Item = Operation>) -> Self {
        Self { operations: Some(operations.into_iter().collect()), ..self }
    }

    /// Limits the number of faults. Afterwards the network is calm, and all retries end.
    #[must_use]
    pub fn at_most(self, faults: usize) -> Self {
        Self { left: faults, ..self }
    }

    pub(super) fn draw(&mut self, operation: &Operation) -> Option<DynamoFault> {
        // Drawn for every call, so that the sequence does not depend on the caller.
        let mut drawn = self.random.u32(0..1000);
        let among = |operations: &Vec<Operation>| operations.contains(operation);
        if self.left == 0 || !self.operations.as_ref().is_none_or(among) {
            return None;
        }
        for (fault, chance) in &self.chances {
            if drawn < *chance {
                let applies = fault.applies_to(operation);
                self.left -= usize::from(applies);
                return applies.then_some(*fault);
            }
            drawn -= chance;
        }
        None
    }
}
