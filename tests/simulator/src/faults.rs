//! What goes wrong on the way: seldom in fair weather, often in a storm.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use time::UtcDateTime;

use crate::chance::Chance;
use crate::clock::VirtualClock;
use crate::journal::Journal;

/// The longest run of a function, with its calls' last answers.
const CALM_AFTER: time::Duration = time::Duration::minutes(5);

/// Functions that are about to move money. Their processes die more often.
const MOVE_MONEY: [&str; 2] = ["auto-refill", "stripe-webhook"];

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFault {
    /// It never arrives.
    Refused,
    /// It is refused because of too many calls.
    Throttled,
    /// The service fails before it does anything, and answers with 500.
    ServerError,
    /// It is carried out, and its answer is lost.
    AnswerLost,
    /// It takes so many milliseconds more, half of them before it is carried out.
    Slow(u64),
    /// The caller's process dies before it is carried out.
    KilledBefore,
    /// The caller's process dies after it was carried out.
    KilledAfter,
}

impl CallFault {
    /// One of each kind.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::Throttled,
        Self::ServerError,
        Self::AnswerLost,
        Self::Slow(0),
        Self::KilledBefore,
        Self::KilledAfter,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            CallFault::Refused => "refused",
            CallFault::Throttled => "throttled",
            CallFault::ServerError => "server error",
            CallFault::AnswerLost => "answer lost",
            CallFault::Slow(_) => "slow",
            CallFault::KilledBefore => "killed before",
            CallFault::KilledAfter => "killed after",
        }
    }
}

/// What calls must reckon with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// Nothing goes wrong, so nothing may fail.
    Calm,
    Changing,
}

/// The faults of a run. Clones share them.
#[derive(Clone, Debug)]
pub struct FaultWeather {
    clock: VirtualClock,
    chance: Chance,
    journal: Journal,
    state: Arc<Mutex<WeatherState>>,
}

#[derive(Debug)]
struct WeatherState {
    /// In a thousand calls.
    fair: u32,
    storm: u32,
    storm_until: Option<UtcDateTime>,
    /// How often a storm begins or a process dies when money is about to move, in a thousand times.
    over_money: u32,
    /// How many processes die at some moment of their work, in a thousand.
    short_lives: u32,
    /// A service or function that is down, with its end.
    down: Vec<(&'static str, UtcDateTime)>,
    is_over: bool,
    /// When nothing went wrong any longer.
    over_since: Option<UtcDateTime>,
}

impl FaultWeather {
    /// Weather whose severity is drawn from the seed. It is quiet until [`FaultWeather::begin`].
    #[must_use]
    pub fn new(seed: u64, clock: VirtualClock, journal: Journal) -> Self {
        let chance = Chance::new(seed, "weather");
        let fair = *chance.pick(&[1, 3, 10]);
        let storm = *chance.pick(&[50, 150, 300]);
        let over_money = *chance.pick(&[0, 200, 600]);
        let short_lives = *chance.pick(&[0, 20, 100]);
        let state = WeatherState {
            fair,
            storm,
            storm_until: None,
            over_money,
            short_lives,
            down: Vec::new(),
            is_over: true,
            over_since: Some(clock.now()),
        };
        Self { clock, chance, journal, state: Arc::new(Mutex::new(state)) }
    }

    /// From now on things go wrong.
    pub fn begin(&self) {
        self.with(|state| (state.is_over, state.over_since) = (false, None));
    }

    /// Whether a thing of this name is down: `stripe`, or a function.
    #[must_use]
    pub fn is_down(&self, name: &str) -> bool {
        let now = self.clock.now();
        self.with(|state| state.down.iter().any(|(down, until)| *down == name && *until > now))
    }

    /// Begins a storm, or an outage.
    pub fn storm(&self, minutes: u64) {
        let until = self.clock.now() + Duration::from_secs(minutes * 60);
        self.journal.note(format!("weather: storm for {minutes} min"));
        self.with(|state| state.storm_until = Some(until));
    }

    /// Money is about to move. Now and then a storm begins.
    pub fn money_moves(&self) {
        let per_mille = self.with(|state| state.over_money);
        if !self.is_over() && self.chance.happens(per_mille) {
            self.storm(self.chance.number(1..=3));
        }
    }

