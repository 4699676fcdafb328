//! The display of the page: passing hours, a suspension, small and dark screens, keyboards, and no
//! network.

use fantoccini::Locator;
use serde_json::json;

use crate::browser::{DESKTOP, Network, PHONE, Scheme};
use crate::support::{Refill, Visit};

const GOOD: &str = "4242424242424242";
const SECTIONS: [&str; 8] =
    ["balance", "transactions", "refill", "cards", "invoices", "company", "projects", "help"];

#[tokio::test]
async fn page_shows_the_cost_of_a_passed_hour() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::Off).await;
    visit.create_machine("web").await;
    visit.browser.see_css("[data-testid=resource-row][data-state=running]").await;
    visit.browser.click("clock-advance-1h").await;
    visit.browser.says("[data-testid=clock-now]", "11:0").await;
    visit.browser.says("[data-testid=project-month]", "$0.50").await;
    visit.browser.picture("project-running").await;
    visit.open("#transactions").await;
    visit.browser.counts("[data-testid=tx-row]", 3).await;
    visit.browser.click_css("[data-testid=tx-row][data-type=usage] [data-testid=tx-open]").await;
    visit.browser.says("[data-testid=tx-lines]", "web").await;
    visit.browser.picture("transactions").await;
    visit.open(&format!("#projects/{}", visit.project)).await;
    visit.browser.click("resource-stop").await;
    visit.browser.see_css("[data-testid=resource-row][data-state=stopped]").await;
    assert_eq!(visit.balance().await, "24.75", "the second hour is given back");
    visit.browser.click("resource-delete").await;
    visit.browser.click("dialog-confirm").await;
    visit.browser.see_css("[data-testid=resource-row][data-state=deleted]").await;
    visit.end().await;
}

#[tokio::test]
async fn suspension_shows_a_banner_until_credit_comes() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("5.00", GOOD, Refill::Off).await;
    visit.start("vm-gpu", "trainer").await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=banner]", "Your credit lasts").await;
    visit.browser.picture("balance-low").await;
    visit.pass(3 * 3600).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=banner]", "suspended").await;
    visit.browser.says("[data-testid=banner]", "Add at least $1.00 to resume.").await;
    visit.browser.picture("suspended").await;
    visit.browser.look(PHONE, Scheme::Dark).await;
    visit.browser.picture("suspended-phone-dark").await;
    visit.browser.look(DESKTOP, Scheme::Light).await;
    visit.pay("25.00", GOOD, Refill::Off).await;
    visit.open("#projects").await;
    visit.browser.click("resource-start").await;
    visit.browser.see_css("[data-testid=resource-row][data-state=running]").await;
    visit.end().await;
}

#[tokio::test]
async fn suspension_by_staff_never_asks_for_money() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::Off).await;
    visit.start("vm-gpu", "trainer").await;
    let staff = visit.staff();
    let suspend = json!({"reason": "abuse"});
    let path = format!("/v1/admin/accounts/{}/suspend", crate::support::ACCOUNT);
    staff.write("POST", &path, &suspend).await.unwrap().success().unwrap();
    // As after a correction that left nothing.
    let balance = visit.balance().await;
    let path = format!("/v1/admin/accounts/{}/correction", crate::support::ACCOUNT);
    let correction = json!({"amount": format!("-{balance}"), "reason": "refunded by wire"});
    let headers = [("content-type", "application/json"), ("idempotency-key", "correct")];
    let corrected = staff.send("POST", &path, &headers, correction.to_string()).await.unwrap();
    corrected.success().unwrap();
    visit.open("#balance").await;
    visit.browser.says("[data-testid=banner]", "This account is suspended.").await;
    visit.browser.says("[data-testid=banner]", "Contact support").await;
    let banner = visit.browser.text("[data-testid=banner]").await;
    assert!(!banner.contains("credit"), "{banner}");
    visit.browser.picture("suspended-by-staff").await;
    visit.open("#projects").await;
    visit.browser.click("resource-start").await;
    visit.browser.says("[data-testid=problem]", "suspended by our staff").await;
    let problem = visit.browser.text("[data-testid=problem]").await;
    assert!(!problem.contains("redit"), "{problem}");
    visit.browser.picture("suspended-by-staff-start").await;
    visit.browser.client.clone().close().await.unwrap();
}

