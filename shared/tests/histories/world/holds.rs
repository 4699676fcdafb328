//! Holds: made, captured in parts, in full and late, extended and released.

use std::collections::BTreeSet;

use tollgate::domain::command::{CapturedUsage, Command};
use tollgate::domain::event::{Change, HoldChange};
use tollgate::domain::holds::HoldId;
use tollgate::domain::ids::{ProjectId, Sku};
use tollgate::domain::money::Usd;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::usage::UsageLabels;

use super::budgets::project_of;
use super::{METERED, World, id};
use crate::model::{Asked, ensure};
use crate::steps::Action;

impl World {
    pub(super) fn hold(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        let none = Asked::default();
        match *action {
            Action::Hold { micros, seconds, skus } => {
                let (project, skus) = (project_of(skus)?, held_skus(skus)?);
                let amount = Usd::from_micros(micros);
                self.command(&Command::Hold { project, skus, amount, seconds }, none)
            }
            Action::ExtendHold { which, seconds } => {
                let Some((hold, _, skus)) = self.made(which) else { return Ok(None) };
                let refusal = self.command(&Command::ExtendHold { hold, skus, seconds }, none)?;
                ensure!(refusal.is_some() || self.is_open(hold), "{hold} is extended and not open");
                Ok(refusal)
            }
            Action::ReleaseHold { which } => {
                let Some((hold, _, _)) = self.made(which) else { return Ok(None) };
                self.command(&Command::ReleaseHold { hold }, none)
            }
            Action::CaptureHold { which, units, part } => {
                let Some((hold, project, skus)) = self.made(which) else { return Ok(None) };
                let usage = self.used(&project, &skus, units)?;
                // As the function does: what is over takes one capture more, unless it was captured.
                self.settle()?;
                let command = if self.is_open(hold) {
                    Command::CaptureHold { hold, usage, is_last: part == 0 }
                } else if self.was_captured(hold) {
                    return Ok(None);
                } else {
                    let ends = !self.claims.contains(&hold.end_claim(&self.account));
                    Command::CaptureLate { hold, usage, ends }
                };
                let refusal = self.command(&command, none)?;
                ensure!(refusal.is_none(), "usage under {hold} is refused: {refusal:?}");
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// Any hold that was made, open ones first.
    fn made(&self, which: u8) -> Option<(HoldId, ProjectId, BTreeSet<Sku>)> {
        let mut made: Vec<(HoldId, ProjectId, BTreeSet<Sku>)> = self
            .rows
            .iter()
            .filter_map(|row| match &row.event.change {
                Change::Hold(HoldChange::Held { project, skus, .. }) => {
                    Some((HoldId::of_row(row.seq), project.clone(), skus.clone()))
                }
                _ => None,
            })
            .collect();
        made.sort_by_key(|(hold, _, _)| (!self.is_open(*hold), std::cmp::Reverse(hold.seq())));
        let count = made.len();
        made.into_iter().nth(usize::from(which) % count.max(1))
    }

    fn is_open(&self, hold: HoldId) -> bool {
        self.state().hold(hold).is_some()
    }

    fn was_captured(&self, id: HoldId) -> bool {
        self.rows.iter().any(|row| {
            matches!(
                &row.event.change,
                Change::Hold(HoldChange::HoldCaptured { hold, left: None, .. }) if *hold == id
            )
        })
    }

    fn used(
        &self,
        project: &ProjectId,
        skus: &BTreeSet<Sku>,
        units: u32,
    ) -> Result<Vec<CapturedUsage>, String> {
        let mut usage = Vec::new();
        for sku in skus.iter().take(usize::from(units > 0) * 2) {
            let price = self.prices.at(sku, self.now).ok_or("a SKU has no price")?;
            usage.push(CapturedUsage {
                project: project.clone(),
                sku: sku.clone(),
                labels: UsageLabels::default(),
                quantity: id(&(units * 7).to_string())?,
                rate: price.rate,
            });
        }
        Ok(usage)
    }
}

fn held_skus(number: u8) -> Result<BTreeSet<Sku>, String> {
    let all: Vec<Sku> = METERED.iter().map(|(sku, _)| id(sku)).collect::<Result<_, _>>()?;
    let wanted = match number {
        0 => &all[1..2],
        1 => &all[..],
        2 => &all[..1],
        _ => &all[1..],
    };
    Ok(wanted.iter().cloned().collect())
}
