//! The cost of calls: an interceptor that requests the consumed capacity of every write of the
//! store.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::{
    AfterDeserializationInterceptorContextRef, BeforeSerializationInterceptorContextMut,
};
use aws_sdk_dynamodb::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::operation::put_item::{PutItemInput, PutItemOutput};
use aws_sdk_dynamodb::types::{ConsumedCapacity, ReturnConsumedCapacity};

/// The capacity that puts consumed, in the order of the calls.
#[derive(Clone, Debug, Default)]
pub struct CapacityMeter {
    puts: Arc<Mutex<Vec<ConsumedCapacity>>>,
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
        if let Some(put) = context.input_mut().downcast_mut::<PutItemInput>() {
            put.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
        }
        Ok(())
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _settings: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Ok(output) = context.output_or_error()
            && let Some(put) = output.downcast_ref::<PutItemOutput>()
        {
            self.puts
                .lock()
                .expect("nobody panics while holding it")
                .extend(put.consumed_capacity().cloned());
        }
        Ok(())
    }
}
