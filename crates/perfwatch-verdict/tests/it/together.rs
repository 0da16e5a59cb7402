//! Several things at once, what is told of them, and what is not.

use perfwatch_verdict::{
    Happening, Kind, LONGER_MS, LONGER_STEP_MS, MAX_SENTENCES, Severity, Trend, Window,
    wants_longer, wants_usual,
};
use serde_json::json;

use crate::situation::{AT_MS, STEPS, Situation};

const GIB: f64 = (1_u64 << 30) as f64;

/// A disk that is saturated from a step on.
fn saturated(situation: Situation, device: &str, from: usize, busy: f64) -> Situation {
    let of = |metric: &str| format!("disk.devices.{metric}{{device=\"{device}\"}}");
    let when = move |busy: f64, idle: f64| move |step| Some(if step >= from { busy } else { idle });
    situation
        .with(&of("utilization_percent"), "%", when(busy, 1.0))
        .with(&of("queue_depth"), "count", when(12.3, 0.0))
        .with(&of("read_latency_ms"), "ms", move |step| (step >= from).then_some(40.2))
        .with("pressure.resources.some_percent{resource=\"io\"}", "%", when(45.0, 0.0))
        .with("pressure.resources.full_percent{resource=\"io\"}", "%", when(30.0, 0.0))
}

fn short_of_memory(situation: Situation, from: usize) -> Situation {
    situation.with("pressure.resources.full_percent{resource=\"memory\"}", "%", move |step| {
        Some(if step >= from { 31.0 } else { 0.0 })
    })
}

#[test]
fn a_sentence_has_its_numbers_its_time_and_its_proof() {
    let situation = saturated(Situation::quiet(), "vdb", STEPS - 24, 97.2);
    let verdict = serde_json::to_value(situation.judge()).unwrap();
    let since = AT_MS - 240_000;
    let proof = |select: &str, value: f64, unit: &str| json!({ "select": select, "from_ms": since, "to_ms": AT_MS, "value": value, "unit": unit, "usual": null });
    let text = "Disk vdb is saturated: busy 97 % of the time, 12 requests in flight on average, something waits for I/O 45 % of the \
                time, a read takes 40 ms; for 4 minutes.";
    let expected = json!({
        "at_ms": AT_MS, "window_ms": 300_000, "quiet": null, "unsure": null,
        "sentences": [{
            "rule": "disk-saturated", "resource": "disk", "kind": "saturation", "severity": "warning", "text": text,
            "since_ms": since, "object": { "device": "vdb" },
            "evidence": [
                proof("disk.devices.utilization_percent{device=\"vdb\"}", 97.2, "%"),
                proof("disk.devices.queue_depth{device=\"vdb\"}", 12.3, "count"),
                proof("pressure.resources.some_percent{resource=\"io\"}", 45.0, "%"),
                proof("disk.devices.read_latency_ms{device=\"vdb\"}", 40.2, "ms"),
            ],
        }],
    });
    let close = |value: &serde_json::Value| {
        value.to_string().replace("97.20000000000002", "97.2").replace("97.19999999999999", "97.2")
    };
    let rounded = |mut value: serde_json::Value| {
        for evidence in value["sentences"][0]["evidence"].as_array_mut().unwrap() {
            let number = evidence["value"].as_f64().unwrap();
            evidence["value"] = ((number * 1000.0).round() / 1000.0).into();
        }
        value
    };
    assert_eq!(close(&rounded(verdict)), close(&expected));
}

#[test]
fn quiet_is_said() {
    let verdict = Situation::quiet().judge();
    assert_eq!(verdict.quiet.as_deref(), Some("Nothing stands out in the last 5 minutes."));
    assert!(verdict.sentences.is_empty() && verdict.unsure.is_none());
}

