//! A platform that starts and stops machines by Tollgate's events. infra/INTEGRATE.md shows what
//! follows, word for word.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Your side. `start` and `stop` may be called twice for the same machine.
pub(crate) trait Platform {
    async fn get(&self, path: &str) -> Result<Value, String>;
    fn start(&mut self, machine: &str);
    fn stop(&mut self, machine: &str);
}

/// The machines that should run: by account, with the number of the row that said so.
#[derive(Debug, Default)]
pub(crate) struct Machines(BTreeMap<String, (u64, BTreeSet<String>)>);

impl Machines {
    /// Takes one event. Events repeat and arrive in any order, so an event only says that an
    /// account has changed. The API says what should run. After an error, take the event again.
    pub(crate) async fn on_event<P: Platform>(
        &mut self,
        platform: &mut P,
        event: &Value,
    ) -> Result<(), String> {
        let (account, seq) = (text(&event["detail"]["account"]), event["detail"]["seq"].as_u64());
        if self.0.get(&account).map(|(known, _)| *known) < seq {
            self.read(platform, &format!("account={account}")).await?;
        }
        Ok(())
    }

    /// Call it at start and every few minutes. It finds what a lost event would have said.
    pub(crate) async fn on_timer<P: Platform>(&mut self, platform: &mut P) -> Result<(), String> {
        let mut unlisted: BTreeSet<String> = self.0.keys().cloned().collect();
        let mut next = Some("limit=200".to_owned());
        while let Some(query) = next {
            let page = self.read(platform, &query).await?;
            list(&page["items"]).for_each(|item| drop(unlisted.remove(&text(&item["account"]))));
            next = page["next"].as_str().map(|cursor| format!("limit=200&cursor={cursor}"));
        }
        // The list leaves out accounts for which nothing is billed. Ask for them by name.
        for account in unlisted {
            self.read(platform, &format!("account={account}")).await?;
        }
        Ok(())
    }

    async fn read<P: Platform>(&mut self, platform: &mut P, query: &str) -> Result<Value, String> {
        let page = platform.get(&format!("/v1/platform/resources?{query}")).await?;
        for item in list(&page["items"]) {
            let running = list(&item["resources"]).filter(|one| one["state"] == "running");
            let wanted: BTreeSet<String> = running.map(|one| text(&one["id"])).collect();
            let (known, machines) = self.0.entry(text(&item["account"])).or_default();
            let seq = item["seq"].as_u64().unwrap_or_default();
            if seq >= *known {
                machines.difference(&wanted).for_each(|machine| platform.stop(machine));
                wanted.difference(machines).for_each(|machine| platform.start(machine));
                (*known, *machines) = (seq, wanted);
            }
        }
        Ok(page)
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