    /// For how long a process of this function lives, if it dies in the middle of its work.
    #[must_use]
    pub fn short_life(&self, function: &str) -> Option<Duration> {
        let moves_money = MOVE_MONEY.contains(&function);
        let per_mille =
            self.with(|state| if moves_money { state.over_money } else { state.short_lives });
        if self.is_over() || !self.chance.happens(per_mille) {
            return None;
        }
        self.journal.reach("fault short life");
        let most = *self.chance.pick(&[100, 400, 1_500]);
        Some(Duration::from_millis(self.chance.number(1..=most)))
    }

    /// A process of `auto-refill` died. As a rule the next ones cannot start for a while, so that what
    /// it was in the middle of is found much later.
    pub fn refill_died(&self) {
        if !self.is_over() && self.chance.happens(850) {
            self.outage("auto-refill", self.chance.number(5..=120));
        }
    }

    pub fn outage(&self, of: &'static str, minutes: u64) {
        let until = self.clock.now() + Duration::from_secs(minutes * 60);
        self.journal.note(format!("weather: {of} is down for {minutes} min"));
        self.journal.reach(format!("fault outage of {of}"));
        self.with(|state| state.down.push((of, until)));
    }

    /// From now on nothing goes wrong.
    pub fn end(&self) {
        self.journal.note("weather: quiet from now on");
        let now = self.clock.now();
        self.with(|state| {
            state.is_over = true;
            state.over_since = Some(now);
            state.down.clear();
        });
    }

    /// Whether something may go wrong, or may have gone wrong with what is still under way.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        let now = self.clock.now();
        let is_calm =
            self.with(|state| state.over_since.is_some_and(|since| now - since > CALM_AFTER));
        if is_calm { Outlook::Calm } else { Outlook::Changing }
    }

    #[must_use]
    pub fn is_over(&self) -> bool {
        self.with(|state| state.is_over)
    }

    /// What goes wrong with a call to `site`, if anything does.
    #[must_use]
    pub fn of_call(&self, site: &str) -> Option<CallFault> {
        if self.is_over() {
            return None;
        }
        let now = self.clock.now();
        let per_mille = self.with(|state| {
            let is_storm = state.storm_until.is_some_and(|until| until > now);
            if is_storm { state.storm } else { state.fair }
        });
        if !self.chance.happens(per_mille) {
            return None;
        }
        // An attempt of the SDKs takes three seconds at most, and one of Stripe's client 25.
        let most = *self.chance.pick(&[2_000, 8_000, 70_000]);
        let slow = CallFault::Slow(self.chance.number(100..most));
        let fault = *self.chance.weighted(&[
            (3, CallFault::Refused),
            (3, CallFault::Throttled),
            (2, CallFault::ServerError),
            (4, CallFault::AnswerLost),
            (3, slow),
            (2, CallFault::KilledBefore),
            (3, CallFault::KilledAfter),
        ]);
        self.journal.reach(format!("fault {} at {site}", fault.name()));
        self.journal.note(format!("fault: {} at {site}", fault.name()));
        Some(fault)
    }

    /// Whether the bus rejects an entry of a call that it accepts otherwise.
    #[must_use]
    pub fn rejects_entry(&self) -> bool {
        let is_rejected = !self.is_over() && self.chance.happens(10);
        if is_rejected {
            self.journal.reach("fault rejected entry of the bus");
        }
        is_rejected
    }

    /// How many deliveries of a message there are, and after how many seconds each.
    #[must_use]
    pub fn deliveries(&self, what: &str) -> Vec<u64> {
        if self.is_over() {
            return vec![0];
        }
        let mut all = vec![0];
        if self.chance.happens(20) {
            self.journal.reach(format!("fault late: {what}"));
            // Minutes as a rule, and sometimes hours or days.
            let latest = *self.chance.pick(&[900, 900, 900, 20_000, 200_000]);
            all = vec![self.chance.number(1..latest)];
        }
        if self.chance.happens(20) {
            self.journal.reach(format!("fault twice: {what}"));
            let later = *self.chance.pick(&[1, 60, 7_200]);
            all.push(self.chance.number(0..=later));
        }
        all
    }

    /// Whether a schedule does not fire.
    #[must_use]
    pub fn misses(&self, schedule: &str) -> bool {
        let is_missed = !self.is_over() && self.chance.happens(15);
        if is_missed {
            self.journal.reach(format!("fault missed: {schedule}"));
        }
        is_missed
    }

    fn with<T>(&self, look: impl FnOnce(&mut WeatherState) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
