//! A function between a ledger and the bus, as the schedules and the stream set it in motion.

use tollgate::runtime::billing::Billing;
use tollgate::runtime::bus::Bus;
use tollgate_tests::bus::RecordingBus;
use tollgate_tests::ledger::Ledger;

/// A ledger with its price list, a bus that remembers, and the clients of the function.
pub(crate) struct BusWorld<C> {
    pub(crate) ledger: Ledger,
    pub(crate) bus: RecordingBus,
    pub(crate) clients: C,
}

impl<C> BusWorld<C> {
    /// On this ledger, with these variables and the tables' names.
    pub(crate) async fn on(
        ledger: Ledger,
        variables: &[(&'static str, &str)],
        clients: impl FnOnce(Billing, Bus) -> C,
    ) -> BusWorld<C> {
        ledger.put_prices().await;
        let bus = RecordingBus::new();
        let clients = clients(ledger.billing(variables), bus.bus());
        BusWorld { ledger, bus, clients }
    }
}
