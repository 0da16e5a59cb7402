//! docs/openapi.json: every route of [`RULES`], from what the handlers take and answer. The snapshot's shape comes from the
//! catalog.
//!
//! The document is checked against the running server by schemathesis (tests/schemathesis.py): an answer that is not
//! here is an error of the server or of this file.

#[allow(dead_code, reason = "described and never made")]
mod shapes;

use std::collections::BTreeMap;

use perfwatch_metrics::{Kind, MetricDef, Unit};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

pub(super) use shapes::{HostInfo, Metric, Section, State};

use super::error::Problem;
use super::policy::{Need, RULES, Rule};
use super::{catalog, session, settings, status, tokens};
use crate::config::SettingValue;
use crate::history::{Comparison, Events, History};

/// Schemas by name.
#[derive(Default)]
struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// Takes in a type and whatever it is made of, and refers to it.
    fn of<T: ToSchema>(&mut self) -> Value {
        let mut below = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut below);
        for (name, schema) in below {
            self.0.insert(name, serde_json::to_value(schema).unwrap());
        }
        json!({ "$ref": format!("#/components/schemas/{}", T::name()) })
    }

    /// A body of JSON.
    fn json<T: ToSchema>(&mut self) -> Value {
        json!({ "application/json": { "schema": self.of::<T>() } })
    }
}

/// What is said of a route beyond its rule.
struct Said {
    summary: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    status: u16,
    /// What it answers. None: nothing but the status.
    answer: Option<Value>,
    /// Errors beyond those that its rule brings with it.
    errors: &'static [u16],
}

impl Said {
    fn new(summary: &'static str, answer: Option<Value>, errors: &'static [u16]) -> Self {
        Self { summary, parameters: Vec::new(), body: None, status: 200, answer, errors }
    }
}

