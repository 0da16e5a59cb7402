//! Energy meters, memory controllers and resctrl that wrap, vanish, refuse and make no sense.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use perfwatch_collect::collector::{Collected, Collector, Tracker};
use perfwatch_collect::memory_bandwidth::MemoryBandwidth;
use perfwatch_collect::power::Power;
use perfwatch_collect::resctrl::{MAX_MONITORS, Resctrl};
use perfwatch_collect::{Error, Host};
use perfwatch_metrics::State;
use perfwatch_metrics::power::PowerMetrics;
use proptest::strategy::Strategy;

use crate::hosts::{copy, fixture};

/// A copy of a recorded host, which a test changes from tick to tick, and one collector on it.
struct Scripted<C: Collector> {
    dir: tempfile::TempDir,
    tracker: Tracker<C>,
}

impl<C: Collector> Scripted<C> {
    fn new(host: &str) -> Self {
        Self::prepared(host, |_| ())
    }

    /// Something is changed before anything is read.
    fn prepared(host: &str, change: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture(host, "t0"), dir.path());
        change(dir.path());
        let tracker = Tracker::new(&Arc::new(Host::recorded(dir.path())));
        Self { dir, tracker }
    }

    /// The kernel says something else from now on.
    fn says(&self, file: &str, text: &str) {
        fs::write(self.dir.path().join(file), text).unwrap();
    }

    /// What counters say from now on, by the words before their value: all run all the time.
    fn counts(&self, counters: &[(&str, u64)], seconds: u64) {
        self.says("perf_counters", &lines(counters, seconds));
    }

    fn collect(&mut self) -> Result<C::Metrics, Error> {
        self.collected().map(|collected| collected.report.metrics)
    }

    fn collected(&mut self) -> Result<Collected<C::Metrics>, Error> {
        // Two readings within a millisecond have no rates.
        std::thread::sleep(Duration::from_millis(2));
        self.tracker.collect()
    }
}

fn lines(counters: &[(&str, u64)], seconds: u64) -> String {
    let ns = seconds * 1_000_000_000;
    counters.iter().map(|(name, value)| format!("{name} {value} {ns} {ns}\n")).collect()
}

const JOULE: u64 = 1 << 32;
const RANGE_UJ: u64 = 262_143_328_850;

fn joules(power: &PowerMetrics, domain: &str) -> Option<u64> {
    power.domains[domain].energy_joules
}

#[test]
fn a_powercap_counter_that_comes_round_goes_on() {
    let mut power = Scripted::<Power>::new("intel2s");
    let mut seen = Vec::new();
    for energy_uj in [RANGE_UJ - 1_000_000, 3_500_000, 4_500_000, 100] {
        power.says("sys/class/powercap/intel-rapl:1/energy_uj", &format!("{energy_uj}\n"));
        let metrics = power.collect().unwrap();
        let package = &metrics.domains["package-0"];
        seen.push((
            package.energy_joules,
            package.watts.is_some(),
            metrics.host.packages_watts.is_some(),
        ));
    }
    // A second before the end, 3.5 J after it, another one, and then a fall from nearly the beginning: a reset.
    assert_eq!(
        seen,
        [
            (Some(262_142), false, false),
            (Some(262_146), true, true),
            (Some(262_147), true, true),
            (Some(0), false, false)
        ]
    );
}

#[test]
fn a_meter_that_does_not_answer_costs_its_own_line_and_the_sum() {
    let mut power = Scripted::<Power>::new("intel2s");
    power.collect().unwrap();
    power.says("sys/class/powercap/intel-rapl:1/energy_uj", "garbage\n");
    let report = power.collected().unwrap().report;
    assert_eq!(report.metrics.host.packages_watts, None);
    assert_eq!(joules(&report.metrics, "package-0"), None);
    assert!(report.metrics.domains["package-1"].watts.is_some());
    let [problem] = &report.problems[..] else { panic!("{:?}", report.problems) };
    assert_eq!((problem.part.as_str(), problem.state), ("domains.package-0", State::Failed));
    // What it used meanwhile is not known, so it begins anew.
    power.says("sys/class/powercap/intel-rapl:1/energy_uj", "124000000000\n");
    assert_eq!(joules(&power.collect().unwrap(), "package-0"), Some(0));
}

