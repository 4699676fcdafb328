//! Coming back after a suspension: the page says what is off, and starts or restores all of it.

use serde_json::json;

use crate::paying::{GOOD, continue_with, type_card};
use crate::support::{Refill, Visit};

const RUNNING: &str = "[data-testid=resource-row][data-state=running]";

/// Two machines at $2.50 an hour each, which used up $10.00 two hours ago.
async fn suspended() -> Option<Visit> {
    let visit = Visit::begin().await?;
    visit.pay("10.00", GOOD, Refill::Off).await;
    for name in ["web", "worker"] {
        visit.start("vm-gpu", name).await;
    }
    visit.pass(4 * 3600).await;
    Some(visit)
}

#[tokio::test]
async fn whoever_tops_up_after_a_suspension_starts_everything_again() {
    let Some(visit) = suspended().await else { return };
    visit.open("#projects").await;
    visit.browser.says("[data-testid=start-offer]", "2 resources stopped by a suspension").await;
    visit.browser.says("[data-testid=start-offer]", "Add $7.50 to run them again.").await;
    visit.pictures("start-offer-without-credit").await;

    visit.open("#balance").await;
    continue_with(&visit, "add-amount-25").await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "2 resources are still off").await;
    visit.pictures("top-up-after-suspension").await;
    visit.browser.click("banner-returning").await;
    visit.browser.says("[data-testid=start-offer]", "$5.00 per hour").await;
    visit.pictures("start-offer").await;
    visit.browser.click("start-all").await;
    visit.browser.counts(RUNNING, 2).await;
    visit.browser.counts("[data-testid=start-offer]", 0).await;
    visit.end().await;
}

#[tokio::test]
async fn what_was_deleted_comes_back_with_one_button() {
    let Some(visit) = suspended().await else { return };
    visit.pass(76 * 3600).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=banner]", "All resources in this account were deleted.").await;
    visit.pictures("deleted").await;
    continue_with(&visit, "add-amount-25").await;
    type_card(&visit, GOOD).await;
    visit.browser.says("[data-testid=banner-success]", "2 resources are deleted").await;
    visit.browser.click("banner-returning").await;
    visit.browser.says("[data-testid=restore-offer]", "2 resources deleted after a").await;
    visit.pictures("restore-offer").await;
    visit.browser.click("restore-all").await;
    visit.browser.counts(RUNNING, 2).await;
    visit.end().await;
}

#[tokio::test]
async fn machine_that_is_deleted_while_off_leaves_the_offer() {
    let Some(visit) = suspended().await else { return };
    visit.open("#projects").await;
    visit.browser.says("[data-testid=start-offer]", "2 resources stopped by a suspension").await;
    visit.browser.click("resource-delete").await;
    visit.browser.click_css("[data-testid=resource-delete-dialog] button.danger").await;
    visit.browser.says("[data-testid=start-offer]", "1 resource stopped by a suspension").await;
    visit.end().await;
}

#[tokio::test]
async fn resources_start_by_themselves_once_their_owner_chose_so() {
    let Some(visit) = suspended().await else { return };
    visit.open("#projects").await;
    visit.browser.click("restart-switch").await;
    let chosen = json!("in_order");
    for _ in 0..50 {
        if visit.api.get("/v1/balance").await.unwrap().json()["restart"] == chosen {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    visit.pay("25.00", GOOD, Refill::Off).await;
    visit.open("#projects").await;
    visit.browser.counts(RUNNING, 2).await;
    visit.end().await;
}