fn said(rule: &Rule, schemas: &mut Schemas) -> Said {
    let text = || Some(json!({ "text/plain": { "schema": { "type": "string" } } }));
    match (rule.method.as_str(), rule.path) {
        ("GET", "/healthz") => Said::new("Whether PerfWatch runs", text(), &[]),
        ("GET", "/metrics") => {
            let answer = json!({
                "text/plain": { "schema": word() },
                "application/openmetrics-text": { "schema": word() },
            });
            Said::new("The newest snapshot, for Prometheus", Some(answer), &[503])
        }
        ("GET", "/api/v1/session") => {
            Said::new("Who is logged in", Some(schemas.json::<session::Session>()), &[401])
        }
        ("POST", "/api/v1/session") => Said {
            body: Some(schemas.json::<session::Credentials>()),
            ..Said::new("Log in", Some(schemas.json::<session::Session>()), &[401, 429, 503])
        },
        ("DELETE", "/api/v1/session") => Said { status: 204, ..Said::new("Log out", None, &[]) },
        ("POST", "/api/v1/setup") => Said {
            status: 201,
            body: Some(schemas.json::<session::FirstUser>()),
            ..Said::new(
                "Make the first user",
                Some(schemas.json::<session::Session>()),
                &[409, 422, 429, 503],
            )
        },
        ("PUT", "/api/v1/account/password") => Said {
            status: 204,
            body: Some(schemas.json::<session::Passwords>()),
            ..Said::new("Change the password, and end other sessions", None, &[422, 429, 503])
        },
        ("GET", "/api/v1/tokens") => {
            Said::new("Every API token", Some(schemas.json::<tokens::Tokens>()), &[])
        }
        ("POST", "/api/v1/tokens") => Said {
            status: 201,
            body: Some(schemas.json::<tokens::Wanted>()),
            ..Said::new(
                "Make an API token, which is shown this once",
                Some(schemas.json::<tokens::NewToken>()),
                &[409, 422, 503],
            )
        },
        ("DELETE", "/api/v1/tokens/{id}") => Said {
            status: 204,
            parameters: vec![json!({
                "name": "id", "in": "path", "required": true, "schema": { "type": "string" },
            })],
            ..Said::new("Remove an API token", None, &[400, 404, 503])
        },
        ("GET", "/api/v1/settings") => Said::new(
            "Every setting, and who says so",
            Some(schemas.json::<settings::Settings>()),
            &[],
        ),
        ("PUT", "/api/v1/settings") => {
            let value = json!({ "oneOf": [schemas.of::<SettingValue>(), { "type": "null" }] });
            let body = json!({ "type": "object", "additionalProperties": value });
            Said {
                body: Some(json!({ "application/json": { "schema": body } })),
                ..Said::new(
                    "Change settings, all of these or none; null takes back what was saved",
                    Some(schemas.json::<settings::Settings>()),
                    &[409, 422, 503],
                )
            }
        }
        ("GET", "/api/v1/status") => {
            Said::new("How PerfWatch is doing", Some(schemas.json::<status::Status>()), &[500, 503])
        }
        ("GET", "/api/v1/snapshot") => {
            let snapshot = snapshot(schemas);
            schemas.0.insert("Snapshot".to_owned(), snapshot);
            let answer = json!({ "application/json": { "schema": { "$ref": "#/components/schemas/Snapshot" } } });
            Said::new("The newest snapshot", Some(answer), &[503])
        }
        ("GET", "/api/v1/live") => Said {
            status: 101,
            ..Said::new("Every snapshot over WebSocket, as it is made", None, &[400, 426, 503])
        },
        ("GET", "/api/v1/catalog") => {
            Said::new("Every metric, described", Some(schemas.json::<catalog::Catalog>()), &[])
        }
        ("GET", "/api/v1/series") => {
            let mut answer = schemas.json::<History>();
            answer["text/csv"] = json!({ "schema": { "type": "string" } });
            let points =
                query("points", "Most points of each series, 300 unless it is said.", &number());
            let step = query("step", "Length of a step, such as 1m, instead of points.", &word());
            let parameters = [vec![select(), points, step], range()].concat();
            Said { parameters, ..Said::new("Series over a range", Some(answer), HISTORY_ERRORS) }
        }
        ("GET", "/api/v1/compare") => {
            let answer = Some(schemas.json::<Comparison>());
            let points =
                query("points", "Most points of each series, 300 unless it is said.", &number());
            let vs = query("vs", "With what: -1d unless it is said, -7d, prev, FROM..TO.", &word());
            let parameters = [vec![select(), points, vs], range()].concat();
            Said { parameters, ..Said::new("A range beside another", answer, HISTORY_ERRORS) }
        }
        ("GET", "/api/v1/events") => {
            let answer = Some(schemas.json::<Events>());
            Said {
                parameters: range(),
                ..Said::new("What happened in a range", answer, HISTORY_ERRORS)
            }
        }
        ("GET", "/api/v1/verdict") => {
            let answer = Some(schemas.json::<shapes::Verdict>());
            let at =
                query("at", "The moment: now unless it is said, 03:12, milliseconds.", &word());
            let tz =
                query("tz", "Time zone that times are in, the host's unless it is said.", &word());
            let parameters = vec![at, tz];
            Said { parameters, ..Said::new("What stands out at a moment", answer, HISTORY_ERRORS) }
        }
        (method, path) => panic!("{method} {path} is not described"),
    }
}

/// Of every question about history.
const HISTORY_ERRORS: &[u16] = &[400, 422, 500, 503];

fn word() -> Value {
    json!({ "type": "string" })
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": 10_000 })
}

fn query(name: &str, help: &str, schema: &Value) -> Value {
    let example = match name {
        "select" => json!(["cpu.usage_percent", "disk.devices.*"]),
        "points" => json!(60),
        "vs" => json!("prev"),
        "from" => json!("now-15m"),
        _ => Value::Null,
    };
    let mut query = json!({ "name": name, "in": "query", "description": help, "schema": schema });
    if !example.is_null() {
        query["example"] = example;
    }
    query
}

fn select() -> Value {
    let some = json!({ "type": "array", "items": word(), "minItems": 1, "maxItems": 64 });
    let help = "Metrics by id, by path with * for any characters, or with labels in braces.";
    let mut select = query("select", help, &some);
    select["required"] = true.into();
    select
}

fn range() -> Vec<Value> {
    vec![
        query(
            "from",
            "Where the range begins: now-1h unless it is said, now/d, 2026-11-23T03:12, milliseconds.",
            &word(),
        ),
        query("to", "Where it ends: now unless it is said.", &word()),
        query("tz", "Time zone that times are in, the host's unless it is said.", &word()),
    ]
}

