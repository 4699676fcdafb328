//! The steps of histories, and how they are drawn and shrunk.
//!
//! A step is drawn as four small numbers and printed in words. All four shrink toward zero, which
//! is "at once", "only settle", and the plainest arguments. Steps that do not matter are dropped.

use proptest::collection::vec;
use proptest::prelude::*;

/// The most steps of a history.
const STEPS_MAX: usize = 100;

/// The main subject of a history. Every flavor draws from all actions, in other proportions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    Resources,
    Grants,
    Refills,
    MoneyBack,
    Standing,
    Usage,
}

/// Something to begin with, and then up to a hundred steps.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) flavour: Flavour,
    /// 0: nothing. 1: credit. 2: credit and a running resource. 3: depends on the flavor.
    pub(crate) prelude: u8,
    pub(crate) steps: Vec<Step>,
}

/// Time passes, then an action follows.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) wait: Wait,
    pub(crate) action: Action,
}

/// How much time passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    Seconds(i64),
    /// So many days; but so many hours while something is billed by time, for every hour is a row.
    Days(i64),
    /// To the next full hour, and so many seconds more.
    ToHour(i64),
    /// To the end of the paid time, plus a number of seconds.
    ToPaidThrough(i64),
    /// To the next due time, plus a number of seconds.
    ToDue(i64),
    /// To the end of a delayed suspension or of the backoff of refills, plus a number of seconds.
    ToHold(i64),
}

/// An action. Numbers identify objects: payment 3 is `pi_3`, resource 2 is `r2`.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Settle,
    Credit {
        payment: u8,
        how: How,
    },
    AwaitPayment {
        payment: u8,
        hours: i64,
    },
    EndPayment {
        payment: u8,
        canceled: u8,
    },
    Grant {
        cents: i64,
        seconds: i64,
        excludes: u8,
    },
    WithdrawGrant {
        number: u8,
    },
    Create {
        sku: u8,
        count: u8,
    },
    StartNew {
        sku: u8,
        count: u8,
        agreed: u8,
    },
    Start {
        which: u8,
    },
    Stop {
        which: u8,
    },
    Delete {
        which: u8,
    },
    Restore {
        which: u8,
    },
    FailStart {
        resource: u8,
    },
    Nonsense {
        what: u8,
    },
    OpenMeter {
        sku: u8,
    },
    Read {
        sku: u8,
        quantity: u32,
    },
    /// Sets so many micro-dollars aside for so many seconds.
    Hold {
        micros: i64,
        seconds: i64,
        skus: u8,
    },
    /// The open hold of that place, or one that is over.
    CaptureHold {
        which: u8,
        units: u32,
        part: u8,
    },
    ExtendHold {
        which: u8,
        seconds: i64,
    },
    ReleaseHold {
        which: u8,
    },
    /// One of the two projects may cost so many micro-dollars a month.
    SetBudget {
        project: u8,
        micros: i64,
        stops: u8,
    },
    RemoveBudget {
        project: u8,
    },
    StartTrial {
        card: u8,
    },
    SetRefill {
        terms: u8,
        card: u8,
        cap: u8,
    },
    FollowCards {
        card: u8,
    },
    RefillNow,
    BeginRefill,
    AskCustomer {
        off: u8,
    },
    FailRefill {
        off: u8,
        never: u8,
    },
    RemoveCard {
        card: u8,
    },
    Refund {
        payment: u8,
        part: u8,
    },
    RefundReversed {
        payment: u8,
        part: u8,
    },
    /// Staff refund a part of a payment, or all that is left of it.
    BeginRefund {
        payment: u8,
        part: u8,
    },
    /// Stripe accepts or refuses one of the refunds that staff began.
    EndRefund {
        which: u8,
        refused: u8,
    },
    DisputeOpened {
        payment: u8,
    },
    DisputeMoney {
        payment: u8,
    },
    DisputeReversed {
        payment: u8,
    },
    DisputeClosed {
        payment: u8,
        lost: u8,
    },
    Freeze,
    Unfreeze,
    StaffSuspend,
    StaffResume,
    ConfirmDeletion {
        off: u8,
    },
    Close,
    CloseByCustomer,
    Reopen,
    Erase,
    Correct {
        micros: i64,
    },
    /// What the customer had elsewhere is taken over.
    Import {
        micros: i64,
        bonus: i64,
    },
    ChooseRestartPolicy {
        stay_off: u8,
    },
    NewPrice {
        sku: u8,
        rate: u8,
        idle: u8,
        hours: i64,
        seconds: i64,
    },
    /// Act without settling first, as no caller should.
    Unsettled {
        which: u8,
    },
    /// Act so many seconds before the last row.
    Early {
        seconds: i64,
    },
}

