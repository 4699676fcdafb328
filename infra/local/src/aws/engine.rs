//! The embedded DynamoDB, `dynoxide-rs`, with two indexes that it lacks.
//!
//! dynoxide-rs 3.2.0 keeps the records of all streams in one table, `_stream_records`, and never
//! trims it. Its `next_stream_sequence_number` (storage.rs) reads the whole table at each write to
//! a table with a stream. `stream_records_with_event_ids` does so at each read of a stream. Each
//! hour therefore took longer than the previous one. The two indexes prevent that. Records are not
//! trimmed here, because a jump of the local clock would make them a day old before they are
//! published.

use std::sync::atomic::{AtomicU64, Ordering};

use dynoxide::Database;
use rusqlite::Connection;

/// The expressions are those of the engine's queries, or SQLite would not use the indexes.
const INDEXES: &str = "
    CREATE INDEX IF NOT EXISTS stream_records_of_table
        ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
    CREATE INDEX IF NOT EXISTS stream_records_of_shard
        ON _stream_records (table_name, shard_id, CAST(sequence_number AS INTEGER));
";

/// Opens the engine on a file, which is created if it is missing.
///
/// # Errors
///
/// If the file cannot be opened, or the engine stores stream records differently, as text.
pub fn open(file: &str) -> Result<Database, String> {
    let database = Database::new(file).map_err(|error| error.to_string())?;
    add_indexes(file)?;
    Ok(database)
}

/// Opens a new engine in memory.
///
/// # Errors
///
/// If the engine stores stream records differently, as text.
pub fn in_memory() -> Result<Database, String> {
    open(&new_memory())
}

/// The name of a new database in memory, which several connections of this process can open.
fn new_memory() -> String {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let number = LAST.fetch_add(1, Ordering::Relaxed);
    format!("file:tollgate-dynamodb-{number}?mode=memory&cache=shared")
}

/// Nothing has used the database before. The engine itself has opened it, since a new file has the
/// engine's tables only then.
fn add_indexes(file: &str) -> Result<(), String> {
    let connection = Connection::open(file).map_err(|error| error.to_string())?;
    connection.execute_batch(INDEXES).map_err(|error| {
        format!("the engine keeps stream records in another way than dynoxide-rs 3.2.0: {error}")
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    /// So many that a scan of them takes much longer than a write.
    const RECORDS: u32 = 100_000;
    const WRITES: u32 = 20;

    fn request<T: DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    /// The duration of writes to a table whose stream has many records.
    fn writes(file: &str, database: &Database) -> Duration {
        let table = json!({
            "TableName": "things",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"},
        });
        database.create_table(request(table)).unwrap();
        let put = |id: &str| {
            let item = json!({"TableName": "things", "Item": {"id": {"S": id}}});
            database.put_item(request(item)).unwrap();
        };
        put("first");
        let copies = format!(
            "INSERT INTO _stream_records (table_name, event_name, keys_json, sequence_number, shard_id, created_at)
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {RECORDS})
             SELECT table_name, event_name, keys_json,
                    CAST(CAST(sequence_number AS INTEGER) + i AS TEXT), shard_id, created_at
             FROM _stream_records, n"
        );
        Connection::open(file).unwrap().execute_batch(&copies).unwrap();
        let begun = Instant::now();
        for number in 0..WRITES {
            put(&format!("item {number}"));
        }
        begun.elapsed()
    }

    #[test]
    fn writes_do_not_wait_for_a_scan_of_stream_records() {
        let (plain, indexed) = (new_memory(), new_memory());
        let without = writes(&plain, &Database::new(&plain).unwrap());
        let with = writes(&indexed, &open(&indexed).unwrap());
        assert!(with * 5 < without, "{with:?} with the indexes, {without:?} without");
    }

    #[test]
    fn a_file_gets_the_indexes_once() {
        let file = std::env::temp_dir().join(format!("tollgate-engine-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&file);
        std::fs::create_dir(&file).unwrap();
        let database = file.join("dynamodb.sqlite");
        for _ in 0..2 {
            open(database.to_str().unwrap()).unwrap();
        }
        let count = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'stream_records_of_%'";
        let indexes: u32 =
            Connection::open(&database).unwrap().query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(indexes, 2);
        std::fs::remove_dir_all(&file).unwrap();
    }
}
