//! Lines and intervals as every version of `perf stat` writes them.

use super::*;

const NO_PMU: &[u8] = include_bytes!("../../../../fixtures/perf/host_vm_nopmu_root.csv");
const AARCH64: &[u8] = include_bytes!("../../../../fixtures/perf/aarch64_tcg_perf_6.1.txt");
const HYBRID: &[u8] = include_bytes!("../../../../fixtures/perf/alderlake_hybrid_lkml.csv");

fn intervals(text: impl AsRef<[u8]>) -> Vec<Interval> {
    let (mut parser, mut found) = (Intervals::default(), Vec::new());
    parser.feed(text.as_ref(), |interval| found.push(interval));
    found.extend(parser.settle());
    found
}

fn count(interval: &Interval, event: &str) -> Count {
    interval.counts[Event::ALL.iter().position(|known| known.name() == event).unwrap()]
}

fn counted(value: u64, running_ns: u64) -> Count {
    Count::Counted { value, running_ns, enabled_ns: running_ns, user_only: false }
}

fn check(line: &str, event: &str, expected: Option<Count>) {
    let parsed = Line::parse(line.as_bytes());
    assert_eq!(parsed.as_ref().map(|line| line.count), expected, "{line}");
    assert!(parsed.is_none_or(|line| Event::ALL[line.event].name() == event), "{line}");
}

#[test]
fn a_machine_without_a_pmu_counts_4_of_17() {
    let found = intervals(NO_PMU);
    let lengths: Vec<_> = found.iter().map(|interval| interval.length_ns).collect();
    assert_eq!(lengths, [1_001_061_019, 1_001_311_122, 1_002_192_738, 497_305_860]);
    let first = &found[0];
    assert_eq!(count(first, "cpu-clock"), counted(2_002_320_000, 2_002_318_468));
    assert_eq!(count(first, "context-switches"), counted(13396, 2_002_317_879));
    assert_eq!(count(first, "cpu-migrations"), counted(182, 2_002_317_247));
    assert_eq!(count(first, "page-faults"), counted(53116, 2_002_315_795));
    let rest = first.counts.iter().filter(|count| **count == Count::NotSupported).count();
    assert_eq!(rest, 13);
}

#[test]
fn an_arm_guest_counts_cycles() {
    let found = intervals(AARCH64);
    assert_eq!(found[0].length_ns, 501_145_536);
    assert_eq!(count(&found[0], "cycles"), counted(1_002_602_836, 1_002_619_184));
    assert_eq!(count(&found[0], "page-faults"), counted(0, 1_002_628_592));
    assert_eq!(count(&found[0], "iTLB-load-misses"), Count::NotSupported);
}

#[test]
fn counters_that_took_turns_say_how_much_they_ran() {
    let section = "     0.503730720,1017500190,,cycles,539818704,52.00,0.994,GHz";
    assert!(AARCH64.windows(section.len()).any(|window| window == section.as_bytes()));
    let expected = Count::Counted {
        value: 1_017_500_190,
        running_ns: 539_818_704,
        enabled_ns: 539_818_704 * 100 / 52,
        user_only: false,
    };
    check(section, "cycles", Some(expected));
}

#[test]
fn both_kinds_of_cpu_are_summed() {
    // Recorded without -I, whose times are put before the lines here.
    let timed: Vec<u8> = crate::parse::lines(HYBRID)
        .flat_map(|(_, line)| [b"     1.000500000,", line, b"\n"].concat())
        .collect();
    let found = intervals(&timed);
    assert_eq!(found.len(), 1);
    let (value, running_ns) = (6_766_433 + 256_500_230, 16_067_551_558 + 8_695_757_391);
    let enabled_ns = 16_067_551_558 + 8_695_757_391 * 100 / 54;
    let expected = Count::Counted { value, running_ns, enabled_ns, user_only: false };
    assert_eq!(count(&found[0], "cycles"), expected);
    assert_eq!(count(&found[0], "context-switches"), counted(225, 32_139_342_672));
    assert_eq!(count(&found[0], "L1-dcache-loads"), Count::Missing);
}

#[test]
fn a_sum_lacks_nothing_or_is_none() {
    let core = "     1.0,100,,cpu_core/cycles/,500,100.00,,\n";
    for (atom, expected) in [
        ("<not supported>,,cpu_atom/cycles/,0,100.00,,", Count::NotSupported),
        ("<not counted>,,cpu_atom/cycles/,0,0.00,,", Count::NotCounted),
        ("11,,cpu_atom/cycles/,50,100.00,,", counted(111, 550)),
    ] {
        let found = intervals(format!("{core}     1.0,{atom}\n"));
        assert_eq!(count(&found[0], "cycles"), expected);
        let found = intervals(format!("     1.0,{atom}\n{core}"));
        assert_eq!(count(&found[0], "cycles"), expected);
    }
}

#[test]
fn what_did_not_count_says_which_way() {
    for (line, event, expected) in [
        ("     1.0,<not supported>,,LLC-loads,0,100.00,,", "LLC-loads", Count::NotSupported),
        ("     1.0,<not counted>,,cycles,0,100.00,,", "cycles", Count::NotCounted),
        ("     1.0,<not counted>,msec,cpu-clock,0,0.00,,", "cpu-clock", Count::NotCounted),
    ] {
        check(line, event, Some(expected));
    }
}

