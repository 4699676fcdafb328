//! Carries out an action of a history: the dispatch by family, acts of staff, and commands that
//! come too early.

use std::rc::Rc;

use tollgate::domain::account::RestartPolicy;
use tollgate::domain::command::Command;
use tollgate::domain::decide::decide;
use tollgate::domain::event::Cause;
use tollgate::domain::refusal::Refusal;
use tollgate::domain::resolve;

use super::World;
use crate::model::{Asked, ensure};
use crate::steps::Action;

impl World {
    pub(super) fn act(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        match action {
            Action::Settle => self.settle().map(|()| None),
            Action::Read { sku, quantity } => self.read_meter(*sku, *quantity).map(|()| None),
            Action::NewPrice { sku, rate, idle, hours, seconds } => {
                self.new_price(*sku, *rate, *idle, *hours, *seconds)
            }
            Action::Early { seconds } => self.early(*seconds),
            Action::Unsettled { which } => self.unsettled(*which),
            Action::Credit { .. }
            | Action::AwaitPayment { .. }
            | Action::EndPayment { .. }
            | Action::Grant { .. }
            | Action::WithdrawGrant { .. }
            | Action::Correct { .. }
            | Action::Import { .. }
            | Action::StartTrial { .. }
            | Action::Refund { .. }
            | Action::RefundReversed { .. }
            | Action::BeginRefund { .. }
            | Action::EndRefund { .. }
            | Action::DisputeOpened { .. }
            | Action::DisputeMoney { .. }
            | Action::DisputeReversed { .. }
            | Action::DisputeClosed { .. } => self.move_money(action),
            Action::Create { .. }
            | Action::StartNew { .. }
            | Action::Start { .. }
            | Action::Stop { .. }
            | Action::Delete { .. }
            | Action::Restore { .. }
            | Action::FailStart { .. }
            | Action::OpenMeter { .. }
            | Action::Nonsense { .. } => self.move_resources(action),
            Action::Hold { .. }
            | Action::CaptureHold { .. }
            | Action::ExtendHold { .. }
            | Action::ReleaseHold { .. } => self.hold(action),
            Action::SetBudget { .. } | Action::RemoveBudget { .. } => self.budget(action),
            Action::SetRefill { .. }
            | Action::FollowCards { .. }
            | Action::RefillNow
            | Action::BeginRefill
            | Action::AskCustomer { .. }
            | Action::FailRefill { .. }
            | Action::RemoveCard { .. } => self.refill(action),
            Action::Freeze
            | Action::Unfreeze
            | Action::StaffSuspend
            | Action::StaffResume
            | Action::ConfirmDeletion { .. }
            | Action::Close
            | Action::CloseByCustomer
            | Action::Reopen
            | Action::Erase
            | Action::ChooseRestartPolicy { .. } => self.staff(action),
        }
    }

    fn staff(&mut self, action: &Action) -> Result<Option<Refusal>, String> {
        let none = Asked::default();
        let reason = "because".to_owned();
        match *action {
            Action::Freeze => self.command(&Command::Freeze { reason }, none),
            Action::Unfreeze => self.command(&Command::Unfreeze { reason }, none),
            Action::StaffSuspend => self.resolved(|view, _| resolve::suspend(view, "because")),
            Action::StaffResume => self.resolved(resolve::resume),
            Action::ConfirmDeletion { off } => {
                self.settle()?;
                let head = self.state().next_seq.saturating_sub(1 + u64::from(off));
                let refusal = self.command(&Command::ConfirmDeletion { head }, none)?;
                ensure!(
                    off == 0 || refusal.is_some(),
                    "deleted although row {head} was not the last"
                );
                Ok(refusal)
            }
            Action::Close => self.command(&Command::Close { reason }, none),
            Action::CloseByCustomer => self.resolved(|view, _| {
                let (shown, resources) = (view.state().balance(), resolve::resources_left(view));
                Ok(Command::CloseByCustomer { shown, resources })
            }),
            Action::Reopen => {
                let was_erased = self.state().erased;
                let refusal =
                    self.resolved(|view, now| resolve::reopen(view, reason.clone(), now))?;
                ensure!(!was_erased || refusal.is_some(), "what was erased was opened again");
                Ok(refusal)
            }
            Action::Erase => self.command(&Command::Erase { reason }, none),
            Action::ChooseRestartPolicy { stay_off } => {
                let restart_policy =
                    if stay_off == 0 { RestartPolicy::InOrder } else { RestartPolicy::StayOff };
                self.command(&Command::ChooseRestartPolicy(restart_policy), none)
            }
            _ => Ok(None),
        }
    }

    /// Before the last row nothing is decided.
    fn early(&mut self, seconds: i64) -> Result<Option<Refusal>, String> {
        let state = self.state();
        let now = state.at.plus(-seconds);
        let command = Command::Freeze { reason: "early".to_owned() };
        let refusal = decide(state, &command, Cause::Command, &self.policy, now).err();
        let expected = Refusal::TimeBeforeLastRow { now, last: state.at };
        ensure!(refusal == Some(expected), "a command of {now} is answered by {refusal:?}");
        Ok(refusal)
    }

    /// Commands that depend on time are refused until the account is settled.
    fn unsettled(&mut self, which: u8) -> Result<Option<Refusal>, String> {
        let ids = self.named(which)?;
        let prices = Rc::clone(&self.prices);
        let (account, policy, now) = (self.account.clone(), self.policy.clone(), self.now);
        let view = self.view(&account, &prices, &policy)?;
        let state = self.state();
        let is_behind = state.paid_through().is_some_and(|through| through <= now);
        let is_settled = !is_behind || crate::model::is_held(state, now.seconds());
        let command = match which % 4 {
            0 => resolve::stop(&view, &ids),
            1 => resolve::delete(&view, &ids),
            2 => resolve::start(&view, &ids, now),
            _ => resolve::suspend(&view, "because"),
        };
        let Ok(command) = command else { return Ok(None) };
        let decided = decide(state, &command, Cause::Command, &policy, now);
        let is_refused = matches!(decided, Err(Refusal::NotSettled { .. }));
        ensure!(is_refused != is_settled, "unsettled {}, and answered by {decided:?}", !is_settled);
        Ok(decided.err())
    }
}