#[test]
fn what_is_not_measured_makes_unsure_and_silent() {
    let known = |from: usize| move |step| (step >= from).then_some(99.0);
    let full = "disk.partitions.usage_percent{mountpoint=\"/\"}";
    for (from, words) in [
        (STEPS, "Nothing was measured in the 5 minutes before this moment."),
        (STEPS - 2, "Too little was measured before this moment: 20 seconds; it takes 30 seconds."),
    ] {
        let mut situation = Situation::quiet().with(full, "%", known(from));
        situation.0.series.remove(0);
        let verdict = situation.judge();
        assert_eq!(verdict.unsure.as_deref(), Some(words));
        assert!(verdict.sentences.is_empty() && verdict.quiet.is_none());
    }
    let now_and_then = |step: usize| (step < 100 || step.is_multiple_of(3)).then_some(3.0);
    let verdict = Situation::quiet().with("cpu.usage_percent", "%", now_and_then).judge();
    assert_eq!(
        verdict.unsure.as_deref(),
        Some("Only 33 % of the 5 minutes before this moment was measured.")
    );
    let mut hourly = Situation::quiet();
    hourly.0.step_ms = 3_600_000;
    let words = "Of this time history has one value for each 60 minutes: too few to say.";
    assert_eq!(hourly.judge().unsure.as_deref(), Some(words));
    // Half a minute is enough.
    let mut young = Situation::quiet().with(full, "%", known(STEPS - 3));
    young = young.with("disk.partitions.free_bytes{mountpoint=\"/\"}", "bytes", |_| Some(0.0));
    young.0.series.remove(0);
    assert_eq!(young.rules(), ["fs-full"]);
}

#[test]
fn one_cause_is_one_sentence() {
    let disk = || saturated(Situation::quiet(), "vda", 100, 99.0);
    assert_eq!(disk().rules(), ["disk-saturated"], "and not I/O that stands still as well");
    assert_eq!(short_of_memory(disk(), 100).rules(), ["memory-pressure"], "reclaim shows as I/O");
    let killed = short_of_memory(disk(), 100)
        .with("memory.oom_kills", "count", |step| Some(if step == STEPS - 5 { 1.0 } else { 0.0 }));
    assert_eq!(killed.rules(), ["oom-kill"]);

    let busy = || {
        Situation::quiet()
            .always("cpu.usage_percent", "%", 99.0)
            .always("scheduler.run_queue_wait", "count", 6.0)
            .always("pressure.resources.some_percent{resource=\"cpu\"}", "%", 99.0)
    };
    assert_eq!(busy().rules(), ["cpu-saturated"]);
    let held_back = busy().always("cgroups.slices.throttled_percent{slice=\"batch\"}", "%", 80.0);
    assert_eq!(held_back.rules(), ["cgroup-throttled"]);
    let storm = busy().always("scheduler.forks_per_sec", "events/s", 3000.0).always(
        "cpu.system",
        "%",
        60.0,
    );
    assert_eq!(storm.rules(), ["fork-storm"]);
}

#[test]
fn a_cause_hides_what_is_at_the_same_time_on_the_same_object_alone() {
    // The disk was saturated a minute ago; memory had been short long before that.
    let before = saturated(Situation::quiet(), "vda", STEPS - 6, 99.0).with(
        "pressure.resources.full_percent{resource=\"memory\"}",
        "%",
        |step| Some(if (STEPS - 40..STEPS - 25).contains(&step) { 31.0 } else { 0.0 }),
    );
    assert_eq!(before.rules(), ["memory-pressure", "disk-saturated"]);

    let fills = |mountpoint: &str, free: f64, situation: Situation| {
        let of = |metric: &str| format!("disk.partitions.{metric}{{mountpoint=\"{mountpoint}\"}}");
        situation
            .always(&of("usage_percent"), "%", 100.0 - free)
            .with(&of("used_bytes"), "bytes", move |step| Some(GIB * (90.0 + step as f64 / 180.0)))
            .always(&of("free_bytes"), "bytes", GIB * free / 10.0)
    };
    let both = fills("/full", 1.0, fills("/fills", 10.0, Situation::quiet()));
    assert_eq!(both.rules(), ["fs-full", "fs-fills"]);
    let sentences = both.judge().sentences;
    assert_eq!(sentences[1].object["mountpoint"], "/fills");
    assert_eq!(
        sentences[1].text,
        "/fills will be full in 30 minutes at the rate of the last 30 minutes: 2 GiB more are used an hour, 1 GiB are free."
    );
    assert_eq!(sentences[1].severity, Severity::Critical);
}

