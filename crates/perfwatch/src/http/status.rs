//! `GET /api/v1/status`: how PerfWatch itself is doing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::{Extension, Json};
use perfwatch_collect::Host;
use perfwatch_metrics::snapshot::HostInfo;
use perfwatch_metrics::{Section, State as SectionState};
use perfwatch_store::{Info, TIERS};
use serde::Serialize;

use super::AppState;
use super::error::Problem;
use super::history::on_a_thread;
use super::server::Place;
use crate::access::now_ms;
use crate::capabilities::{Finding, capabilities};
use crate::footprint::{Footprint, Meter};
use crate::growth::{bytes_per_day, tier_bytes_per_day};

/// How long what was counted of the history holds: counting reads the head of every block.
const INFO_HOLDS: Duration = Duration::from_secs(30);

/// What status needs beyond what every route does.
#[derive(Debug)]
pub(crate) struct Watched {
    host: Arc<Host>,
    started_ms: i64,
    meter: Mutex<Meter>,
    info: Mutex<Option<(Instant, Info)>>,
}

impl Watched {
    /// Of a server that starts now.
    pub(crate) fn new(host: Arc<Host>) -> Self {
        let (meter, info) = (Mutex::new(Meter::new()), Mutex::default());
        Self { host, started_ms: now_ms(), meter, info }
    }
}

/// How PerfWatch is doing.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    version: &'static str,
    started_ms: i64,
    now_ms: i64,
    #[cfg_attr(test, schema(value_type = super::openapi::HostInfo))]
    host: HostInfo,
    /// As in the snapshot's status; empty before the first.
    #[cfg_attr(test, schema(value_type = BTreeMap<String, super::openapi::Section>))]
    sections: BTreeMap<&'static str, Section>,
    #[serde(rename = "self")]
    footprint: Footprint,
    store: StoreStatus,
    clients: Clients,
    capabilities: Vec<Capability>,
}

/// The history.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
struct StoreStatus {
    dir: Option<String>,
    bytes: u64,
    max_bytes: u64,
    /// Free space of the disk it is on.
    free_bytes: u64,
    /// Null while there is too little to tell.
    bytes_per_day: Option<u64>,
    /// Null while there is nothing.
    oldest_ms: Option<i64>,
    newest_ms: Option<i64>,
    /// Series of the newest sample.
    series: u64,
    /// Why nothing is written. Null when all is well.
    trouble: Option<String>,
    tiers: Vec<TierStatus>,
}

/// One tier of the history.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
struct TierStatus {
    name: &'static str,
    /// Null while there is nothing.
    oldest_ms: Option<i64>,
    bytes: u64,
    /// What a day of it takes. Null while there is too little to tell.
    bytes_per_day: Option<u64>,
    /// How long it is kept, as the setting says it.
    keep: String,
}

/// Who is connected.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
struct Clients {
    /// Live streams.
    live: u64,
    /// Connections, live streams included.
    connections: u64,
}

/// Something that works here, or does not: a line of `perfwatch doctor`.
#[cfg_attr(test, derive(utoipa::ToSchema))]
#[derive(Debug, Serialize)]
struct Capability {
    name: String,
    #[cfg_attr(test, schema(value_type = super::openapi::State))]
    state: SectionState,
    reason: String,
    fix: Option<String>,
}

impl From<Finding> for Capability {
    fn from(finding: Finding) -> Self {
        let Finding { name, state, reason, fix } = finding;
        Self { name, state, reason, fix }
    }
}

/// Tells it.
pub(crate) async fn get(
    State(state): State<AppState>,
    Extension(place): Extension<Arc<Place>>,
) -> Result<Json<Status>, Problem> {
    // Some of it is asked of the disk and the kernel.
    let status = on_a_thread(&state.questions, {
        let state = state.clone();
        move || look(&state, place.connections())
    });
    status.await.map(Json)
}

fn look(state: &AppState, connections: usize) -> Status {
    let watched = &state.watched;
    let frame = state.latest.borrow().clone();
    let snapshot = frame.as_deref().map(|frame| &frame.snapshot);
    let sections = snapshot.map(|snapshot| snapshot.status.sections());
    let meter = watched.meter.lock();
    let footprint = meter.unwrap_or_else(PoisonError::into_inner).look();
    Status {
        version: env!("CARGO_PKG_VERSION"),
        started_ms: watched.started_ms,
        now_ms: now_ms(),
        host: snapshot.map_or_else(|| watched.host.info(), |snapshot| snapshot.host.clone()),
        sections: sections
            .into_iter()
            .flatten()
            .map(|(name, section)| (name, section.clone()))
            .collect(),
        footprint,
        store: store(state),
        clients: Clients { live: state.audience.size(), connections: connections as u64 },
        capabilities: snapshot
            .map(|snapshot| capabilities(&snapshot.status, &watched.host))
            .unwrap_or_default()
            .into_iter()
            .map(Capability::from)
            .collect(),
    }
}

fn store(state: &AppState) -> StoreStatus {
    let configuration = state.settings.current();
    let settings = configuration.settings();
    let (info, unreadable) = match info(state) {
        Ok(info) => (info, None),
        Err(error) => (Info::default(), Some(error)),
    };
    let keep = configuration.describe().filter_map(|one| match one.setting.key {
        "storage.keep_raw" | "storage.keep_1m" | "storage.keep_1h" => one.value,
        _ => None,
    });
    let ms = |ns: i64| ns.div_euclid(1_000_000);
    let tiers = TIERS.iter().zip(&info.tiers).zip(keep).map(|((tier, of), keep)| TierStatus {
        name: tier.name,
        oldest_ms: of.times.map(|(oldest, _)| ms(oldest)),
        bytes: of.bytes,
        bytes_per_day: tier_bytes_per_day(of),
        keep: keep.to_string(),
    });
    let times = || info.tiers.iter().filter_map(|tier| tier.times);
    StoreStatus {
        dir: settings.data_dir().ok().map(|dir| dir.display().to_string()),
        bytes: info.bytes,
        max_bytes: settings.storage.max_bytes,
        free_bytes: info.space.0,
        bytes_per_day: bytes_per_day(&info, &settings.storage),
        oldest_ms: times().map(|(oldest, _)| ms(oldest)).min(),
        newest_ms: times().map(|(_, newest)| ms(newest)).max(),
        series: info.series_now,
        trouble: state.store.health().trouble.map(|(_, reason)| reason).or(unreadable),
        tiers: tiers.collect(),
    }
}

/// What there is, as it was half a minute ago at most.
fn info(state: &AppState) -> Result<Info, String> {
    let mut kept = state.watched.info.lock().unwrap_or_else(PoisonError::into_inner);
    match &*kept {
        Some((at, info)) if at.elapsed() < INFO_HOLDS => Ok(info.clone()),
        _ => {
            let info = state.store.reader().info().map_err(|error| error.to_string())?;
            *kept = Some((Instant::now(), info.clone()));
            Ok(info)
        }
    }
}
