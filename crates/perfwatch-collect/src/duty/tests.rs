//! Errands that hang, are slow, or are many.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::errand::Slow;

/// Runs the same errands `rounds` times and reports after each.
struct Rounds {
    errands: Vec<Arc<dyn Errand>>,
    awaited: Vec<Arc<dyn Errand>>,
    left: usize,
    report: Sender<thread::ThreadId>,
    go_on: Receiver<()>,
}

impl Duty for Rounds {
    fn begin(&mut self) -> Option<Batch> {
        self.left = self.left.checked_sub(1)?;
        let deadline = Instant::now() + Duration::from_secs(10);
        Some(Batch { errands: self.errands.clone(), awaited: self.awaited.clone(), deadline })
    }

    fn end(&mut self) -> ControlFlow<()> {
        let told = self.report.send(thread::current().id()).is_ok() && self.go_on.recv().is_ok();
        if told { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}

fn rounds(
    errands: Vec<Arc<dyn Errand>>,
    awaited: Vec<Arc<dyn Errand>>,
    left: usize,
) -> (Receiver<thread::ThreadId>, Sender<()>) {
    let (report, reports) = channel();
    let (go, go_on) = channel();
    start(Rounds { errands, awaited, left, report, go_on }).unwrap();
    (reports, go)
}

fn stuck() -> (Sender<()>, Arc<Slow<bool>>) {
    let (release, gate): (_, Receiver<()>) = channel();
    (release, Slow::new(move || gate.recv().is_ok()))
}

#[test]
fn while_nothing_hangs_one_thread_does_it_all() {
    let errand = Slow::new(|| thread::current().id());
    let (reports, go) = rounds(Vec::new(), vec![errand.clone()], 50);
    let first = reports.recv().unwrap();
    assert_eq!(errand.take().unwrap().outcome, Ok(first));
    for _ in 1..50 {
        go.send(()).unwrap();
        assert_eq!(reports.recv().unwrap(), first);
        assert_eq!(errand.take().unwrap().outcome, Ok(first));
    }
}

#[test]
fn what_hangs_costs_a_thread_and_nothing_else() {
    let hung: Vec<_> = (0..8).map(|_| stuck()).collect();
    let fine = Slow::new(|| ());
    let errands = hung.iter().map(|(_, errand)| Arc::clone(errand) as Arc<dyn Errand>).collect();
    let (reports, go) = rounds(errands, vec![fine.clone()], 40);
    let round = || {
        let on_duty = reports.recv().unwrap();
        assert!(fine.take().is_some(), "what does not hang is done at every round");
        on_duty
    };
    let mut on_duty = round();
    // A busy host may take more than one to begin them all.
    while hung.iter().any(|(_, errand)| errand.under_way_since().is_none()) {
        go.send(()).unwrap();
        on_duty = round();
    }
    let mut relieved = 0;
    for _ in 0..20 {
        go.send(()).unwrap();
        let before = std::mem::replace(&mut on_duty, round());
        relieved += usize::from(on_duty != before);
    }
    // A thread that gets no CPU looks as if it hung, and not at every round.
    assert!(relieved <= 5, "what hangs is begun again: relieved in {relieved} of 20 rounds");
    for (release, _) in &hung {
        release.send(()).unwrap();
    }
}

#[test]
fn one_that_hangs_after_another_is_relieved_as_well() {
    let hung: Vec<_> = (0..3).map(|_| stuck()).collect();
    let turn = Arc::new(Mutex::new(None::<Arc<Slow<bool>>>));
    let fine = Slow::new(|| ());
    let again: Vec<_> = (0..3).map(|_| hangs_at(&turn)).collect();
    let errands = again.iter().map(|errand| Arc::clone(errand) as Arc<dyn Errand>).collect();
    let (reports, go) = rounds(errands, vec![fine.clone()], 10);
    for round in 0..10 {
        reports.recv_timeout(Duration::from_secs(5)).expect("sampling goes on");
        assert!(fine.take().is_some());
        if round % 3 == 0
            && let Some((_, errand)) = hung.get(round / 3)
        {
            *turn.lock().unwrap() = Some(Arc::clone(errand));
        }
        // The last round has nobody waiting.
        let _ = go.send(());
    }
    assert!(hung.iter().all(|(_, errand)| errand.under_way_since().is_some()));
}

/// An errand that hangs in what is laid into `turn`, and else comes back.
fn hangs_at(turn: &Arc<Mutex<Option<Arc<Slow<bool>>>>>) -> Arc<Slow<()>> {
    let turn = Arc::clone(turn);
    Slow::new(move || {
        let errand = turn.lock().unwrap().take();
        if let Some(errand) = errand {
            errand.run();
        }
    })
}

#[test]
fn beyond_the_limit_errands_are_left_undone_and_the_rest_goes_on() {
    let hung: Vec<_> = (0..MAX_THREADS + 20).map(|_| stuck()).collect();
    let fine = Slow::new(|| ());
    let errands = hung.iter().map(|(_, errand)| Arc::clone(errand) as Arc<dyn Errand>).collect();
    let (reports, go) = rounds(errands, vec![fine.clone()], 12);
    let mut stuck = 0;
    for _ in 0..12 {
        reports.recv().unwrap();
        assert!(fine.take().is_some());
        stuck = hung.iter().filter(|(_, errand)| errand.under_way_since().is_some()).count();
        // The last round has nobody waiting.
        let _ = go.send(());
    }
    assert!((MAX_STUCK - 2..=MAX_STUCK).contains(&stuck), "{stuck} stuck");
}

#[test]
fn many_slow_errands_do_not_hold_up_what_is_waited_for() {
    let runs = Arc::new(AtomicUsize::new(0));
    let slow = || {
        let runs = Arc::clone(&runs);
        Slow::new(move || {
            runs.fetch_add(1, Ordering::Relaxed);
            thread::sleep(PATIENCE * 9 / 10);
        })
    };
    let slow: Vec<_> = (0..20).map(|_| slow()).collect();
    let begun = Arc::new(Mutex::new(Vec::new()));
    let times = Arc::clone(&begun);
    let fine = Slow::new(move || times.lock().unwrap().push(Instant::now()));
    let errands = slow.iter().map(|errand| Arc::clone(errand) as Arc<dyn Errand>).collect();
    let (reports, go) = rounds(errands, vec![fine.clone()], 12);
    for _ in 0..12 {
        reports.recv().unwrap();
        // The last round has nobody waiting.
        let _ = go.send(());
    }
    // Of 20 at most so many are begun before the rest waits for the next round.
    let runs = runs.load(Ordering::Relaxed);
    assert!(runs <= 12 * 14, "{runs} runs");
    assert_eq!(begun.lock().unwrap().len(), 12);
    assert!(slow.iter().all(|errand| errand.last_took().is_some()), "each had its turn");
}

#[test]
fn what_is_only_slow_is_waited_for() {
    let slow = Slow::new(|| thread::sleep(PATIENCE * 3));
    let (reports, _go) = rounds(Vec::new(), vec![slow.clone()], 1);
    reports.recv().unwrap();
    assert!(slow.take().is_some());
}