/// The purpose of a credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    TopUp,
    /// With a bonus that expires after so many seconds.
    Commit(i64),
    /// For the open attempt, or for a number that far from it.
    Refill(u8),
}

/// A group of actions, by which flavours differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Always,
    Money,
    Grants,
    Resources,
    Meters,
    Holds,
    Budgets,
    Trial,
    Refill,
    Back,
    Standing,
    Prices,
}

type Make = fn(u16, u16) -> Action;

/// Weight, group and meaning of each action. The first is the plainest.
const ACTIONS: &[(u32, Group, Make)] = &[
    (4, Group::Always, |_, _| Action::Settle),
    (10, Group::Money, |a, _| Action::Credit { payment: byte(a, 24), how: How::TopUp }),
    (2, Group::Grants, |a, b| Action::Credit {
        payment: byte(a, 24),
        how: How::Commit(lasting(b)),
    }),
    (2, Group::Money, |a, b| Action::AwaitPayment {
        payment: byte(a, 24),
        hours: i64::from(b % 200),
    }),
    (2, Group::Money, |a, b| Action::EndPayment { payment: byte(a, 24), canceled: byte(b, 2) }),
    (3, Group::Grants, |a, b| Action::Grant {
        cents: cents(a),
        seconds: lasting(b),
        excludes: byte(a / 16, 6),
    }),
    (1, Group::Grants, |a, _| Action::WithdrawGrant { number: byte(a, 6) }),
    (2, Group::Resources, |a, b| Action::Create { sku: byte(a, 10), count: 1 + byte(b, 2) }),
    (12, Group::Resources, |a, b| Action::StartNew {
        sku: byte(a, 10),
        count: 1 + byte(b, 8) / 6,
        agreed: byte(b / 8, 6),
    }),
    (6, Group::Resources, |a, _| Action::Start { which: byte(a, 256) }),
    (6, Group::Resources, |a, _| Action::Stop { which: byte(a, 256) }),
    (3, Group::Resources, |a, _| Action::Delete { which: byte(a, 256) }),
    (3, Group::Standing, |a, _| Action::Restore { which: byte(a, 256) }),
    (3, Group::Resources, |a, _| Action::FailStart { resource: byte(a, 8) }),
    (1, Group::Always, |a, _| Action::Nonsense { what: byte(a, 12) }),
    (2, Group::Meters, |a, _| Action::OpenMeter { sku: byte(a, 3) }),
    (3, Group::Meters, |a, b| Action::Read {
        sku: byte(a, 3),
        quantity: u32::from(b) * u32::from(a % 7 + 1),
    }),
    (4, Group::Holds, |a, b| Action::Hold {
        micros: [1_000_000, 5_000_000, 250_000, 20_000_000, 1, 0, 3_333_333][usize::from(a % 7)],
        seconds: [600, 60, 3_600, 86_400, 1, 5_400][usize::from(b % 6)],
        skus: byte(b / 8, 4),
    }),
    (3, Group::Holds, |a, b| Action::CaptureHold {
        which: byte(a, 12),
        units: u32::from(b) % 64,
        part: byte(a / 12, 3),
    }),
    (1, Group::Holds, |a, b| Action::ExtendHold {
        which: byte(a, 12),
        seconds: [600, 3_600, 86_400, 1][usize::from(b % 4)],
    }),
    (1, Group::Holds, |a, _| Action::ReleaseHold { which: byte(a, 12) }),
    (4, Group::Budgets, |a, b| Action::SetBudget {
        project: byte(a, 3),
        micros: [1_000_000, 300_000, 5_000_000, 1, 2_345_678, 0, 40_000_000][usize::from(b % 7)],
        stops: byte(b / 7, 4).min(1),
    }),
    (1, Group::Budgets, |a, _| Action::RemoveBudget { project: byte(a, 3) }),
    (2, Group::Trial, |a, _| Action::StartTrial { card: byte(a, 6) }),
    (3, Group::Refill, |a, b| Action::SetRefill {
        terms: byte(a, 10),
        card: byte(b, 4),
        cap: byte(b / 4, 5),
    }),
    (2, Group::Refill, |a, _| Action::FollowCards { card: byte(a, 4) }),
    (1, Group::Refill, |_, _| Action::RefillNow),
    (5, Group::Refill, |_, _| Action::BeginRefill),
    (4, Group::Refill, |a, b| Action::Credit {
        payment: byte(a, 24),
        how: How::Refill(byte(b, 8) / 6),
    }),
    (1, Group::Refill, |a, _| Action::AskCustomer { off: byte(a, 8) / 7 }),
    (3, Group::Refill, |a, b| Action::FailRefill { off: byte(a, 8) / 7, never: byte(b, 5) / 4 }),
    (1, Group::Refill, |a, _| Action::RemoveCard { card: byte(a, 4) }),
    (2, Group::Back, |a, b| Action::Refund { payment: byte(a, 24), part: byte(b, 4) }),
    (2, Group::Back, |a, b| Action::RefundReversed { payment: byte(a, 24), part: byte(b, 4) }),
    (3, Group::Back, |a, b| Action::BeginRefund { payment: byte(a, 24), part: byte(b, 8) }),
    (3, Group::Back, |a, b| Action::EndRefund { which: byte(a, 16), refused: byte(b, 2) }),
    (1, Group::Back, |a, _| Action::DisputeOpened { payment: byte(a, 24) }),
    (1, Group::Back, |a, _| Action::DisputeMoney { payment: byte(a, 24) }),
    (1, Group::Back, |a, _| Action::DisputeReversed { payment: byte(a, 24) }),
    (1, Group::Back, |a, b| Action::DisputeClosed { payment: byte(a, 24), lost: byte(b, 2) }),
    (1, Group::Standing, |_, _| Action::Freeze),
    (3, Group::Always, |_, _| Action::Unfreeze),
    (1, Group::Standing, |_, _| Action::StaffSuspend),
    (2, Group::Standing, |_, _| Action::StaffResume),
    (3, Group::Standing, |a, _| Action::ConfirmDeletion { off: byte(a, 6) / 5 }),
    (1, Group::Always, |a, _| if a % 8 == 7 { Action::Close } else { Action::Settle }),
    (2, Group::Standing, |a, _| match a % 16 {
        0..=3 => Action::CloseByCustomer,
        4..=12 => Action::Reopen,
        _ => Action::Erase,
    }),
    (2, Group::Money, |a, b| Action::Correct { micros: correction(a, b) }),
    (1, Group::Money, |a, b| Action::Import {
        micros: correction(a, b),
        bonus: i64::from(byte(b, 3)) * 500,
    }),
    (2, Group::Standing, |a, _| Action::ChooseRestartPolicy { stay_off: byte(a, 3) / 2 }),
    (2, Group::Prices, |a, b| Action::NewPrice {
        sku: byte(a, 14),
        rate: byte(b, 6),
        idle: byte(b / 6, 3),
        hours: i64::from(a / 12 % 4),
        seconds: if b % 5 == 4 { i64::from(b % 3600) } else { 0 },
    }),
    (1, Group::Always, |a, _| Action::Unsettled { which: byte(a, 256) }),
    (1, Group::Always, |a, _| Action::Early { seconds: 1 + i64::from(a % 4000) }),
];