#[test]
fn time_enabled_follows_from_whole_percents() {
    for (percent, enabled_ns) in [("100.00", 540), ("54.00", 1000), ("0.00", 54_000)] {
        let line = format!("     1.0,7,,cycles,540,{percent},,");
        let (value, running_ns, user_only) = (7, 540, false);
        check(&line, "cycles", Some(Count::Counted { value, running_ns, enabled_ns, user_only }));
    }
}

#[test]
fn user_space_alone_is_told_apart() {
    for (name, user_only) in [
        ("cycles:u", true),
        ("cpu_core/cycles/u", true),
        ("cycles:uk", false),
        ("cycles", false),
        ("cpu_atom/cycles/", false),
    ] {
        let line = format!("     1.0,7,,{name},9,100.00,,");
        let (value, running_ns, enabled_ns) = (7, 9, 9);
        check(&line, "cycles", Some(Count::Counted { value, running_ns, enabled_ns, user_only }));
    }
}

#[test]
fn decimals_with_commas_have_one_reading() {
    for (german, english) in [
        (
            "     0,501145536,1002,65,msec,cpu-clock,1002649040,100,00,2,005,CPUs utilized\n",
            "     0.501145536,1002.65,msec,cpu-clock,1002649040,100.00,2.005,CPUs utilized\n",
        ),
        (
            "     0,501145536,21,,context-switches,1002645472,52,00,20,945,/sec\n",
            "     0.501145536,21,,context-switches,1002645472,52.00,20.945,/sec\n",
        ),
        (
            "     0,501145536,<not supported>,,branches,0,100,00,,\n",
            "     0.501145536,<not supported>,,branches,0,100.00,,\n",
        ),
    ] {
        let found = intervals(german);
        assert_eq!(found.len(), 1);
        assert_eq!(found, intervals(english));
    }
}

#[test]
fn what_is_no_count_of_an_event_is_passed_over() {
    for line in [
        "",
        ",16067494476,100.00,,,,TopdownL1 (cpu_core)",
        "     1.0,,,,,,%  tma_backend_bound",
        "     0.500514752,CPU0,507904740,,cycles,507912768,100.00,1.000,GHz",
        "     0.500514752,S0-D0-C0,1,507919782,,cycles,507927808,100.00,1.000,GHz",
        "     1.0,7,,r11,9,100.00,,",
        "     1.0,7,Joules,cycles,9,100.00,,",
        "     1.0,-7,,cycles,9,100.00,,",
        "     1.0,1e9,,cycles,9,100.00,,",
        "     1.0,18446744073709551616,,cycles,9,100.00,,",
        "     1.0,7.5,,cycles,9,100.00,,",
        "     99999999999.0,7,,cycles,9,100.00,,",
        "     1.0000000001,7,,cycles,9,100.00,,",
        "     1\u{66b}0,7,,cycles,9,100\u{66b}00,,",
        "     1.0,7,,cycles/,9,100.00,,",
        "     1.0,7,,a/b/cycles/,9,100.00,,",
        "cycles,cycles,cycles,cycles,cycles,cycles",
        "WARNING: perf not found for kernel 6.18",
        r#"{"interval" : 0.503818464, "counter-value" : "1018156951.0", "event" : "cycles"}"#,
    ] {
        check(line, "cycles", None);
    }
}

#[test]
fn a_line_cut_anywhere_is_no_other_count() {
    let line = "     0.501145536,1002602836,,cycles,1002619184,100.00,1.000,GHz";
    for end in 0..=line.len() {
        let cut = &line[..end];
        assert_eq!(intervals(cut), [], "a line needs its line feed");
        for interval in intervals(format!("{cut}\n")) {
            let Count::Counted { value, running_ns, .. } = count(&interval, "cycles") else {
                panic!("{interval:?}")
            };
            assert_eq!((value, running_ns), (1_002_602_836, 1_002_619_184), "{cut}");
        }
    }
}

#[test]
fn pieces_of_any_size_give_the_same_intervals() {
    let whole = intervals(NO_PMU);
    for size in [1, 7, 64, 4096] {
        let (mut parser, mut found) = (Intervals::default(), Vec::new());
        for piece in NO_PMU.chunks(size) {
            parser.feed(piece, |interval| found.push(interval));
        }
        found.extend(parser.settle());
        assert_eq!(found, whole, "{size}");
    }
}

#[test]
fn a_flood_without_line_feeds_is_not_kept() {
    let (mut parser, mut found) = (Intervals::default(), Vec::new());
    for _ in 0..1000 {
        parser.feed(&[b'x'; 4096], |interval| found.push(interval));
    }
    assert!(parser.line.capacity() <= 2 * MAX_LINE_BYTES);
    parser.feed(b"\n     1.0,7,,cycles,9,100.00,,\n", |interval| found.push(interval));
    found.extend(parser.settle());
    assert_eq!(found.len(), 1, "what follows is read");
}

#[test]
fn time_that_stands_or_goes_back_makes_no_interval() {
    let text: String =
        ["5.0", "2.0", "3.5"].map(|time| format!("  {time},1,,cycles,9,100.00,,\n")).concat();
    let lengths: Vec<_> = intervals(text).iter().map(|interval| interval.length_ns).collect();
    assert_eq!(lengths, [5_000_000_000, 1_500_000_000]);
}
