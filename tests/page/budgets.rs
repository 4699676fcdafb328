//! A project's budget: it is set on the page, ends what runs, is raised, and is removed.

use serde_json::json;

use crate::support::{Refill, Visit};

const GOOD: &str = "4242424242424242";
const AMOUNT: &str = "[data-testid=budget-amount]";
const SPENT: &str = "[data-testid=budget-spent]";
const THEN: &str = "[data-testid=budget-then]";
const MONTH: &str = "[data-testid=project-month]";
const USED_UP: &str = "[data-testid=budget-used-up]";
const PROBLEM: &str = "[data-testid=problem]";
const RUNNING: &str = "[data-testid=resource-row][data-state=running]";
const STOPPED: &str = "[data-testid=resource-row][data-state=stopped]";
const HOUR: u64 = 3600;
/// The answer to the next PUT, as if the server had other limits than the page.
const REFUSE_ONCE: &str = "const real = window.fetch;
    window.fetch = (url, init) => {
        if (init?.method !== 'PUT') return real(url, init);
        window.fetch = real;
        const body = { code: 'invalid_amount', detail: 'refused by the server' };
        return Promise.resolve(new Response(JSON.stringify(body), { status: 422 }));
    };";

async fn open_project(visit: &Visit) {
    visit.open(&format!("#projects/{}", visit.project)).await;
}

async fn save(visit: &Visit, amount: &str) {
    visit.browser.fill(AMOUNT, amount).await;
    visit.browser.click("budget-save").await;
}

/// Wrong amounts are refused at the field. Then a budget of 50 cents that stops nothing becomes one
/// that stops.
async fn set_budget(visit: &Visit) {
    visit
        .browser
        .says("[data-testid=project-budget]", "You can also stop its resources there.")
        .await;
    visit.browser.click("budget-set").await;
    save(visit, "0").await;
    visit.browser.says("#budget-amount-error", "Enter an amount above $0.00.").await;
    visit.pictures("budget-form").await;
    visit.browser.click("budget-cancel").await;
    visit.browser.counts(AMOUNT, 0).await;
    visit.browser.click("budget-set").await;
    visit.browser.script(REFUSE_ONCE).await;
    save(visit, "0.5").await;
    visit.browser.says("#budget-amount-error", "refused by the server").await;
    visit.browser.click("budget-save").await;
    visit.browser.says(SPENT, "$0.25 of $0.50 spent this month (50%)").await;
    visit.browser.says(THEN, "Nothing stops.").await;

    visit.browser.click("budget-change").await;
    visit.browser.click("budget-stop").await;
    visit.browser.says("[data-testid=budget-effect]", "start resources beyond the limit").await;
    visit.browser.fill(AMOUNT, "0.2").await;
    visit.browser.says("[data-testid=budget-effect]", "has already cost $0.25").await;
    save(visit, "0.5").await;
    visit.browser.says(THEN, "Resources stop at the limit.").await;
    visit.browser.says(MONTH, "$0.25 of $0.50").await;
    let focused = "return document.activeElement.dataset.testid";
    assert_eq!(visit.browser.script(focused).await, "budget-change");
    visit.pictures("budget-set").await;
}

/// Both hours that the budget pays for pass. The page that starts the machine again says why not.
async fn use_up(visit: &Visit) {
    visit.pass(HOUR).await;
    open_project(visit).await;
    visit.browser.says(USED_UP, "Raise the budget to keep them running.").await;
    visit.browser.counts(RUNNING, 1).await;
    visit.pass(HOUR).await;
    open_project(visit).await;
    visit.browser.counts(STOPPED, 1).await;
    visit.browser.says(SPENT, "$0.50 of $0.50").await;
    visit.browser.says(USED_UP, "Raise the budget to start resources again.").await;
    visit.browser.click("resource-start").await;
    visit.browser.says(PROBLEM, "web was not started. This requires $0.25 of the").await;
    visit.browser.says(PROBLEM, "and $0.00 is left this month.").await;
    visit.pictures("budget-refused").await;
    visit.open("#projects").await;
    visit.browser.says(MONTH, "$0.50 of $0.50").await;
    visit.browser.says(USED_UP, "This project has used up its budget.").await;
    visit.pictures("budget-overview").await;
    // The browser logs the refusal.
    let complaints = visit.complaints().await;
    assert!(complaints.iter().all(|complaint| complaint.contains("409")), "{complaints:?}");
}

/// Projects that the overview only links show their budgets, too.
async fn show_budgets_of_many(visit: &Visit) {
    let mut projects = vec![visit.project.clone()];
    for number in 0..5 {
        let name = json!({"name": format!("p{number}")});
        let made = visit.write("POST", "/v1/projects", &name).await;
        projects.push(made["id"].as_str().unwrap().to_owned());
    }
    for project in projects {
        let path = format!("/v1/projects/{project}/budget");
        visit.write("PUT", &path, &json!({"amount": "0.75", "stop": true})).await;
    }
    visit.open("#projects").await;
    visit.browser.counts("[data-testid=project-row]", 2).await;
    visit.browser.says("[data-testid=project-row]", "of $0.75").await;
    visit.pictures("budget-many").await;
}

#[tokio::test]
async fn budget_stops_a_project_until_it_is_raised() {
    let Some(visit) = Visit::begin().await else { return };
    visit.pay("25.00", GOOD, Refill::Off).await;
    visit.start("vm-large", "web").await;
    open_project(&visit).await;
    set_budget(&visit).await;
    use_up(&visit).await;

    visit.browser.click("budget-raise").await;
    visit.browser.see("project-budget").await;
    visit.browser.click("budget-raise").await;
    save(&visit, "50").await;
    visit.browser.says(MONTH, "$0.50 of $50.00").await;
    visit.browser.counts(USED_UP, 0).await;
    visit.browser.click("resource-start").await;
    visit.browser.counts(RUNNING, 1).await;
    visit.browser.says(SPENT, "$0.75 of $50.00").await;

    visit.browser.click("budget-remove").await;
    visit.browser.click("dialog-confirm").await;
    visit.browser.see("budget-set").await;
    visit.browser.counts("[data-testid=budget-gauge]", 0).await;
    visit.browser.says(MONTH, "$0.75").await;
    assert_eq!(visit.browser.text(MONTH).await, "$0.75");
    show_budgets_of_many(&visit).await;
    visit.end().await;
}