/// Weight and meaning of each wait. Long ones are rare: an hour of running is a row.
const WAITS: &[(u32, Wait)] = &[
    (24, Wait::Seconds(0)),
    (4, Wait::Seconds(1)),
    (2, Wait::Seconds(59)),
    (3, Wait::Seconds(60)),
    (2, Wait::Seconds(599)),
    (3, Wait::Seconds(600)),
    (2, Wait::Seconds(601)),
    (6, Wait::Seconds(917)),
    (3, Wait::ToHour(-1)),
    (8, Wait::ToHour(0)),
    (4, Wait::ToHour(1)),
    (5, Wait::ToHour(1234)),
    (3, Wait::Seconds(3_600)),
    (3, Wait::Seconds(5_437)),
    (3, Wait::Seconds(5 * 3_600 + 11)),
    (4, Wait::ToPaidThrough(0)),
    (3, Wait::ToPaidThrough(40)),
    (6, Wait::ToDue(0)),
    (2, Wait::ToDue(-1)),
    (2, Wait::ToHold(0)),
    (1, Wait::ToHold(-1)),
    (3, Wait::Days(1)),
    (3, Wait::Days(3)),
    (2, Wait::Days(14)),
    (1, Wait::Seconds(3 * 86_400)),
];

/// Histories of a flavour.
pub(crate) fn history(flavour: Flavour) -> impl Strategy<Value = History> {
    let weights: Vec<u32> =
        ACTIONS.iter().map(|(weight, group, _)| weight * factor(flavour, *group)).collect();
    let waits: Vec<u32> = WAITS.iter().map(|(weight, _)| *weight).collect();
    let step = (0..waits.iter().sum(), 0..weights.iter().sum(), any::<u16>(), any::<u16>());
    let step = step.prop_map(move |(wait, action, a, b)| {
        let (_, wait) = WAITS[chosen(&waits, wait)];
        let (_, _, make) = ACTIONS[chosen(&weights, action)];
        Step { wait, action: make(a, b) }
    });
    (0_u8..4, vec(step, 1..=STEPS_MAX)).prop_map(move |(prelude, steps)| History {
        flavour,
        prelude,
        steps,
    })
}