#[test]
fn a_week_of_history_is_carried_on() {
    let hour = 3_600_000;
    let used = |hours: i64| (100.0 + hours as f64 / 12.0) * GIB;
    let trend = |mountpoint: &str| Trend {
        mountpoint: mountpoint.to_owned(),
        used: (0..168).map(|hours| (AT_MS - (168 - hours) * hour, used(hours))).collect(),
    };
    let mut situation = Situation::quiet()
        .always("disk.partitions.used_bytes{mountpoint=\"/var\"}", "bytes", used(168))
        .always("disk.partitions.free_bytes{mountpoint=\"/var\"}", "bytes", 19.0 * GIB);
    situation.0.trends.push(trend("/var"));
    let verdict = situation.judge();
    let sentence = &verdict.sentences[0];
    assert_eq!(
        (sentence.rule, sentence.kind, sentence.severity),
        ("fs-fills", Kind::Forecast, Severity::Notice)
    );
    let text = "/var will be full in 10 days at this week's rate: 2 GiB more are used a day, 19 GiB are free.";
    assert_eq!(sentence.text, text);
    assert_eq!(sentence.evidence[0].from_ms, AT_MS - 168 * hour);
}

#[test]
fn objects_of_one_rule_share_a_sentence() {
    let mut situation = Situation::quiet();
    for (device, busy) in [
        ("vda", 95.0),
        ("vda1", 95.0),
        ("nvme0n1", 99.0),
        ("nvme0n1p2", 98.0),
        ("vdc", 93.0),
        ("sdd", 92.0),
        ("sde", 91.0),
    ] {
        situation = saturated(situation, device, 100, busy);
    }
    let verdict = situation.judge();
    assert_eq!(verdict.sentences.len(), 1);
    assert!(
        verdict.sentences[0].text.starts_with("Disk nvme0n1 is saturated"),
        "{}",
        verdict.sentences[0].text
    );
    assert!(
        verdict.sentences[0].text.ends_with(" Also vda, vdc, sdd and 1 more."),
        "{}",
        verdict.sentences[0].text
    );
    assert_eq!(verdict.sentences[0].evidence.len(), 4 + 3);
}

#[test]
fn at_most_five_are_told_the_worst_first() {
    let all = saturated(Situation::quiet(), "vda", 100, 95.0)
        .always("network.conntrack.usage_percent", "%", 99.0)
        .always("kernel.open_files_percent", "%", 85.0)
        .always("kernel.threads_percent", "%", 85.0)
        .always("memory.usage_percent", "%", 96.0)
        .always("cpu.steal", "%", 20.0)
        .always("self.cpu_percent", "%", 50.0);
    let verdict = all.judge();
    assert_eq!(verdict.sentences.len(), MAX_SENTENCES);
    assert_eq!(verdict.sentences[0].rule, "conntrack-full");
    assert!(verdict.sentences.is_sorted_by_key(|one| one.severity));
    assert!(!all.rules().contains(&"own-cost"));
}

#[test]
fn what_is_usual_at_this_hour_is_less_severe() {
    let situation = saturated(Situation::quiet(), "vda", 100, 97.0);
    let nightly = situation
        .with("disk.devices.utilization_percent{device=\"vda\"}", "%", |_| Some(97.0))
        .usually(80.0, 99.0);
    let sentence = &nightly.judge().sentences[0];
    assert_eq!(sentence.severity, Severity::Notice);
    assert!(
        sentence.text.contains("busy 97 % of the time (usually 80 % to 99 %)"),
        "{}",
        sentence.text
    );
    assert!(sentence.text.contains("as usual at this hour"), "{}", sentence.text);
    assert_eq!(sentence.evidence[0].usual.map(|usual| usual.high), Some(99.0));
}

#[test]
fn what_is_unusual_is_told_when_nothing_else_is_said_of_the_resource() {
    let busy = || Situation::quiet().always("cpu.usage_percent", "%", 95.0).usually(2.0, 5.0);
    assert_eq!(busy().rules(), ["cpu-unusual"]);
    assert_eq!(busy().always("cpu.steal", "%", 20.0).rules(), ["cpu-stolen"]);
    assert_eq!(
        busy().always("network.conntrack.usage_percent", "%", 85.0).rules(),
        ["conntrack-full", "cpu-unusual"]
    );
    // A build of some minutes is not.
    let build = |step| Some(if step >= STEPS - 40 { 95.0 } else { 3.0 });
    let build = Situation::quiet().with("cpu.usage_percent", "%", build).usually(2.0, 5.0);
    assert_eq!(build.rules(), [""; 0]);
}

