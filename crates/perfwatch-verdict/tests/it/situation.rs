//! Windows as a test writes them down.

use perfwatch_verdict::{
    Event, Happening, LOOKBACK_STEPS, Rule, Series, Signal, Test, Usual, Verdict, Window, judge,
};

/// Steps of ten seconds; the last five minutes are 30 of them.
pub(crate) const STEPS: usize = LOOKBACK_STEPS as usize;

/// When the windows end.
pub(crate) const AT_MS: i64 = 1_795_400_000_000;

/// So many days at this hour were as `usual` says.
pub(crate) fn usual(low: f64, high: f64) -> Option<Usual> {
    Some(Usual { low, high, days: 7 })
}

/// An idle host of two CPUs, for half an hour.
pub(crate) struct Situation(pub(crate) Window);

impl Situation {
    pub(crate) fn quiet() -> Self {
        let step_ms = 10_000;
        let window = Window {
            from_ms: AT_MS - step_ms * STEPS as i64,
            step_ms,
            steps: STEPS,
            at_ms: AT_MS,
            cpus: Some(2),
            ..Window::default()
        };
        Self(window).with("cpu.usage_percent", "%", |_| Some(3.0))
    }

    /// With this series; of it in braces what a selector has there. What was there of it is gone.
    pub(crate) fn with(
        mut self,
        select: &str,
        unit: &str,
        value: impl Fn(usize) -> Option<f64>,
    ) -> Self {
        let (id, labels) = select.split_once('{').unwrap_or((select, ""));
        let labels = labels.trim_end_matches('}').split_once('=');
        let labels =
            labels.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned()));
        self.0.series.retain(|one| one.select != select);
        self.0.series.push(Series {
            id: id.to_owned(),
            labels: labels.into_iter().collect(),
            select: select.to_owned(),
            unit: unit.to_owned(),
            values: (0..self.0.steps).map(value).collect(),
            usual: None,
        });
        self
    }

    pub(crate) fn always(self, select: &str, unit: &str, value: f64) -> Self {
        self.with(select, unit, |_| Some(value))
    }

    /// The series that was added last usually is so.
    pub(crate) fn usually(mut self, low: f64, high: f64) -> Self {
        self.0.series.last_mut().unwrap().usual = usual(low, high);
        self
    }

    pub(crate) fn event(mut self, ago_s: i64, what: Happening) -> Self {
        self.0.events.push(Event { at_ms: AT_MS - ago_s * 1000, what });
        self
    }

    /// The series of a signal, on an object called so.
    pub(crate) fn signal(
        self,
        rule: &Rule,
        signal: &Signal,
        object: &str,
        value: impl Fn(usize) -> f64,
    ) -> Self {
        let label = signal.only.or(rule.object.map(|label| (label, object)));
        let select = match label {
            Some((name, value)) => format!("{}{{{name}=\"{value}\"}}", signal.id),
            None => signal.id.to_owned(),
        };
        let mut this = self.with(&select, "%", |step| Some(value(step)));
        if matches!(signal.test, Test::FarAbove { .. } | Test::FarBelow { .. }) {
            let (low, high) = usual_of(signal);
            this = this.usually(low, high);
        }
        this
    }

    pub(crate) fn judge(&self) -> Verdict {
        judge(&self.0)
    }

    /// Names of the rules that speak.
    pub(crate) fn rules(&self) -> Vec<&'static str> {
        self.judge().sentences.iter().map(|one| one.rule).collect()
    }
}

/// A usual with which a signal can be far out.
pub(crate) fn usual_of(signal: &Signal) -> (f64, f64) {
    match signal.test {
        Test::FarBelow { floor } => (floor * 10.0, floor * 20.0),
        _ => (1.0, 2.0),
    }
}

/// A value past a signal's first threshold, one between the two, and one back past the second.
pub(crate) fn values(signal: &Signal, cpus: f64) -> (f64, f64, f64) {
    let scale = if signal.per_cpu { cpus } else { 1.0 };
    match signal.test {
        Test::Above { enter, .. } if enter.is_infinite() => (1.0, 1.0, 1.0),
        Test::Above { enter, leave } => {
            (enter * scale * 1.01, (enter + leave) / 2.0 * scale, leave * scale * 0.5)
        }
        Test::Below { enter, leave } => (enter * 0.9, (enter + leave) / 2.0, leave * 1.1),
        Test::FarAbove { floor } => (2.0 + floor.max(2.0) * 1.1, 2.0 + floor.max(2.0) * 0.7, 2.0),
        Test::FarBelow { floor } => (floor * 0.9, floor * 2.0, floor * 9.0),
    }
}
