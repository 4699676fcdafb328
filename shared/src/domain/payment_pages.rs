//! How many payment pages may be made. Stolen cards are tested on payment pages, so pages without a
//! payment are limited. A page that was paid counts nothing.

use serde::{Deserialize, Serialize};

use crate::domain::refusal::Refusal;
use crate::domain::timestamp::{DAY, HOUR, Timestamp};

/// The limits on payment pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePolicy {
    /// The maximum number of open or failed pages of an account in an hour. Five by default.
    pub per_hour: u32,
    /// The same in a day. 20 by default.
    pub per_day: u32,
    /// The maximum number of pages in a clock hour (UTC) for all accounts that never paid together.
    /// 300 by default.
    pub new_accounts_per_hour: u32,
}

impl Default for PagePolicy {
    fn default() -> PagePolicy {
        PagePolicy { per_hour: 5, per_day: 20, new_accounts_per_hour: 300 }
    }
}

/// A payment page that was made, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadePage {
    /// Tells one request for a page from another.
    #[serde(rename = "k")]
    pub key: String,
    #[serde(rename = "t")]
    pub made_at: Timestamp,
    /// A Stripe ID, `cs_…`, once the page exists there.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
}

/// Removes the pages that no limit counts any more.
pub fn forget_old(pages: &mut Vec<MadePage>, now: Timestamp) {
    pages.retain(|page| page.made_at.plus(DAY) > now);
}

/// Checks that the account may have another page. `pages` are its pages without a payment.
///
/// # Errors
/// [`Refusal::TooManyPages`] with the wait.
pub fn check_another(
    pages: &[MadePage],
    now: Timestamp,
    policy: &PagePolicy,
) -> Result<(), Refusal> {
    let limits = [(HOUR, policy.per_hour), (DAY, policy.per_day)];
    let free_at = limits.iter().filter_map(|(seconds, max)| free_at(pages, now, *seconds, *max));
    match free_at.max() {
        None => Ok(()),
        Some(free_at) => Err(Refusal::TooManyPages { wait_seconds: free_at - now }),
    }
}

/// When the oldest of the pages that fill a window leaves it. `None` if the window has room.
fn free_at(pages: &[MadePage], now: Timestamp, seconds: i64, max: u32) -> Option<Timestamp> {
    let mut made: Vec<Timestamp> =
        pages.iter().map(|page| page.made_at).filter(|at| at.plus(seconds) > now).collect();
    made.sort_unstable_by(|one, other| other.cmp(one));
    let filling = made.get(usize::try_from(max.max(1)).unwrap_or(usize::MAX) - 1)?;
    Some(filling.plus(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_342_800 + seconds).unwrap()
    }

    #[track_caller]
    fn check(made: &[i64], now: i64, wait_seconds: Option<i64>) {
        let page = |seconds: &i64| MadePage {
            key: seconds.to_string(),
            made_at: at(*seconds),
            session: None,
        };
        let mut pages: Vec<MadePage> = made.iter().map(page).collect();
        forget_old(&mut pages, at(now));
        let expected =
            wait_seconds.map_or(Ok(()), |wait_seconds| Err(Refusal::TooManyPages { wait_seconds }));
        assert_eq!(
            check_another(&pages, at(now), &PagePolicy::default()),
            expected,
            "{made:?} {now}"
        );
    }

    #[test]
    fn five_pages_an_hour_and_twenty_a_day_are_allowed() {
        check(&[], 0, None);
        check(&[0, 0, 0, 0], 0, None);
        check(&[0, 0, 0, 0, 0], 0, Some(HOUR));
        check(&[0, 60, 120, 180, 240], 300, Some(HOUR - 300));
        check(&[0, 60, 120, 180, 240], HOUR - 1, Some(1));
        check(&[0, 60, 120, 180, 240], HOUR, None);
        // A page of a clock that is ahead counts, too.
        check(&[9, 9, 9, 9, 9], 0, Some(HOUR + 9));
        let twenty: Vec<i64> = (0..20).map(|n| n * HOUR).collect();
        check(&twenty, 20 * HOUR, Some(4 * HOUR));
        check(&twenty, DAY - 1, Some(1));
        check(&twenty, DAY, None);
        check(&twenty[..19], 20 * HOUR, None);
    }
}
