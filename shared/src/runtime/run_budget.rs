//! The time of a run over many accounts. It ends in good order before its function's timeout, and
//! the next run continues.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::{Future, ready};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

use crate::domain::ids::AccountId;

/// How long a run works on accounts. Both times count from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunBudget {
    /// Then no more accounts are started.
    pub starting: Duration,
    /// Then the accounts in progress are given up. Their rows are complete, as after a crash.
    pub finishing: Duration,
}

/// How a run over a list of accounts ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunProgress {
    pub end: RunEnd,
    /// The accounts that were given up.
    pub unfinished: Vec<AccountId>,
}

/// How much of its list a run started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    Complete,
    /// The budget was spent.
    CutOff {
        /// The last account that was started. `None` if the list gave no account in time.
        after: Option<AccountId>,
    },
}

impl RunBudget {
    /// Works on accounts in the order of the list, `at_once` of them at a time, and passes each
    /// result to `done`. The first account is always started, so that every run makes progress.
    pub async fn work<T, F: Future<Output = T>>(
        self,
        at_once: usize,
        accounts: impl Stream<Item = AccountId>,
        work: impl Fn(AccountId) -> F,
        mut done: impl FnMut(AccountId, T),
    ) -> RunProgress {
        let begin = Instant::now();
        let (last_start, give_up) = (begin + self.starting, begin + self.finishing);
        let (is_complete, last) = (Cell::new(false), RefCell::new(None));
        let in_progress = RefCell::new(BTreeSet::new());
        let list_end = stream::once(async { is_complete.set(true) });
        let accounts = accounts.map(Some).chain(list_end.map(|()| None));
        let started = accounts
            .filter_map(ready)
            .enumerate()
            .take_while(|(place, _)| ready(*place == 0 || Instant::now() < last_start))
            .map(|(_, account)| {
                last.replace(Some(account.clone()));
                in_progress.borrow_mut().insert(account.clone());
                let work = work(account.clone());
                async move { (account, work.await) }
            });
        let all = async {
            let mut finished = std::pin::pin!(started.buffer_unordered(at_once));
            while let Some((account, result)) = finished.next().await {
                in_progress.borrow_mut().remove(&account);
                done(account, result);
            }
        };
        // What is left is the accounts in progress. Dropping their futures gives them up.
        let _in_time = timeout_at(give_up, all).await;
        let end = if is_complete.get() {
            RunEnd::Complete
        } else {
            RunEnd::CutOff { after: last.into_inner() }
        };
        RunProgress { end, unfinished: in_progress.into_inner().into_iter().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn account(number: usize) -> AccountId {
        format!("a{number}").parse().unwrap()
    }

    fn accounts(count: usize) -> impl Stream<Item = AccountId> {
        stream::iter((0..count).map(account))
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    #[test]
    fn run_with_time_works_on_every_account() {
        let budget = RunBudget { starting: LONG, finishing: LONG };
        let mut done = Vec::new();
        let work = |account: AccountId| ready(account.as_str().len());
        let progress =
            run(budget.work(2, accounts(3), work, |account, length| done.push((account, length))));
        assert_eq!(progress, RunProgress { end: RunEnd::Complete, unfinished: vec![] });
        assert_eq!(done, [(account(0), 2), (account(1), 2), (account(2), 2)]);
    }

    #[test]
    fn run_without_time_starts_one_account() {
        let budget = RunBudget { starting: Duration::ZERO, finishing: LONG };
        let mut done = Vec::new();
        let progress =
            run(budget.work(2, accounts(3), |_| ready(()), |account, ()| done.push(account)));
        let end = RunEnd::CutOff { after: Some(account(0)) };
        assert_eq!(progress, RunProgress { end, unfinished: vec![] });
        assert_eq!(done, [account(0)]);
    }

    #[test]
    fn hanging_account_is_given_up_and_the_others_finish() {
        let budget = RunBudget { starting: LONG, finishing: Duration::from_millis(50) };
        let mut done = Vec::new();
        let work = async |given: AccountId| {
            if given == account(1) {
                std::future::pending::<()>().await;
            }
        };
        let progress = run(budget.work(2, accounts(4), work, |account, ()| done.push(account)));
        let unfinished = vec![account(1)];
        assert_eq!(progress, RunProgress { end: RunEnd::Complete, unfinished });
        assert_eq!(done, [account(0), account(2), account(3)]);
    }

    #[test]
    fn list_that_never_answers_is_cut_off() {
        let budget = RunBudget { starting: LONG, finishing: Duration::from_millis(50) };
        let accounts = accounts(1).chain(stream::pending());
        let progress = run(budget.work(2, accounts, |_| ready(()), |_, ()| {}));
        let end = RunEnd::CutOff { after: Some(account(0)) };
        assert_eq!(progress, RunProgress { end, unfinished: vec![] });
    }
}
