//! Every setting, once: `GET /api/v1/settings` and dist/perfwatch.toml come from here, and a test holds the
//! configuration file's parser and the command line to it.

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Duration,
    Bytes,
    Bool,
    /// One of these words.
    Choice(&'static [&'static str]),
    Text,
    /// `all`, or a list such as `0-3,8`.
    Cpus,
    /// Hundredths of something.
    Percent,
    /// Texts; in the file an array.
    List,
}

/// What holds where nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    /// This.
    Value(&'static str),
    /// What the help says; this is an example of what may be said.
    Otherwise(&'static str),
}

/// A setting.
#[derive(Debug)]
pub(crate) struct Setting {
    /// As the file has it.
    pub(crate) key: &'static str,
    pub(crate) kind: Kind,
    pub(crate) fallback: Fallback,
    /// A sentence or more, for the file and for people.
    pub(crate) help: &'static str,
    /// Name of the command line's argument, if it has one; those have an environment variable as well.
    pub(crate) argument: Option<&'static str>,
    /// Whether a change holds at once, and may be made by HTTP.
    pub(crate) is_live: bool,
}

impl Setting {
    const fn new(key: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Self {
        let fallback = Fallback::Value(default);
        Self { key, kind, fallback, help, argument: None, is_live: false }
    }

    const fn otherwise(
        key: &'static str,
        kind: Kind,
        example: &'static str,
        help: &'static str,
    ) -> Self {
        let fallback = Fallback::Otherwise(example);
        Self { key, kind, fallback, help, argument: None, is_live: false }
    }

    const fn argument(self, argument: &'static str) -> Self {
        Self { argument: Some(argument), ..self }
    }

    const fn live(self) -> Self {
        Self { is_live: true, ..self }
    }

    /// A line of the file that says what holds anyway, or an example of what may be said.
    pub(crate) fn line(&self) -> String {
        let (Fallback::Value(value) | Fallback::Otherwise(value)) = self.fallback;
        match self.kind {
            Kind::Bool | Kind::Percent => format!("{} = {value}", self.key),
            Kind::List => format!("{} = [{value}]", self.key),
            _ => format!("{} = \"{value}\"", self.key),
        }
    }

    const fn collector(key: &'static str, help: &'static str) -> Self {
        Self::new(key, Kind::Bool, "true", help).live()
    }
}

/// In the order of the file.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting::new("interval", Kind::Duration, "5s", "Time between samples, 500ms to 60s.")
        .argument("interval")
        .live(),
    Setting::new(
        "listen",
        Kind::Text,
        "127.0.0.1:9909",
        "Where to listen: an address with a port, unix:/run/perfwatch.sock, or a list of them.",
    )
    .argument("listen"),
    Setting::otherwise(
        "tls.cert",
        Kind::Text,
        "/etc/perfwatch/cert.pem",
        "Certificate to serve HTTPS with, as PEM; read again at SIGHUP. Otherwise plain HTTP.",
    )
    .argument("tls_cert"),
    Setting::otherwise("tls.key", Kind::Text, "/etc/perfwatch/key.pem", "Key of the certificate, as PEM.")
        .argument("tls_key"),
    Setting::new(
        "log",
        Kind::Choice(&["error", "warn", "info", "debug"]),
        "info",
        "What to log to standard error.",
    )
    .argument("log"),
    Setting::new(
        "http.allowed_hosts",
        Kind::List,
        "",
        "Names under which browsers may ask, beside localhost, addresses and the host's own name.",
    ),
    Setting::collector("collectors.cpu", "Whether to collect CPU utilisation, frequency, temperature, thermal throttles and interrupts."),
    Setting::collector("collectors.scheduler", "Whether to collect loads, context switches, waiting for CPUs, and interrupts by line."),
    Setting::collector("collectors.pressure", "Whether to collect pressure stall information, where the kernel has it."),
    Setting::collector("collectors.cgroups", "Whether to collect CPU time and throttling of top-level control groups."),
    Setting::collector("collectors.memory", "Whether to collect memory, swap, hugepages and paging."),
    Setting::collector(
        "collectors.network",
        "Whether to collect interfaces, links, connections and what protocols count.",
    ),
    Setting::collector("collectors.disk", "Whether to collect disks and file systems."),
    Setting::collector(
        "collectors.kernel",
        "Whether to collect uptime, open files, threads, the state of the clock and errors of memory.",
    ),
    Setting::collector("collectors.power", "Whether to collect the energy and power of processors, where it is metered."),
    Setting::collector(
        "collectors.memory_bandwidth",
        "Whether to collect the traffic of memory controllers, where it is counted.",
    ),
    Setting::collector(
        "collectors.resctrl",
        "Whether to collect cache occupancy and memory traffic of the groups of resctrl, where it is mounted.",
    ),
    Setting::new("perf.enabled", Kind::Bool, "true", "Whether to count performance events.").argument("perf_enabled").live(),
    Setting::new(
        "perf.cpus",
        Kind::Cpus,
        "all",
        "CPUs to count performance events on: all, or a list such as 0-3,8.",
    )
    .argument("perf_cpus")
    .live(),
    Setting::new(
        "perf.source",
        Kind::Choice(&["native", "perf-stat"]),
        "native",
        "By what means: the system call perf_event_open, or the program `perf stat`.",
    )
    .argument("perf_source")
    .live(),
    Setting::collector("collectors.self", "Whether to collect what PerfWatch itself takes."),
    Setting::new(
        "budget.cpu_percent",
        Kind::Percent,
        "0.5",
        "Share of one CPU, in percent, that collecting may take. A collector that exceeds its share of it is run less often. 0.01 to 100.",
    )
    .argument("budget_cpu_percent")
    .live(),
    Setting::new(
        "metrics.node_names",
        Kind::Bool,
        "true",
        "Whether GET /metrics calls what node_exporter has too by node_exporter's names.",
    )
    .argument("metrics_node_names")
    .live(),
    Setting::otherwise(
        "storage.dir",
        Kind::Text,
        "/var/lib/perfwatch",
        "Directory of the history, the accounts and what is saved of the settings. Otherwise $STATE_DIRECTORY, \
         /var/lib/perfwatch for root, ~/.local/state/perfwatch for others.",
    )
    .argument("data"),
    Setting::new("storage.keep_raw", Kind::Duration, "30d", "How long every sample is kept, 1h or more.")
        .argument("keep_raw")
        .live(),
    Setting::new(
        "storage.keep_1m",
        Kind::Duration,
        "180d",
        "How long the summary of each minute is kept; 0s for none, and none of hours then.",
    )
    .live(),
    Setting::new(
        "storage.keep_1h",
        Kind::Duration,
        "5y",
        "How long the summary of each hour is kept; 0s for none.",
    )
    .live(),
    Setting::new(
        "storage.max_bytes",
        Kind::Bytes,
        "2GiB",
        "Most bytes of history, 1MiB or more; the oldest samples go first.",
    )
    .argument("max_bytes")
    .live(),
    Setting::otherwise(
        "storage.min_free_bytes",
        Kind::Bytes,
        "1GiB",
        "Free space below which the history does not grow. Otherwise a twentieth of the disk, at most 1GiB.",
    ),
    Setting::new(
        "storage.commit_interval",
        Kind::Duration,
        "5s",
        "At most how long a sample may be lost to a power cut, 1s to 5m.",
    ),
    Setting::new("path.procfs", Kind::Text, "/proc", "Where the host's /proc is mounted.")
        .argument("path_procfs"),
    Setting::new("path.sysfs", Kind::Text, "/sys", "Where the host's /sys is mounted.")
        .argument("path_sysfs"),
    Setting::new("path.rootfs", Kind::Text, "/", "Where the host's / is mounted.")
        .argument("path_rootfs"),
];

/// The setting of a key.
pub(crate) fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

#[cfg(test)]
pub(super) use document::document;

/// dist/perfwatch.toml.
#[cfg(test)]
mod document {
    use std::fmt::Write;

    use super::{Kind, SETTINGS, Setting};

    /// A configuration file with every setting, each as it is without the file.
    pub(in crate::config) fn document() -> String {
        let mut text = String::from(
            "# PerfWatch's settings, each with its default. Flags go before environment variables, those before this file, and this file\n\
             # before what was set in the dashboard. Durations: 500ms, 5s, 36h, 30d, 5y. Sizes: 500MB, 2GiB.\n",
        );
        for setting in SETTINGS {
            let Setting { kind, help, argument, is_live, .. } = setting;
            text.push('\n');
            let mut notes = vec![help.to_string()];
            if let Kind::Choice(words) = kind {
                notes.push(format!("One of {}.", words.join(", ")));
            }
            if let Some(argument) = argument {
                notes.push(format!("Also {}.", variable(argument)));
            }
            if !is_live {
                notes.push("Holds from the next start on.".to_owned());
            }
            for line in wrapped(&notes.join(" "), 118) {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "# {line}");
            }
            let _ = writeln!(text, "# {}", setting.line());
        }
        text
    }

    /// The environment variable of an argument.
    pub(super) fn variable(argument: &str) -> String {
        format!("PERFWATCH_{}", argument.to_uppercase())
    }

    /// Lines of so many characters at most.
    fn wrapped(text: &str, width: usize) -> Vec<String> {
        let mut lines = vec![String::new()];
        for word in text.split_whitespace() {
            let line = lines
                .last_mut()
                .filter(|line| line.is_empty() || line.len() + 1 + word.len() <= width);
            match line {
                Some(line) if line.is_empty() => line.push_str(word),
                Some(line) => {
                    line.push(' ');
                    line.push_str(word);
                }
                None => lines.push(word.to_owned()),
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use clap::CommandFactory;

    use super::document::variable;
    use super::*;

    #[test]
    fn the_file_with_every_setting_is_up_to_date() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/perfwatch.toml"));
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, document()).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == document(), "dist/perfwatch.toml is out of date: `just docs` writes it");
    }

    #[test]
    fn every_argument_is_one_with_its_variable() {
        let command = crate::cli::Cli::command();
        let known: BTreeSet<_> = SETTINGS.iter().filter_map(|setting| setting.argument).collect();
        for name in &known {
            let argument = command.get_arguments().find(|argument| argument.get_id() == name);
            let argument = argument.unwrap_or_else(|| panic!("{name} is no argument"));
            assert_eq!(argument.get_env().unwrap().to_str(), Some(&*variable(name)));
        }
        // Beside the place of the file itself.
        let with_variable = command.get_arguments().filter(|argument| argument.get_env().is_some());
        for argument in with_variable.filter(|argument| argument.get_id() != "config") {
            assert!(known.contains(argument.get_id().as_str()), "{} is missing", argument.get_id());
        }
    }
}
