//! The jobs on the agenda of the local cloud.

use serde::{Deserialize, Serialize};

use crate::aws::events::Delivery;
use crate::aws::message::{AsynchronousInvocation, Event};
use crate::aws::scheduler::Occurrence;

/// Something to be done. Its JSON is kept between runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) enum Job {
    /// An asynchronous invocation, the first time or again.
    Invoke(AsynchronousInvocation),
    /// Puts an event on the bus.
    Publish(Event),
    /// Delivers an event to a target of a rule, for the first time or again.
    Deliver(Delivery),
    /// A schedule is due.
    Fire(Occurrence),
    /// A message of this queue may be visible.
    PollQueue(String),
    /// The records of this stream mapping may be tried (again).
    PollStream(String),
    /// A webhook may be due.
    DeliverWebhooks,
}