#[test]
fn dies_of_a_package_add_up_and_the_platform_does_not() {
    let rename = |dir: &Path| {
        for (zone, name) in [("0", "package-0-die-1"), ("1", "package-0-die-0")] {
            fs::write(dir.join(format!("sys/class/powercap/intel-rapl:{zone}/name")), name)
                .unwrap();
        }
        let psys = dir.join("sys/class/powercap/intel-rapl:2");
        fs::create_dir(&psys).unwrap();
        fs::write(psys.join("name"), "psys\n").unwrap();
        fs::write(psys.join("energy_uj"), "1\n").unwrap();
    };
    let mut power = Scripted::<Power>::prepared("intel2s", rename);
    power.collect().unwrap();
    for (zone, energy_uj) in [("0", 123_456_789_012_u64), ("1", 123_457_789_012), ("2", 9_000_000)]
    {
        power.says(
            &format!("sys/class/powercap/intel-rapl:{zone}/energy_uj"),
            &energy_uj.to_string(),
        );
    }
    let metrics = power.collect().unwrap();
    let domains: Vec<_> = metrics.domains.keys().map(String::as_str).collect();
    assert_eq!(domains, ["package-0", "package-0/dram", "psys"]);
    assert_eq!(metrics.host.packages_watts, metrics.domains["package-0"].watts);
    assert!(metrics.domains["psys"].watts > metrics.host.packages_watts);
}

#[test]
fn without_permission_for_the_pmu_powercap_serves() {
    let deny = |dir: &Path| {
        let events = ["pkg", "cores", "gpu", "psys"];
        let denied = events.map(|event| format!("power energy-{event} 0 errno 13\n")).concat();
        fs::write(dir.join("perf_counters"), denied).unwrap();
    };
    let mut power = Scripted::<Power>::prepared("laptop", deny);
    let metrics = power.collect().unwrap();
    assert_eq!(metrics.host.source, "powercap");
    let domains: Vec<_> = metrics.domains.keys().map(String::as_str).collect();
    assert_eq!(domains, ["package-0", "package-0/cores", "package-0/gpu", "psys"]);
}

#[test]
fn without_permission_at_all_it_is_denied_with_what_to_do() {
    let deny = |dir: &Path| {
        fs::write(
            dir.join("perf_counters"),
            "power energy-pkg 0 errno 13\namd_umc_0 umc_cas_cmd.rd 0 errno 1\n",
        )
        .unwrap();
        fs::create_dir_all(dir.join("proc/sys/kernel")).unwrap();
        fs::write(dir.join("proc/sys/kernel/perf_event_paranoid"), "2\n").unwrap();
    };
    let error = Scripted::<Power>::prepared("zen4", deny).collect().unwrap_err();
    assert_eq!(error.state(), State::Denied);
    assert!(error.to_string().ends_with("(EACCES); kernel.perf_event_paranoid is 2"), "{error}");
    assert!(error.fix().unwrap().contains("CAP_PERFMON"));
    let error = Scripted::<MemoryBandwidth>::prepared("zen4", deny).collect().unwrap_err();
    assert_eq!(error.state(), State::Denied);
    assert!(error.to_string().starts_with("amd_umc_0/umc_cas_cmd.rd/ on CPU 0: "), "{error}");
}

