//! The cost of calls: an interceptor that requests the consumed capacity of every call of the store.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::get_item::{GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::operation::query::{QueryInput, QueryOutput};
use aws_sdk_dynamodb::operation::transact_write_items::{
    TransactWriteItemsInput, TransactWriteItemsOutput,
};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};
use rust_decimal::Decimal;

/// The capacity that puts consumed, in the order of the calls.
#[derive(Clone, Debug, Default)]
pub struct CapacityMeter {
    puts: Arc<Mutex<Vec<ConsumedCapacity>>>,
    total: Arc<Mutex<ConsumedTotal>>,
}

/// What all calls consumed.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsumedTotal {
    pub calls: u32,
    pub read_units: Decimal,
    pub write_units: Decimal,
}

impl CapacityMeter {
    /// A client like the given one whose writes are measured.
    #[must_use]
    pub fn on(&self, client: &Client) -> Client {
        Client::from_conf(client.config().to_builder().interceptor(self.clone()).build())
    }

    /// The capacity consumed since the last call.
    #[must_use]
    pub fn take(&self) -> Vec<ConsumedCapacity> {
        std::mem::take(&mut *self.puts.lock().expect("nobody panics while holding it"))
    }

    /// What all calls consumed since the last call.
    #[must_use]
    pub fn take_total(&self) -> ConsumedTotal {
        std::mem::take(&mut *self.total.lock().expect("nobody panics while holding it"))
    }

    fn count(&self, kind: CallKind, consumed: &[ConsumedCapacity]) {
        let mut total = self.total.lock().expect("nobody panics while holding it");
        total.calls += 1;
        let units = consumed.iter().filter_map(ConsumedCapacity::capacity_units);
        let units: Decimal = units.filter_map(|units| Decimal::try_from(units).ok()).sum();
        match kind {
            CallKind::Read => total.read_units += units,
            CallKind::Write => total.write_units += units,
        }
    }
}

#[derive(Clone, Copy)]
enum CallKind {
    Read,
    Write,
}

#[aws_smithy_runtime_api::client::interceptors::dyn_dispatch_hint]
impl Intercept for CapacityMeter {
    fn name(&self) -> &'static str {
        "CapacityMeter"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let total = Some(ReturnConsumedCapacity::Total);
        let input = context.input_mut();
        if let Some(put) = input.downcast_mut::<PutItemInput>() {
            put.return_consumed_capacity = total;
        } else if let Some(get) = input.downcast_mut::<GetItemInput>() {
            get.return_consumed_capacity = total;
        } else if let Some(query) = input.downcast_mut::<QueryInput>() {
            query.return_consumed_capacity = total;
        } else if let Some(update) = input.downcast_mut::<UpdateItemInput>() {
            update.return_consumed_capacity = total;
        } else if let Some(write) = input.downcast_mut::<TransactWriteItemsInput>() {
            write.return_consumed_capacity = total;
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Ok(output) = context.output_or_error() else { return Ok(()) };
        let one = |consumed: Option<&ConsumedCapacity>| consumed.cloned().into_iter().collect();
        if let Some(put) = output.downcast_ref::<PutItemOutput>() {
            let consumed: Vec<_> = one(put.consumed_capacity());
            self.count(CallKind::Write, &consumed);
            self.puts.lock().expect("nobody panics while holding it").extend(consumed);
        } else if let Some(get) = output.downcast_ref::<GetItemOutput>() {
            let consumed: Vec<_> = one(get.consumed_capacity());
            self.count(CallKind::Read, &consumed);
        } else if let Some(query) = output.downcast_ref::<QueryOutput>() {
            let consumed: Vec<_> = one(query.consumed_capacity());
            self.count(CallKind::Read, &consumed);
        } else if let Some(update) = output.downcast_ref::<UpdateItemOutput>() {
            let consumed: Vec<_> = one(update.consumed_capacity());
            self.count(CallKind::Write, &consumed);
        } else if let Some(write) = output.downcast_ref::<TransactWriteItemsOutput>() {
            self.count(CallKind::Write, write.consumed_capacity());
        }
        Ok(())
    }
}
