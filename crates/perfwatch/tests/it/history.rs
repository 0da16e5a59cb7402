//! History: asked over HTTP and on the command line, over restarts and kills.

mod comparison;
mod equality;
mod files;
mod nothing;
mod refusals;
mod runs;
mod series;

use serde_json::Value;

use crate::answers::{Recording, recorded};
use crate::process::Server;

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// A server with some seconds of history of a host that stands still, so that the numbers are known.
fn quiet_history(snapshots: usize) -> (Server, Vec<Value>) {
    let server = Server::start(&strs(&recorded("server128")));
    let recording = Recording::start(&server);
    recording.wait_for(snapshots);
    let snapshots = recording.snapshots();
    drop(recording.end());
    (server, snapshots)
}

fn numbers(values: &Value) -> Vec<f64> {
    values.as_array().unwrap().iter().filter_map(Value::as_f64).collect()
}