/// The snapshot: what it is of, and a section for each first word of the catalog's ids.
fn snapshot(schemas: &mut Schemas) -> Value {
    let mut properties = Map::new();
    for def in perfwatch_metrics::catalog() {
        let mut path: Vec<_> = def.id.split('.').collect();
        // Of a section itself, it is a map of values: `perf_events.running_pct`.
        let is_map = def.object_label.is_some() && path.len() == 2;
        let name = path.pop().unwrap_or_default();
        let mut object = &mut properties;
        for (depth, part) in path.iter().enumerate() {
            let by_name = def.object_label.is_some() && !is_map && depth + 1 == path.len();
            let below = object.entry(*part).or_insert_with(|| match by_name {
                true => json!({
                    "type": ["object", "null"],
                    "additionalProperties": { "type": "object", "properties": {} },
                }),
                false => json!({ "type": ["object", "null"], "properties": {} }),
            });
            let below = if by_name { &mut below["additionalProperties"] } else { below };
            object = below["properties"].as_object_mut().unwrap();
        }
        let value = match is_map {
            true => json!({ "type": ["object", "null"], "additionalProperties": value(def) }),
            false => value(def),
        };
        object.insert(name.to_owned(), value);
    }
    let status = json!({ "type": "object", "additionalProperties": schemas.of::<Section>() });
    properties.insert("timestamp".to_owned(), json!({ "type": "string", "format": "date-time" }));
    properties.insert("tick".to_owned(), json!({ "type": "integer" }));
    properties.insert("interval_ms".to_owned(), json!({ "type": "integer" }));
    properties.insert("lateness_ms".to_owned(), json!({ "type": "number" }));
    properties.insert("host".to_owned(), schemas.of::<HostInfo>());
    properties.insert("status".to_owned(), status);
    let required: Vec<_> = properties.keys().cloned().collect();
    json!({
        "type": "object",
        "description": "Everything that was measured at one tick. A section or value that is missing is null, and `status` says why.",
        "properties": properties,
        "required": required,
    })
}

fn value(def: &MetricDef) -> Value {
    let kind = match (def.kind, def.unit) {
        (Kind::Info, _) => "string",
        (_, Unit::Flag) => "boolean",
        _ => "number",
    };
    let mut value = json!({ "type": [kind, "null"] });
    if def.index_label.is_some() {
        value = json!({ "type": ["array", "null"], "items": value });
    }
    value["title"] = def.title().into();
    if !def.help().is_empty() {
        value["description"] = def.help().into();
    }
    value
}

/// The whole document.
fn document() -> String {
    let mut schemas = Schemas::default();
    let problem = json!({ "application/problem+json": { "schema": schemas.of::<Problem>() } });
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for rule in RULES {
        let Said { summary, parameters, body, status, answer, errors } = said(rule, &mut schemas);
        let mut answers = BTreeMap::from([(status, json!({ "description": title(status) }))]);
        if let (Some(content), Some(said)) = (answer, answers.get_mut(&status)) {
            said["content"] = content;
        }
        let of_need: &[u16] = match rule.need {
            Need::Nothing => &[],
            Need::Scrape | Need::Read | Need::Admin | Need::Login => &[401],
        };
        let of_body: &[u16] = if body.is_some() { &[400, 408, 413, 415] } else { &[] };
        for status in [403, 421].iter().chain(of_need).chain(of_body).chain(errors) {
            answers.insert(*status, json!({ "description": title(*status), "content": problem }));
        }
        let answers: Map<_, _> =
            answers.into_iter().map(|(status, answer)| (status.to_string(), answer)).collect();
        let id = format!("{}{}", rule.method.as_str().to_lowercase(), rule.path);
        let id: String = id.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        let mut operation = json!({ "summary": summary, "operationId": id, "responses": answers });
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(content) = body {
            operation["requestBody"] = json!({ "required": true, "content": content });
        }
        if rule.need == Need::Nothing {
            operation["security"] = json!([]);
        }
        let operations = paths.entry(rule.path).or_default();
        operations.insert(rule.method.as_str().to_lowercase(), operation);
    }
    let description = "Errors are RFC 9457 problem details with a stable `code`. A route needs the cookie of a session or an API token, where it is not said otherwise. Times are in milliseconds since the epoch, where they are no texts.";
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "PerfWatch",
            "version": env!("CARGO_PKG_VERSION"),
            "description": description,
            "license": { "name": "MIT", "identifier": "MIT" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }, { "cookie": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas.0,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "cookie": { "type": "apiKey", "in": "cookie", "name": "perfwatch" },
            },
        },
    });
    serde_json::to_string_pretty(&document).unwrap() + "\n"
}

fn title(status: u16) -> &'static str {
    axum::http::StatusCode::from_u16(status).unwrap().canonical_reason().unwrap()
}

#[test]
fn openapi_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let document = document();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &document).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == document, "docs/openapi.json is out of date: `just docs` writes it");
}