#[test]
fn one_event_that_the_kernel_refuses_costs_its_own_line() {
    let refuse = |dir: &Path| {
        let counters = [
            ("power energy-pkg 0", JOULE),
            ("power energy-gpu 0", JOULE),
            ("power energy-psys 0", JOULE),
        ];
        let text = lines(&counters, 1) + "power energy-cores 0 errno 22\n";
        fs::write(dir.join("perf_counters"), text).unwrap();
    };
    let report = Scripted::<Power>::prepared("laptop", refuse).collected().unwrap().report;
    assert_eq!(joules(&report.metrics, "package-0"), Some(1));
    let problems: Vec<_> =
        report.problems.iter().map(|problem| (problem.part.as_str(), problem.state)).collect();
    assert_eq!(problems, [("domains.package-0/cores", State::Unavailable)]);
}

#[test]
fn a_pmu_that_vanishes_is_said_and_comes_back() {
    let mut power = Scripted::<Power>::new("zen4");
    power.counts(&[("power energy-pkg 0", 10 * JOULE)], 1);
    assert_eq!(joules(&power.collect().unwrap(), "package-0"), Some(10));
    power.counts(&[("power energy-pkg 0", 20 * JOULE)], 2);
    assert!(power.collect().unwrap().host.packages_watts.is_some());
    power.counts(&[], 3);
    let error = power.collect().unwrap_err();
    assert_eq!(error.state(), State::Failed);
    assert!(error.to_string().starts_with("power/energy-pkg/ on CPU 0: "), "{error}");
    // Its driver was loaded again, and what it counts begins anew.
    power.counts(&[("power energy-pkg 0", 25 * JOULE)], 1);
    let metrics = power.collect().unwrap();
    assert_eq!((joules(&metrics, "package-0"), metrics.host.packages_watts), (Some(25), None));
}

#[test]
fn meters_that_stand_still_are_none_and_are_not_asked_again_soon() {
    let still = |dir: &Path| {
        fs::write(dir.join("perf_counters"), lines(&[("power energy-pkg 0", 0)], 1)).unwrap();
    };
    let mut power = Scripted::<Power>::prepared("zen4", still);
    for _ in 0..2 {
        let error = power.collect().unwrap_err();
        assert_eq!(error.state(), State::Unavailable);
        assert!(error.to_string().contains("stands still, as in a virtual machine"), "{error}");
        power.counts(&[("power energy-pkg 0", JOULE)], 2);
    }
}