#[tokio::test]
async fn every_section_fits_a_phone_in_light_and_dark() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("100.00", GOOD, Refill::On).await;
    visit.start("vm-large", "web").await;
    visit.start("postgres", "a-database-with-a-rather-long-name-as-people-give-them").await;
    visit.pass(30 * 3600).await;
    for (size, scheme, name) in [
        (PHONE, Scheme::Light, "phone"),
        (PHONE, Scheme::Dark, "phone-dark"),
        (DESKTOP, Scheme::Dark, "desktop-dark"),
        (DESKTOP, Scheme::Light, "desktop"),
    ] {
        visit.browser.look(size, scheme).await;
        for section in SECTIONS {
            visit.open(&format!("#{section}")).await;
            visit
                .browser
                .client
                .wait()
                .for_element(Locator::Css("main:not(:has(.skeleton))"))
                .await
                .unwrap();
            let wide = visit
                .browser
                .script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
                .await;
            assert_eq!(wide, 0, "{section} at {size:?} has to be scrolled sideways");
            visit.browser.picture(&format!("{section}-{name}")).await;
        }
    }
    visit.end().await;
}

#[tokio::test]
async fn a_keyboard_is_enough_to_pay() {
    let Some(visit) = Visit::begin().await else { return };
    visit.open("#balance").await;
    visit.browser.see("continue").await;
    let focused = "return document.activeElement.dataset.testid ?? document.activeElement.id ?? ''";
    let tab = '\u{e004}'.to_string();
    let mut reached = Vec::new();
    for _ in 0..60 {
        visit.browser.client.active_element().await.unwrap().send_keys(&tab).await.unwrap();
        let at = visit.browser.script(focused).await;
        // Whatever has the focus can be seen to have it.
        let ring = visit.browser.script("const shows = (e) => { const s = getComputedStyle(e); return s.outlineStyle !== 'none' || s.boxShadow !== 'none'; }; const e = document.activeElement; return shows(e) || shows(e.parentElement) || shows(e.nextElementSibling ?? e)").await;
        assert_eq!(ring, true, "{at} shows no focus");
        reached.push(at.as_str().unwrap().to_owned());
        if at == "continue" {
            break;
        }
    }
    assert_eq!(reached.last().map(String::as_str), Some("continue"), "{reached:?}");
    for id in ["add-amount-5", "custom-amount", "refill-switch"] {
        assert!(reached.iter().any(|at| at == id), "{id} is not reached: {reached:?}");
    }
    visit.browser.client.active_element().await.unwrap().send_keys("\u{e007}").await.unwrap();
    visit.browser.see_css("input[name=card]").await;
    visit.end().await;
}

#[tokio::test]
async fn names_are_text_and_never_markup() {
    let Some(visit) = Visit::begin().await else { return };
    let name = "<img src=x onerror=\"document.title='owned'\">";
    visit.write("POST", "/v1/projects", &json!({"name": name})).await;
    visit.pay("25.00", GOOD, Refill::Off).await;
    visit.start("vm-small", "<b>bold</b>").await;
    visit.open("#projects").await;
    visit.browser.says("main", name).await;
    visit.browser.says("main", "<b>bold</b>").await;
    assert_eq!(
        visit.browser.script("return document.querySelectorAll('main img, main b').length").await,
        0
    );
    assert_ne!(visit.browser.script("return document.title").await, "owned");
    visit.end().await;
}

#[tokio::test]
async fn page_reports_a_lost_network_and_recovers() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::Off).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=balance]", "$25.00").await;
    visit.browser.set_network(Network::Gone).await;
    visit.browser.see("offline-banner").await;
    visit.browser.click("nav-transactions").await;
    visit.browser.see("retry").await;
    visit.browser.picture("offline").await;
    visit.browser.set_network(Network::There).await;
    visit.browser.click("retry").await;
    visit.browser.counts("[data-testid=tx-row]", 1).await;
    let complaints = visit.complaints().await;
    assert!(
        complaints.iter().all(|complaint| complaint.contains("ERR_INTERNET_DISCONNECTED")),
        "{complaints:?}"
    );
    visit.end().await;
}

#[tokio::test]
async fn another_account_sees_only_its_own() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::Off).await;
    visit.open("#balance").await;
    visit.browser.says("[data-testid=balance]", "$25.00").await;
    visit.browser.fill("[data-testid=account-input]", "bob").await;
    visit.browser.click("account-change").await;
    visit.browser.says("[data-testid=balance]", "$0.00").await;
    assert_eq!(
        visit.browser.script("return JSON.stringify(Object.keys(localStorage))").await,
        "[]",
        "no token is kept"
    );
    visit.end().await;
}
