//! A row as a newer release would write it: this one may read the chain up to it and append nothing
//! after it.

use aws_sdk_dynamodb::types::AttributeValue;
use tollgate::domain::row_format::RowFormat;

use crate::ledger::Ledger;

/// Appends such a row to an account.
pub async fn append_row_of_newer_format(ledger: &Ledger, account: &str) {
    let state = ledger.head(account).await.state;
    let number = |value: i64| AttributeValue::N(value.to_string());
    let text = |value: &str| AttributeValue::S(value.to_owned());
    ledger
        .client
        .put_item()
        .table_name(ledger.tables.ledger())
        .item("account", text(account))
        .item("seq", AttributeValue::N(state.next_seq.to_string()))
        .item("at", number(state.at.seconds()))
        .item("type", text("invented_later"))
        .item("amount", number(0))
        .item("balance", AttributeValue::N(state.balance().to_string()))
        .item(
            "body",
            text(&format!(r#"{{"v":{},"anything":"else"}}"#, RowFormat::READABLE.number() + 1)),
        )
        .send()
        .await
        .expect("the row is put");
}
