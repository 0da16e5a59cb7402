//! `/api/v1/settings`: what PerfWatch runs with, why, and what of it can be changed here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;

use super::AppState;
use super::error::Problem;
use super::json::JsonBody;
use super::server::Peer;
use crate::access::{Action, Caller, Entry, Source as Place};
use crate::config::{Configuration, Described, Kind, Refused, SettingValue, Source, Wrong};

/// Every setting.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Settings {
    settings: Vec<Setting>,
    /// What was saved and is not in force, and why.
    warnings: Vec<String>,
}

/// A setting and what it is.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
struct Setting {
    key: &'static str,
    /// Null: what `help` says of nothing being said.
    value: Option<SettingValue>,
    /// Null: what `help` says of nothing being said.
    default: Option<SettingValue>,
    source: Source,
    help: &'static str,
    kind: &'static str,
    /// The words it may be, of a choice. Null of anything else.
    #[cfg_attr(test, schema(value_type = Option<Vec<String>>))]
    choices: Option<&'static [&'static str]>,
    applies: Applies,
    /// Whether it can be changed here.
    editable: bool,
}

/// When a change holds.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Applies {
    Now,
    Restart,
}

impl From<Described> for Setting {
    fn from(described: Described) -> Self {
        let editable = described.is_editable();
        let Described { setting, value, default, source } = described;
        let (kind, choices) = match setting.kind {
            Kind::Duration => ("duration", None),
            Kind::Bytes => ("bytes", None),
            Kind::Bool => ("bool", None),
            Kind::Choice(words) => ("choice", Some(words)),
            Kind::Text | Kind::List => ("text", None),
            Kind::Cpus => ("cpus", None),
            Kind::Percent => ("percent", None),
        };
        let applies = if setting.is_live { Applies::Now } else { Applies::Restart };
        let (key, help) = (setting.key, setting.help);
        Self { key, value, default, source, help, kind, choices, applies, editable }
    }
}

impl From<&Configuration> for Settings {
    fn from(configuration: &Configuration) -> Self {
        Self {
            settings: configuration.describe().map(Setting::from).collect(),
            warnings: configuration.warnings(),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::Wrong(Wrong::Overridden { wins, .. }) => {
                let problem = Self::new(StatusCode::CONFLICT, "overridden", detail);
                match wins {
                    Source::File => {
                        problem.fix("change it in the configuration file, or take it out there")
                    }
                    _ => problem.fix("start PerfWatch without that flag or variable"),
                }
            }
            Refused::Wrong(Wrong::Bad { .. }) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-setting", detail)
                    .fix("nothing was changed; GET /api/v1/settings tells what each may be")
            }
            Refused::NotSaved(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "settings-not-saved", detail).fix(
                    "nothing was changed; give PerfWatch a data directory that it can write to",
                )
            }
        }
    }
}

/// Tells them.
pub(crate) async fn get(State(state): State<AppState>) -> Json<Settings> {
    Json(Settings::from(&*state.settings.current()))
}

/// Changes some: all of those that are sent, or none. Null takes back what was saved.
pub(crate) async fn put(
    State(state): State<AppState>,
    Extension(caller): Extension<Arc<Caller>>,
    Extension(peer): Extension<Peer>,
    JsonBody(changes): JsonBody<BTreeMap<String, Option<SettingValue>>>,
) -> Result<Json<Settings>, Problem> {
    let changed = state.settings.change(&changes).await?;
    let said = changes.iter().map(|(key, value)| match value {
        Some(value) => format!("{key}={value}"),
        None => format!("{key} taken back"),
    });
    let said = said.collect::<Vec<_>>().join(", ");
    let (who, place) = (caller.name(), Place::from(peer.address));
    state.access.audit().note(Entry::new(Action::SettingsChanged, who.as_deref(), &place).to(said));
    Ok(Json(Settings::from(&*changed)))
}
