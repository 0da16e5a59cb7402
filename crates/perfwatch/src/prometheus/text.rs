//! The two formats, and which of them is asked for.

use std::fmt::Write as _;

use axum::http::header::{ACCEPT, HeaderMap};

/// How Prometheus is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Prometheus' own, of 2014, which everything reads.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The media type, as an answer states it.
    pub(crate) const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What is asked for. OpenMetrics when it is named and not liked less than text; text for whoever asks for
    /// neither, so that nobody is turned away.
    pub(crate) fn accepted(headers: &HeaderMap) -> Self {
        let mut text = Liking::default();
        let mut open_metrics = Liking::default();
        let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in accept.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut version) = (1.0, None);
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    "q" => quality = value.parse::<f32>().unwrap_or(0.0).clamp(0.0, 1.0),
                    "version" => version = Some(value.to_owned()),
                    _ => {}
                }
            }
            let is_version = |ours: &str| version.as_deref().is_none_or(|version| version == ours);
            match kind.as_str() {
                "application/openmetrics-text" if is_version("1.0.0") => {
                    open_metrics.add(3, quality);
                }
                "text/plain" if is_version("0.0.4") => text.add(3, quality),
                "text/*" => text.add(2, quality),
                "*/*" => text.add(1, quality),
                _ => {}
            }
        }
        let named = open_metrics.precision > 0 && open_metrics.quality > 0.0;
        if named && open_metrics.quality >= text.quality { Self::OpenMetrics } else { Self::Text }
    }
}

/// How much a format is liked: what the most precise range that fits says.
#[derive(Debug, Default)]
struct Liking {
    precision: u8,
    quality: f32,
}

impl Liking {
    fn add(&mut self, precision: u8, quality: f32) {
        if precision > self.precision {
            *self = Self { precision, quality };
        } else if precision == self.precision {
            self.quality = self.quality.max(quality);
        }
    }
}

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Counter,
    Gauge,
    /// Its value is always 1, and its labels are what it says.
    Info,
    /// node_exporter does not say.
    Unknown,
}

/// An answer in the making.
pub(super) struct Page {
    format: Format,
    text: String,
}

impl Page {
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// A family with its samples. One without samples is left out. The name of a counter or an info comes without its
    /// ending.
    pub(super) fn family(
        &mut self,
        name: &str,
        kind: Type,
        help: &str,
        samples: impl FnOnce(&mut Family<'_>),
    ) {
        let start = self.text.len();
        let ending = match kind {
            Type::Counter => "_total",
            Type::Info => "_info",
            Type::Gauge | Type::Unknown => "",
        };
        let (title_ending, word) = match (self.format, kind) {
            (Format::Text, Type::Info | Type::Gauge) => (ending, "gauge"),
            (Format::Text, Type::Unknown) => (ending, "untyped"),
            (Format::Text, Type::Counter) => (ending, "counter"),
            (Format::OpenMetrics, Type::Counter) => ("", "counter"),
            (Format::OpenMetrics, Type::Info) => ("", "info"),
            (Format::OpenMetrics, Type::Gauge) => ("", "gauge"),
            (Format::OpenMetrics, Type::Unknown) => ("", "unknown"),
        };
        // Writing to a string cannot fail, here and below.
        let _ = write!(self.text, "# HELP {name}{title_ending} ");
        escape(&mut self.text, help, self.format == Format::OpenMetrics);
        let _ = writeln!(self.text, "\n# TYPE {name}{title_ending} {word}");
        let head = self.text.len();
        samples(&mut Family { text: &mut self.text, name, ending });
        if self.text.len() == head {
            self.text.truncate(start);
        }
    }

    /// A family with one sample without labels.
    pub(super) fn single(&mut self, name: &str, kind: Type, help: &str, value: &str) {
        self.family(name, kind, help, |family| family.sample("", value));
    }

    pub(super) fn end(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

/// A family whose samples are being written.
pub(super) struct Family<'p> {
    text: &'p mut String,
    name: &'p str,
    ending: &'static str,
}

impl Family<'_> {
    /// A sample. The labels are as [`label`] wrote them.
    pub(super) fn sample(&mut self, labels: &str, value: &str) {
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        let _ = writeln!(self.text, "{}{}{open}{labels}{close} {value}", self.name, self.ending);
    }
}

/// Writes a label after those that are there: `device="sda",mode="idle"`.
pub(crate) fn label(into: &mut String, name: &str, value: &str) {
    let comma = if into.is_empty() { "" } else { "," };
    let _ = write!(into, "{comma}{name}=\"");
    escape(into, value, true);
    into.push('"');
}

/// Backslashes, line feeds and, where one would end the text, quotes are escaped. Both formats have no other escapes.
fn escape(into: &mut String, text: &str, quotes: bool) {
    for character in text.chars() {
        match character {
            '\\' => into.push_str("\\\\"),
            '\n' => into.push_str("\\n"),
            '"' if quotes => into.push_str("\\\""),
            _ => into.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(accept: &[&str]) -> Format {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, value.parse().unwrap());
        }
        Format::accepted(&headers)
    }

    #[test]
    fn who_asks_for_openmetrics_gets_it() {
        for accept in [
            &["application/openmetrics-text"][..],
            &["application/openmetrics-text; version=\"1.0.0\"; charset=utf-8"],
            // Prometheus 2.42, and 3.
            &[
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
               text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            ],
            &["application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,\
               text/plain;version=0.0.4;q=0.2,*/*;q=0.1"],
            &["text/plain;q=0.3", "APPLICATION/OpenMetrics-Text;Q=0.4"],
            &["text/plain;q=0, */*, application/openmetrics-text;q=0.001"],
            &["text/plain, application/openmetrics-text"],
        ] {
            assert_eq!(accepted(accept), Format::OpenMetrics, "{accept:?}");
        }
    }

    #[test]
    fn everybody_else_gets_text() {
        for accept in [
            &[][..],
            &["*/*"],
            &["text/html,application/xhtml+xml,*/*;q=0.8"],
            &["application/openmetrics-text;version=0.0.1"],
            &["application/openmetrics-text;q=0.3,text/plain;version=0.0.4;q=0.5"],
            &["application/openmetrics-text;q=0"],
            &["application/openmetrics-text;q=0.3, text/*"],
            &["application/openmetrics-text;q=nonsense"],
            &["image/png"],
            &[";;;,=,q=1"],
        ] {
            assert_eq!(accepted(accept), Format::Text, "{accept:?}");
        }
    }

    #[test]
    fn a_family_without_samples_is_left_out() {
        let mut page = Page::new(Format::OpenMetrics);
        page.family("a", Type::Gauge, "x", |_| {});
        page.family("b", Type::Counter, "\"\\\n", |family| family.sample("", "1"));
        page.family("c", Type::Info, "x", |family| family.sample("d=\"e\"", "1"));
        let expected = "# HELP b \\\"\\\\\\n\n# TYPE b counter\nb_total 1\n# HELP c x\n# TYPE c info\nc_info{d=\"e\"} 1\n# EOF\n";
        assert_eq!(page.end(), expected);
        let mut page = Page::new(Format::Text);
        page.family("b", Type::Counter, "\"\\\n", |family| family.sample("", "1"));
        let expected = "# HELP b_total \"\\\\\\n\n# TYPE b_total counter\nb_total 1\n";
        assert_eq!(page.end(), expected);
    }
}