/// The steps that a history begins with.
pub(crate) fn prelude(flavour: Flavour, prelude: u8) -> Vec<Action> {
    let credit = Action::Credit { payment: 3, how: How::TopUp };
    let start = |sku| Action::StartNew { sku, count: 1, agreed: 0 };
    match (prelude, flavour) {
        (0, _) => Vec::new(),
        (1, _) => vec![credit],
        (2, _) => vec![credit, start(1)],
        (_, Flavour::Resources) => {
            vec![credit, start(2), Action::Create { sku: 0, count: 2 }, start(8)]
        }
        (_, Flavour::Grants) => vec![
            Action::StartTrial { card: 0 },
            Action::Grant { cents: 2_000, seconds: 30 * 86_400, excludes: 1 },
            start(1),
            Action::Correct { micros: 10_000_000 },
            start(0),
        ],
        (_, Flavour::Refills) => {
            vec![credit, Action::SetRefill { terms: 0, card: 0, cap: 0 }, start(6)]
        }
        (_, Flavour::MoneyBack) => {
            vec![Action::Credit { payment: 11, how: How::Commit(86_400) }, credit, start(0)]
        }
        (_, Flavour::Usage) => vec![
            credit,
            Action::OpenMeter { sku: 0 },
            Action::OpenMeter { sku: 1 },
            Action::Grant { cents: 500, seconds: 5_400, excludes: 0 },
            Action::Read { sku: 1, quantity: 7 },
            start(1),
        ],
        (_, Flavour::Standing) => {
            vec![Action::ChooseRestartPolicy { stay_off: 0 }, credit, start(2), start(7)]
        }
    }
}

fn factor(flavour: Flavour, group: Group) -> u32 {
    match (flavour, group) {
        (_, Group::Always) => 2,
        (Flavour::Resources, Group::Resources | Group::Prices)
        | (Flavour::Grants, Group::Grants | Group::Trial)
        | (Flavour::Refills, Group::Refill)
        | (Flavour::MoneyBack, Group::Back)
        | (Flavour::Usage, Group::Meters)
        | (Flavour::Standing, Group::Standing) => 6,
        (_, Group::Resources | Group::Money) => 3,
        (Flavour::Grants | Flavour::MoneyBack | Flavour::Usage, Group::Holds) => 3,
        (Flavour::Resources, Group::Budgets) => 3,
        _ => 1,
    }
}

/// Which of the weighted ones a number falls on.
fn chosen(weights: &[u32], mut number: u32) -> usize {
    let fits = |weight: &u32| {
        let fits = number < *weight;
        number = number.saturating_sub(*weight);
        fits
    };
    weights.iter().position(fits).unwrap_or(0)
}

fn byte(number: u16, below: u16) -> u8 {
    u8::try_from(number % below).unwrap_or(u8::MAX)
}

fn cents(number: u16) -> i64 {
    [2_000, 500, 25, 1, 10_000, 1_900, 0][usize::from(number % 7)]
}

fn lasting(number: u16) -> i64 {
    [86_400, 3_600, 1, 5_400, 3_599, 3 * 86_400, 30 * 86_400, 0, 20 * 3_600]
        [usize::from(number % 9)]
}

fn correction(a: u16, b: u16) -> i64 {
    let micros = [500_000, 10_000_000, 2, 1, 0, 40_000_000, 333_333][usize::from(a % 7)];
    if b.is_multiple_of(3) { -micros } else { micros }
}
