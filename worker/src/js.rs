//! The parts of the platform's JavaScript API that the `worker` crate does not bind, or binds in
//! such a way that an exception would end the instance; and values on their way in and out.

use skerry::{
    Error, Result,
    ports::{Row, Value, sql::MAX_SAFE_INTEGER},
};
use wasm_bindgen::prelude::*;
use worker::js_sys::{Array, ArrayBuffer, Promise, Uint8Array};

#[wasm_bindgen]
extern "C" {
    /// The storage of a Durable Object.
    #[derive(Clone)]
    pub(crate) type Storage;

    /// Runs the closure in a transaction, which is rolled back when the closure throws.
    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    pub(crate) fn transaction_sync(
        this: &Storage,
        closure: &mut dyn FnMut() -> Result<(), JsValue>,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = getAlarm)]
    pub(crate) fn get_alarm(this: &Storage) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    pub(crate) fn set_alarm(this: &Storage, at_ms: f64) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = deleteAlarm)]
    pub(crate) fn delete_alarm(this: &Storage) -> Result<Promise, JsValue>;

    /// Deletes the whole store, tables and all.
    #[wasm_bindgen(method, catch, js_name = deleteAll)]
    pub(crate) fn delete_all(this: &Storage) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn sql(this: &Storage) -> ObjectDatabase;

    /// The database of a Durable Object.
    #[derive(Clone)]
    pub(crate) type ObjectDatabase;

    #[wasm_bindgen(method, catch, variadic)]
    pub(crate) fn exec(this: &ObjectDatabase, sql: &str, values: &Array)
    -> Result<Cursor, JsValue>;

    pub(crate) type Cursor;

    /// The rows as arrays: as objects, columns of one name would swallow each other.
    #[wasm_bindgen(method, catch)]
    pub(crate) fn raw(this: &Cursor) -> Result<RawCursor, JsValue>;

    pub(crate) type RawCursor;

    #[wasm_bindgen(method, catch, js_name = toArray)]
    pub(crate) fn to_array(this: &RawCursor) -> Result<Array, JsValue>;

    /// A D1 database.
    #[derive(Clone)]
    pub(crate) type Database;

    #[wasm_bindgen(method, catch)]
    pub(crate) fn prepare(this: &Database, sql: &str) -> Result<Statement, JsValue>;

    #[wasm_bindgen(method, catch)]
    pub(crate) fn batch(this: &Database, statements: &Array) -> Result<Promise, JsValue>;

    pub(crate) type Statement;

    #[wasm_bindgen(method, catch, variadic)]
    pub(crate) fn bind(this: &Statement, values: &Array) -> Result<Statement, JsValue>;

    #[wasm_bindgen(method, catch, js_name = raw)]
    pub(crate) fn rows(this: &Statement) -> Result<Promise, JsValue>;

    pub(crate) type StatementResult;

    #[wasm_bindgen(method, getter)]
    pub(crate) fn results(this: &StatementResult) -> Option<Array>;
}

/// An exception as an error. Both databases say in words what went wrong.
pub(crate) fn map_error(exception: JsValue) -> Error {
    map_worker_error(worker::Error::from(exception))
}

/// An error of the `worker` crate, which cannot leave its thread.
#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
pub(crate) fn map_worker_error(error: worker::Error) -> Error {
    let message = error.to_string();
    match message.contains("UNIQUE constraint failed") {
        true => Error::Conflict,
        false => Error::internal(message),
    }
}

/// Values on their way to a statement.
pub(crate) fn to_js(values: Vec<Value>) -> Array {
    values.into_iter().map(value_to_js).collect()
}

#[expect(clippy::cast_precision_loss, reason = "the port refuses integers that would be rounded")]
fn value_to_js(value: Value) -> JsValue {
    match value {
        Value::Null => JsValue::NULL,
        Value::Integer(it) => JsValue::from_f64(it as f64),
        Value::Text(it) => JsValue::from(it),
        Value::Blob(it) => Uint8Array::from(it.as_slice()).into(),
    }
}

/// Rows that are arrays.
pub(crate) fn to_rows(rows: &Array) -> Result<Vec<Row>> {
    rows.iter().map(|row| to_row(&Array::from(&row))).collect()
}

/// A row that is an array.
pub(crate) fn to_row(values: &Array) -> Result<Row> {
    values.iter().map(value_from_js).collect::<Result<_>>().map(Row)
}

fn value_from_js(value: JsValue) -> Result<Value> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    if let Some(number) = value.as_f64() {
        return integer(number).map(Value::Integer);
    }
    if let Some(text) = value.as_string() {
        return Ok(Value::Text(text));
    }
    match value.dyn_into::<ArrayBuffer>() {
        Ok(buffer) => Ok(Value::Blob(Uint8Array::new(&buffer).to_vec())),
        Err(_) => Err(Error::internal("a column holds a value of an unknown type")),
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "both bounds are exact, and what lies beyond them or between integers is refused"
)]
fn integer(number: f64) -> Result<i64> {
    const MAX: f64 = MAX_SAFE_INTEGER as f64;
    match number.fract() == 0.0 && (-MAX..=MAX).contains(&number) {
        true => Ok(number as i64),
        false => Err(Error::internal("a column holds a fraction or an integer beyond 2^53 - 1")),
    }
}
