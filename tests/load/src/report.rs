//! The figures, as a table in plain text and as JSON.

use std::{borrow::Cow, fmt::Write as _};

use serde::Serialize;

use crate::{soak::Soaked, stats::Latencies, targets::Target, window::Usage};

/// One number.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
}

/// What a measurement found.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sheet {
    pub(crate) name: &'static str,
    pub(crate) figures: Vec<Figure>,
    pub(crate) usage: Option<Usage>,
    pub(crate) error: Option<String>,
    /// What there is only of a soak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) soak: Option<Soaked>,
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) url: String,
    /// As the server names itself over federation, if it does.
    pub(crate) server: Option<String>,
    pub(crate) scale: &'static str,
    pub(crate) measurements: Vec<Sheet>,
    /// CPU seconds of the generator in the whole run.
    pub(crate) client_cpu_seconds: f64,
}

impl Sheet {
    /// An empty sheet.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, figures: Vec::new(), usage: None, error: None, soak: None }
    }

    /// Adds a figure.
    pub(crate) fn figure(&mut self, name: &'static str, value: f64, unit: &'static str) {
        self.figures.push(Figure { name, value, unit });
    }

    /// Adds how many were done, and how many a second.
    pub(crate) fn rate(&mut self, count: usize, usage: &Usage) {
        self.figure("rate", count as f64 / usage.seconds, "/s");
        self.figure("count", count as f64, "");
    }

    /// Adds median and 99th percentile.
    pub(crate) fn percentiles(&mut self, latencies: &mut Latencies) {
        self.figure("p50", latencies.percentile_ms(50), "ms");
        self.figure("p99", latencies.percentile_ms(99), "ms");
    }

    /// Sets what the measurement cost.
    pub(crate) fn usage(&mut self, usage: Usage) {
        self.usage = Some(usage);
    }

    fn table(&self, scale: &str) -> String {
        let mut text = String::new();
        for Figure { name, value, unit } in &self.figures {
            let figure = format!("{}.{name}", self.name);
            let target = Target::of(self.name, name)
                .filter(|_| scale == "full")
                .map_or(Cow::Borrowed(""), |it| verdict(it, *value).into());
            let line = format!("{figure:<30}{:>11} {unit:<11}{target}", number(*value));
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if let Some(error) = &self.error {
            let _ = writeln!(text, "{:<30}FAILED: {error}", self.name);
        }
        if let Some(limited) = self.usage.as_ref().map(|it| it.rate_limited).filter(|it| *it > 0) {
            let _ = writeln!(text, "{:<30}SPOILED: {limited} answers of 429", self.name);
        }
        text
    }

    fn cost(&self) -> Option<String> {
        let usage = self.usage.as_ref()?;
        let cores = |cpu_seconds: Option<f64>| {
            cpu_seconds.map_or("-".to_owned(), |it| format!("{:.2}", it / usage.seconds))
        };
        Some(format!(
            "{:<20}{:>9.2}{:>14}{:>14}{:>14}\n",
            self.name,
            usage.seconds,
            cores(usage.server_cpu_seconds),
            cores(Some(usage.client_cpu_seconds)),
            cores(usage.other_cpu_seconds),
        ))
    }
}

impl Report {
    /// Whether every measurement came to its end.
    pub(crate) fn is_whole(&self) -> bool {
        self.measurements.iter().all(|it| it.error.is_none())
    }

    /// The report for people.
    pub(crate) fn table(&self) -> String {
        let server = self.server.as_deref().unwrap_or("unnamed server");
        let mut text = format!("{server} at {}, scale {}\n\n", self.url, self.scale);
        let target = if self.scale == "full" { "Skerry's target" } else { "" };
        let heading = format!("{:<30}{:>11} {:<11}{target}", "figure", "value", "unit");
        let _ = writeln!(text, "{}", heading.trim_end());
        self.measurements.iter().for_each(|it| text.push_str(&it.table(self.scale)));
        let _ = writeln!(
            text,
            "\n{:<20}{:>9}{:>14}{:>14}{:>14}",
            "cores in use", "seconds", "server", "generator", "others"
        );
        text.extend(self.measurements.iter().filter_map(Sheet::cost));
        text.extend(self.measurements.iter().filter_map(|it| Some(it.soak.as_ref()?.table())));
        let _ = writeln!(text, "\nThe generator used {:.2} s of CPU.", self.client_cpu_seconds);
        text
    }
}

fn verdict(target: Target, value: f64) -> String {
    let (sign, bound) = match target {
        Target::AtLeast(bound) => (">=", bound),
        Target::AtMost(bound) => ("<=", bound),
    };
    let word = if target.is_met(value) { "met" } else { "MISSED" };
    format!("{sign} {:<9}{word}", number(bound))
}

/// Three significant digits, or all of those before the point, in groups.
fn number(value: f64) -> String {
    let size = value.abs();
    let text = if size >= 99.95 {
        format!("{value:.0}")
    } else if size >= 9.995 {
        format!("{value:.1}")
    } else if size >= 1.0 || size == 0.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    };
    let text = if value.fract() == 0.0 { format!("{value:.0}") } else { text };
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut grouped = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::{Sheet, number};

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.0, "0"),
            (0.4567, "0.457"),
            (3.456, "3.46"),
            (34.56, "34.6"),
            (999.7, "1,000"),
            (1_234_567.8, "1,234,568"),
            (-1_234.5, "-1,234"),
            (20_000.0, "20,000"),
        ];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn targets_are_judged_at_full_scale_only() {
        let mut sheet = Sheet::new("create_room");
        sheet.figure("p50", 4.0, "ms");
        assert!(sheet.table("full").ends_with("<= 3        MISSED\n"), "{}", sheet.table("full"));
        assert!(sheet.table("small").ends_with(" ms\n"), "{}", sheet.table("small"));
    }
}
