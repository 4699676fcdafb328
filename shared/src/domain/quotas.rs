//! How many resources and projects an account may have. Without a limit one account could make a list
//! so large that the worker which bills it, and others beside it, runs out of memory.

use crate::domain::refusal::Refusal;

/// The largest quota that staff may set. A list of 10,000 resources is billed correctly, and tests
/// cover no larger one.
pub const QUOTA_MAX: u32 = 10_000;

/// The maximum number of an account's resources and projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountQuotas {
    /// 1,000 by default. Deleted resources count until they are purged, because they can be
    /// restored.
    pub resources: u32,
    /// 100 by default.
    pub projects: u32,
}

impl Default for AccountQuotas {
    fn default() -> AccountQuotas {
        AccountQuotas { resources: 1_000, projects: 100 }
    }
}

impl AccountQuotas {
    /// Checks that an account with `count` resources may have another one. An account above its quota
    /// keeps what it has.
    ///
    /// The list is the one that the row is decided on, and the row is appended only if no other row
    /// came in between. So the quota holds exactly, however many requests come at once.
    ///
    /// # Errors
    /// [`Refusal::ResourceQuota`].
    pub fn check_resources(&self, count: usize) -> Result<(), Refusal> {
        if fits(count.saturating_add(1), self.resources) {
            return Ok(());
        }
        Err(Refusal::ResourceQuota { max: self.resources })
    }

    /// Checks that an account with `count` projects may have another one.
    ///
    /// # Errors
    /// [`Refusal::ProjectQuota`].
    pub fn check_projects(&self, count: usize) -> Result<(), Refusal> {
        if fits(count.saturating_add(1), self.projects) {
            return Ok(());
        }
        Err(Refusal::ProjectQuota { max: self.projects })
    }
}

fn fits(count: usize, max: u32) -> bool {
    u32::try_from(count).is_ok_and(|count| count <= max)
}
