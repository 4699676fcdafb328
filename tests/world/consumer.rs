//! A platform that follows Tollgate's events. infra/INTEGRATE.md shows what comes next, word for
//! word.

use std::collections::BTreeMap;

use serde_json::Value;

/// Your side: an HTTP client with your token, and what starts and stops machines.
pub(crate) trait Platform {
    async fn get(&self, path: &str) -> Result<Value, String>;
    /// Runs the machine if `resource["state"]` is `running`, else stops it. Repeats are normal.
    fn apply(&mut self, resource: &Value);
}

/// The newest row that was applied of each account, by its `seq`.
#[derive(Debug, Default)]
pub(crate) struct Consumer(BTreeMap<String, u64>);

impl Consumer {
    /// Takes one event. It only says that an account has changed; the API says what should run.
    /// After an error, take the same event again.
    pub(crate) async fn on_event(
        &mut self,
        platform: &mut impl Platform,
        event: &Value,
    ) -> Result<(), String> {
        let account = event["detail"]["account"].as_str().unwrap_or_default();
        if self.0.get(account).copied() < event["detail"]["seq"].as_u64() {
            self.apply(platform, &format!("account={account}")).await?;
        }
        Ok(())
    }

    /// Call it at start and every few minutes. It finds what lost events would have said.
    pub(crate) async fn on_timer(&mut self, platform: &mut impl Platform) -> Result<(), String> {
        let (mut unlisted, mut next) = (self.0.clone(), Some("limit=200".to_owned()));
        while let Some(query) = next {
            let page = self.apply(platform, &query).await?;
            next = page["next"].as_str().map(|cursor| format!("limit=200&cursor={cursor}"));
            for item in page["items"].as_array().into_iter().flatten() {
                unlisted.remove(item["account"].as_str().unwrap_or_default());
            }
        }
        // An account for which nothing is billed is not listed, and is asked for by its name.
        for account in unlisted.keys() {
            self.apply(platform, &format!("account={account}")).await?;
        }
        Ok(())
    }

    async fn apply(&mut self, platform: &mut impl Platform, query: &str) -> Result<Value, String> {
        let page = platform.get(&format!("/v1/platform/resources?{query}")).await?;
        for item in page["items"].as_array().into_iter().flatten() {
            let (account, seq) = (item["account"].as_str(), item["seq"].as_u64());
            let newest = self.0.entry(account.unwrap_or_default().to_owned()).or_default();
            if seq >= Some(*newest) {
                item["resources"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .for_each(|one| platform.apply(one));
                *newest = seq.unwrap_or_default();
            }
        }
        Ok(page)
    }
}
