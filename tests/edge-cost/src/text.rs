//! The report as text for a terminal, and the cells that it shares with the page.

use std::fmt::Write as _;

use crate::{
    counts::Counts,
    goals::{DAYS_IN_FREE_PLAN, Verdict},
    outcome::Outcome,
    report::Row,
};

/// The columns after the name of the operation.
pub(crate) const COLUMNS: [&str; 9] = [
    "Worker req",
    "object req",
    "alarms",
    "WS events",
    "D1 queries",
    "D1 rows r/w",
    "object rows r/w",
    "by alarms r/w",
    "CPU ms",
];

/// The cells of a line.
pub(crate) fn cells(row: &Row) -> Option<[String; 9]> {
    let measured = row.measured.as_ref()?;
    let all = measured.total();
    let by_alarms = &measured.alarms;
    let pair = |read: f64, written: f64| format!("{} / {}", number(read), number(written));
    Some([
        number(all.worker_requests),
        number(all.object_requests),
        number(all.alarms),
        number(all.websocket_messages + all.websocket_ends),
        number(all.d1_queries),
        pair(all.d1_rows_read, all.d1_rows_written),
        pair(all.object_rows_read, all.object_rows_written),
        match by_alarms.alarms == 0.0 {
            true => "-".to_owned(),
            false => pair(by_alarms.object_rows_read, by_alarms.object_rows_written),
        },
        format!("{:.1}", all.cpu_ms),
    ])
}

/// The report for a terminal.
pub(crate) fn tables(outcome: &Outcome) -> String {
    let mut text = String::new();
    let line = |text: &mut String, name: &str, cells: &[String]| {
        let _ = write!(text, "{name:<24}");
        for cell in cells {
            let _ = write!(text, "{cell:>19}");
        }
        text.push('\n');
    };
    line(&mut text, "operation", &COLUMNS.map(str::to_owned));
    for row in &outcome.report.rows {
        match (cells(row), &row.failed) {
            (Some(cells), _) => line(&mut text, &row.name, &cells),
            (None, failed) => {
                let why = failed.as_deref().unwrap_or_default();
                let _ = writeln!(text, "{:<24}FAILED: {why}", row.name);
            }
        }
        if let Some(measured) = &row.measured {
            commands(&mut text, &measured.total());
        }
    }
    text.push('\n');
    for goal in &outcome.goals {
        let _ = writeln!(text, "{}", verdict(goal));
    }
    if let Some(day) = &outcome.day {
        let _ = writeln!(
            text,
            "\nA user's day fits into the free plan {:.1} times ({}; goal {DAYS_IN_FREE_PLAN}), \
             and costs ${:.2} a month beyond it.",
            day.fits_free_plan, day.limited_by, day.dollars_a_month
        );
    }
    text
}

/// Two versions side by side: everything that each operation causes.
pub(crate) fn comparison(before: &Outcome, after: &Outcome) -> String {
    type Figure = fn(&Counts) -> f64;
    let columns: [(&str, Figure); 6] = [
        ("object requests", Counts::billed_object_requests),
        ("D1 queries", |it| it.d1_queries),
        ("object rows read", |it| it.object_rows_read),
        ("object rows written", |it| it.object_rows_written),
        ("D1 rows written", |it| it.d1_rows_written),
        ("CPU ms", |it| it.cpu_ms),
    ];
    let mut text = format!("\n{:<24}", "before -> after");
    for (name, _) in columns {
        let _ = write!(text, "{name:>22}");
    }
    for row in &after.report.rows {
        let found = row.measured.as_ref().zip(before.report.find(&row.name));
        let Some((after, before)) = found else { continue };
        let (before, after) = (before.total(), after.total());
        let _ = write!(text, "\n{:<24}", row.name);
        for (_, figure) in columns {
            let pair = format!("{} -> {}", number(figure(&before)), number(figure(&after)));
            let _ = write!(text, "{pair:>22}");
        }
    }
    if let (Some(before), Some(after)) = (&before.day, &after.day) {
        let (before, after) = (before.fits_free_plan, after.fits_free_plan);
        let _ = write!(text, "\na user's day in the free plan: {before:.1} -> {after:.1} times");
    }
    text + "\n"
}

fn commands(text: &mut String, counts: &Counts) {
    for (name, count) in &counts.commands {
        let _ = writeln!(text, "    {:>6} {name}", number(*count));
    }
}

fn verdict(goal: &Verdict) -> String {
    let Verdict { operation, figure, at_most, found, is_met } = goal;
    let word = if *is_met { "met" } else { "MISSED" };
    let (found, at_most) = (number(*found), number(*at_most));
    format!("{operation:<24}{figure:<22}{found:>8}, goal at most {at_most:<6} {word}")
}

/// Whole numbers as such, others with one digit after the point; thousands in groups.
pub(crate) fn number(value: f64) -> String {
    let is_whole = (value - value.round()).abs() < 0.05;
    let text = if is_whole { format!("{value:.0}") } else { format!("{value:.1}") };
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let (sign, digits) = match whole.strip_prefix('-') {
        Some("0") => ("", "0"),
        Some(digits) => ("-", digits),
        None => ("", whole),
    };
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_are_grouped_and_short() {
        let cases = [(0.0, "0"), (-0.01, "0"), (1_234_567.0, "1,234,567"), (12.25, "12.2")];
        for (value, expected) in cases {
            assert_eq!(number(value), expected);
        }
        assert_eq!(number(-1_000.0), "-1,000");
    }
}