#[test]
fn a_controller_that_waits_has_no_figure_and_then_the_right_one() {
    let mut bandwidth = Scripted::<MemoryBandwidth>::new("intel2s");
    let counters = |value: u64, seconds: u64, ran: u64| {
        let mut text = String::new();
        for channel in 0..2 {
            for event in ["cas_count_read", "cas_count_write"] {
                for cpu in [0, 20] {
                    let waits = cpu == 20 && channel == 1;
                    let ran = if waits { ran } else { seconds };
                    let value = if waits { value * ran / seconds } else { value };
                    text += &format!(
                        "uncore_imc_{channel} {event} {cpu} {value} {} {}\n",
                        seconds * 1_000_000_000,
                        ran * 1_000_000_000
                    );
                }
            }
        }
        text
    };
    let mut seen = Vec::new();
    for (value, seconds, ran) in [(1000, 1, 1), (2000, 2, 1), (3000, 3, 2)] {
        bandwidth.says("perf_counters", &counters(value, seconds, ran));
        let report = bandwidth.collected().unwrap().report;
        let socket = |name: &str| report.metrics.sockets[name].total_bytes;
        let late: Vec<_> = report.problems.iter().map(|problem| problem.part.clone()).collect();
        seen.push((socket("0"), socket("1"), report.metrics.host.read_bytes, late));
    }
    let expected = [
        (Some(256_000), Some(256_000), Some(256_000), vec![]),
        (Some(512_000), None, None, vec!["sockets.1".to_owned()]),
        (Some(768_000), Some(768_000), Some(768_000), vec![]),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn no_sum_is_made_of_some_channels() {
    let refuse = |dir: &Path| {
        let path = dir.join("perf_counters");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(
            path,
            text.replace(
                "uncore_imc_1 cas_count_write 20 ",
                "uncore_imc_1 cas_count_write 20 errno 19 ",
            ),
        )
        .unwrap();
    };
    let error = Scripted::<MemoryBandwidth>::prepared("intel2s", refuse).collect().unwrap_err();
    assert_eq!(error.state(), State::Unavailable);
    assert!(error.to_string().starts_with("uncore_imc_1/cas_count_write/ on CPU 20: "), "{error}");
}

#[test]
fn events_that_are_not_listed_are_not_guessed() {
    let (df, umc) =
        ("sys/bus/event_source/devices/amd_df", "sys/bus/event_source/devices/amd_umc_");
    let newer = |dir: &Path| {
        let path = dir.join("proc/cpuinfo");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(path, text.replace("model\t\t: 1\n", "model\t\t: 17\n")).unwrap();
        assert!(dir.join(df).exists());
    };
    let error = Scripted::<MemoryBandwidth>::prepared("zen3", newer).collect().unwrap_err();
    assert_eq!(error.to_string(), "no event for memory traffic in amd_df");
    let other_fields = |dir: &Path| {
        for channel in 0..12 {
            fs::remove_file(dir.join(format!("{umc}{channel}/format/rdwrmask"))).unwrap();
        }
    };
    let error = Scripted::<MemoryBandwidth>::prepared("zen4", other_fields).collect().unwrap_err();
    assert_eq!(error.to_string(), "no event for memory traffic in amd_umc");
}

#[test]
fn groups_beyond_the_limit_are_left_out_and_said() {
    let many = |dir: &Path| {
        let root = dir.join("sys/fs/resctrl");
        for group in 0..MAX_MONITORS {
            copy(&root.join("mon_data"), &root.join(format!("tenant{group}/mon_data")));
        }
    };
    let report = Scripted::<Resctrl>::prepared("intel2s", many).collected().unwrap().report;
    assert!(report.truncated);
    assert_eq!(report.metrics.monitors.len(), MAX_MONITORS);
    for first in ["mon_L3_00", "web/mon_L3_00", "tenant0/mon_L3_00"] {
        assert!(report.metrics.monitors.contains_key(first), "{first}");
    }
}

/// Every file of a tree.
fn files(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, into) } else { into.push(path) }
    }
}

fn survives<C: Collector>(dir: &Path) {
    let mut tracker = Tracker::<C>::new(&Arc::new(Host::recorded(dir)));
    for _ in 0..2 {
        // Whether it makes sense is not asked here, only that it comes back.
        let _ = tracker.collect();
    }
}

/// What is a number somewhere and not everywhere.
const ODD: &[&[u8]] =
    &[b"18446744073709551615", b"-1", b"1e308", b"nan", b"0-8191", b"4294967296", b"config:63-0"];

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(64))]

    /// Any bytes at all in any file, and numbers that do not fit.
    #[test]
    fn no_bytes_make_a_meter_panic(
        host in proptest::sample::select(&["intel2s", "laptop", "zen3", "zen4"][..]),
        which: proptest::sample::Index,
        at in 0.0..1.0_f64,
        bytes in proptest::prop_oneof![
            proptest::collection::vec(proptest::num::u8::ANY, 0..100),
            proptest::sample::select(ODD).prop_map(<[u8]>::to_vec),
        ],
    ) {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture(host, "t0"), dir.path());
        let mut all = Vec::new();
        files(dir.path(), &mut all);
        all.sort();
        let path = which.get(&all);
        let mut text = fs::read(path).unwrap();
        let position = (text.len() as f64 * at) as usize;
        text.splice(position..(position + bytes.len()).min(text.len()), bytes);
        fs::write(path, text).unwrap();
        survives::<Power>(dir.path());
        survives::<MemoryBandwidth>(dir.path());
        survives::<Resctrl>(dir.path());
    }
}
