//! Throttling: a token bucket for each route, in real time, with the template's limits.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Instant;

use crate::runtime::sync::lock;
use crate::template::wiring::Throttling;

/// The buckets, by route key.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    buckets: Mutex<HashMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    /// Thousandths of a request, so that a rate below one for each millisecond adds up.
    tokens: u64,
    since: Instant,
}

impl Throttle {
    /// Takes a token, if there is one.
    pub(super) fn admits(&self, route: &str, limits: Throttling) -> bool {
        let (Some(rate), Some(burst)) = (limits.rate, limits.burst) else { return true };
        let full = u64::from(burst) * 1000;
        let mut buckets = lock(&self.buckets);
        let bucket = buckets
            .entry(route.to_owned())
            .or_insert_with(|| Bucket { tokens: full, since: Instant::now() });
        let passed_ms = u64::try_from(bucket.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        if passed_ms > 0 {
            bucket.since = Instant::now();
            bucket.tokens =
                bucket.tokens.saturating_add(passed_ms.saturating_mul(u64::from(rate))).min(full);
        }
        let admits = bucket.tokens >= 1000;
        if admits {
            bucket.tokens -= 1000;
        }
        admits
    }
}