#[test]
fn a_state_that_always_was_is_no_news() {
    let link = |up: fn(usize) -> f64| {
        Situation::quiet().with(
            "network.interfaces.link_up{interface=\"eth1\"}",
            "0 or 1",
            move |step| Some(up(step)),
        )
    };
    assert_eq!(link(|_| 0.0).rules(), [""; 0], "no cable was ever plugged in");
    assert_eq!(link(|step| if step < 100 { 1.0 } else { 0.0 }).rules(), ["link-down"]);
    assert_eq!(link(|_| 0.0).usually(1.0, 1.0).rules(), ["link-down"], "on other days it is up");
    assert_eq!(link(|_| 0.0).usually(0.0, 0.0).rules(), [""; 0]);
    let sentence = &link(|_| 0.0).usually(1.0, 1.0).judge().sentences[0];
    assert_eq!(sentence.since_ms, None);
    assert!(sentence.text.ends_with("; for more than 30 minutes."), "{}", sentence.text);
}

#[test]
fn what_has_gone_on_for_long_is_known_from_a_longer_look() {
    let busy = |from: usize| saturated(Situation::quiet(), "vda", from, 97.0);
    let mut situation = busy(0);
    assert!(situation.judge().sentences[0].text.ends_with("; for more than 30 minutes."));
    let select = "disk.devices.utilization_percent{device=\"vda\"}".to_owned();
    assert!(wants_longer(&situation.0).contains(&select));
    assert!(wants_longer(&busy(3).0).is_empty());
    // A day in steps of five minutes.
    let day = |from: usize| {
        let step_ms = LONGER_STEP_MS;
        let steps = (LONGER_MS / step_ms) as usize;
        let from_ms = AT_MS - LONGER_MS;
        let window =
            Window { from_ms, step_ms, steps, at_ms: AT_MS, cpus: Some(2), ..Window::default() };
        Some(Box::new(saturated(Situation(window), "vda", from, 97.0).0))
    };
    situation.0.longer = day(288 - 60);
    let sentence = situation.judge().sentences.remove(0);
    assert_eq!(sentence.since_ms, Some(AT_MS - 18_000_000));
    assert!(sentence.text.ends_with("; for 5 hours."), "{}", sentence.text);
    assert_eq!(sentence.evidence[0].from_ms, AT_MS - 1_800_000, "the mean is of the half hour");
    // A history that began minutes ago, in the middle of a coarse step.
    let mut young = saturated(Situation::quiet(), "vda", 0, 97.0);
    for series in &mut young.0.series {
        series.values[..STEPS - 6].fill(None);
    }
    young.0.longer = day(287);
    assert!(young.judge().sentences[0].text.ends_with("; for more than 60 seconds."));
    situation.0.longer = day(0);
    let sentence = situation.judge().sentences.remove(0);
    assert!(sentence.since_ms.is_none() && sentence.text.ends_with("; for more than 24 hours."));
}

#[test]
fn a_hole_ends_what_went_on_before_it() {
    let holed = |ago: usize| {
        let known = move |step: usize| step + ago < STEPS;
        saturated(Situation::quiet(), "vda", 100, 97.0).with(
            "disk.devices.queue_depth{device=\"vda\"}",
            "count",
            move |step| known(step).then_some(9.0),
        )
    };
    let text = |situation: Situation| situation.judge().sentences[0].text.clone();
    assert!(text(holed(0)).contains("; for 13 minutes."));
    assert!(text(holed(4)).contains("; for 13 minutes."), "{}", text(holed(4)));
    assert!(text(holed(12)).contains("until 2 minutes ago."), "{}", text(holed(12)));
}

fn part(part: &str, state: &str, reason: &str) -> Happening {
    Happening::Part { part: part.to_owned(), state: state.to_owned(), reason: reason.to_owned() }
}

#[test]
fn events_tell_of_mounts_that_hang_and_of_a_history_that_is_not_written() {
    let late = || part("disk.partitions./mnt/a b", "late", "no answer within 10 ms");
    let stuck = Situation::quiet().event(86_400, Happening::Start).event(7_200, late());
    let sentence = &stuck.judge().sentences[0];
    assert_eq!((sentence.rule, sentence.severity), ("mount-stuck", Severity::Critical));
    assert_eq!(
        sentence.text,
        "The file system at /mnt/a b does not answer: no answer within 10 ms; for 2 hours."
    );
    assert_eq!(sentence.since_ms, Some(AT_MS - 7_200_000));
    assert_eq!(sentence.evidence[0].select, "disk.partitions.total_bytes{mountpoint=\"/mnt/a b\"}");

    let answered = part("disk.partitions./mnt/a b", "ok", "");
    let restarted = Happening::Start;
    for end in [answered, restarted] {
        let over = |ago| Situation::quiet().event(7_200, late()).event(ago, end.clone());
        assert_eq!(over(600).rules(), [""; 0]);
        assert!(over(120).judge().sentences[0].text.ends_with("until 2 minutes ago."));
    }
    let out_of_reach = part("disk.partitions./boot", "failed", "No such file or directory");
    assert_eq!(Situation::quiet().event(600, out_of_reach).rules(), [""; 0]);
    let failed = Situation::quiet()
        .event(600, late())
        .event(60, part("disk.partitions./mnt/a b", "failed", "EIO"));
    assert!(failed.judge().sentences[0].text.contains("EIO; for 10 minutes"));
    assert_eq!(Situation::quiet().event(20, late()).rules(), [""; 0], "it may come back");
    assert_eq!(Situation::quiet().event(-20, late()).rules(), [""; 0], "it has not happened yet");
    assert_eq!(
        Situation::quiet().event(600, part("cpu.temperature_celsius", "late", "")).rules(),
        [""; 0]
    );
    assert_eq!(
        Situation::quiet().event(600, part("network", "failed", "")).rules(),
        ["collector-missing"]
    );

    let full = Happening::History { problem: Some("No space left on device".to_owned()) };
    let unwritten = Situation::quiet().event(600, full.clone());
    let text = "PerfWatch cannot write its history: No space left on device; for 10 minutes.";
    assert_eq!(unwritten.judge().sentences[0].text, text);
    let written =
        Situation::quiet().event(900, full).event(600, Happening::History { problem: None });
    assert_eq!(written.rules(), [""; 0]);
}

#[test]
fn the_usual_is_asked_for_where_it_matters() {
    let situation = saturated(Situation::quiet(), "vda", 100, 97.0)
        .always("disk.devices.read_bytes_per_sec{device=\"vda\"}", "bytes/s", 500e6)
        .always("disk.devices.read_bytes_per_sec{device=\"vdb\"}", "bytes/s", 5.0)
        .always("network.interfaces.link_up{interface=\"eth1\"}", "0 or 1", 0.0);
    let wanted = wants_usual(&situation.0);
    for select in [
        "disk.devices.utilization_percent{device=\"vda\"}",
        "disk.devices.read_bytes_per_sec{device=\"vda\"}",
        "network.interfaces.link_up{interface=\"eth1\"}",
    ] {
        assert!(wanted.iter().any(|one| one == select), "{select}: {wanted:?}");
    }
    assert!(
        !wanted.iter().any(|one| one.contains("vdb") || one == "cpu.usage_percent"),
        "{wanted:?}"
    );
}

#[test]
fn names_cannot_talk_to_a_terminal() {
    let evil = "\x1b[2J\n{}\u{202e}\"";
    let situation = saturated(Situation::quiet(), "evil", 100, 97.0);
    let mut window = situation.0;
    for series in &mut window.series {
        series
            .labels
            .iter_mut()
            .filter(|(name, _)| name == "device")
            .for_each(|(_, value)| *value = evil.to_owned());
    }
    let verdict = perfwatch_verdict::judge(&window);
    let sentence = &verdict.sentences[0];
    assert!(
        sentence.text.starts_with("Disk \\u{1b}[2J\\u{a}{}\\u{202e}\" is saturated: busy 97 %"),
        "{}",
        sentence.text
    );
    assert_eq!(sentence.object["device"], evil, "as it is, for programs");
}
