//! The tables of `docs/cost.md`. Each stands between two comments and is renewed in its place.

use std::fmt::Write as _;

use crate::{
    counts::Counts,
    day::Day,
    goals::{DAYS_IN_FREE_PLAN, Verdict},
    outcome::Outcome,
    prices::{self, FREE_SUBREQUESTS, ITEMS},
    report::Report,
    text::{COLUMNS, cells, number},
};

/// Users of the servers whose months are computed.
const SERVERS: [f64; 5] = [1.0, 10.0, 50.0, 200.0, 1_000.0];

/// The page with its tables renewed.
pub(crate) fn renew(page: &str, outcome: &Outcome) -> Result<String, String> {
    let Outcome { report, day: of_user, .. } = outcome;
    let tables = [
        ("operations", operations(report)),
        ("goals", goals(outcome)),
        ("prices", prices_table()),
        ("day", of_user.as_ref().map(day).unwrap_or_default()),
        ("months", of_user.as_ref().map(months).unwrap_or_default()),
        ("limits", limits(report)),
    ];
    let mut page = page.to_owned();
    for (name, table) in tables.into_iter().filter(|(_, table)| !table.is_empty()) {
        page = replaced(&page, name, &table)?;
    }
    Ok(page)
}

fn replaced(page: &str, name: &str, table: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let missing = || format!("the page has no place for the table {name}");
    let (before, rest) = page.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}{table}{end}{after}"))
}

fn operations(report: &Report) -> String {
    let mut text = header("operation", &COLUMNS.map(str::to_owned));
    for row in &report.rows {
        match cells(row) {
            Some(cells) => {
                let _ = writeln!(text, "| {} | {} |", row.does, cells.join(" | "));
            }
            None => {
                let _ = writeln!(text, "| {} | failed |{}", row.does, " |".repeat(8));
            }
        }
    }
    text
}

fn goals(outcome: &Outcome) -> String {
    if outcome.goals.is_empty() {
        return String::new();
    }
    let columns = ["of", "at most", "found", ""].map(str::to_owned);
    let mut text = header("operation", &columns);
    for Verdict { operation, figure, at_most, found, is_met } in &outcome.goals {
        let row = outcome.report.rows.iter().find(|it| it.name == *operation);
        let does = row.map_or(operation.as_str(), |it| it.does.as_str());
        let (at_most, found) = (number(*at_most), number(*found));
        let word = word(*is_met);
        let _ = writeln!(text, "| {does} | {figure} | {at_most} | {found} | {word} |");
    }
    if let Some(day) = &outcome.day {
        let fits = day.fits_free_plan;
        let word = word(fits >= DAYS_IN_FREE_PLAN);
        let _ = writeln!(
            text,
            "| a user's day | times in the free plan | at least {DAYS_IN_FREE_PLAN} | {fits:.1} | \
             {word} |"
        );
    }
    text
}

fn word(is_met: bool) -> &'static str {
    if is_met { "met" } else { "**missed**" }
}

fn prices_table() -> String {
    let columns = ["$ a million", "included a month", "free plan a day"].map(str::to_owned);
    let mut text = header("", &columns);
    for item in ITEMS {
        let (included, free) = (number(item.included), number(item.free_a_day));
        let _ = writeln!(text, "| {} | {} | {included} | {free} |", item.name, item.price);
    }
    text
}

fn day(day: &Day) -> String {
    let mut columns = vec!["times".to_owned()];
    columns.extend(ITEMS.iter().map(|it| it.name.to_owned()));
    columns.push("$ a month".to_owned());
    let mut text = header("", &columns);
    let mut line = |name: &str, times: String, counts: &Counts| {
        let _ = write!(text, "| {name} | {times} |");
        for item in ITEMS {
            let _ = write!(text, " {} |", number(item.used(counts).round()));
        }
        let _ = writeln!(text, " {:.3} |", prices::dollars(counts) * prices::DAYS);
    };
    for part in &day.parts {
        line(part.does, number(part.times.round()), &part.counts);
    }
    line("**a day**", String::new(), &day.total);
    text
}

fn months(day: &Day) -> String {
    let columns = ["$ a month, paid plan", "share of the free plan"].map(str::to_owned);
    let mut text = header("users", &columns);
    for users in SERVERS {
        let dollars = prices::month(&(&day.total * (users * prices::DAYS)));
        let used = users / day.fits_free_plan * 100.0;
        let _ = writeln!(text, "| {} | {dollars:.2} | {} % |", number(users), number(used.ceil()));
    }
    text
}

/// Operations that need more calls than one request, or one object's work, may make on the free
/// plan.
fn limits(report: &Report) -> String {
    let columns = ["calls to objects and D1", "allowed"].map(str::to_owned);
    let mut text = header("operation", &columns);
    let mut is_empty = true;
    // Where others read, most calls are theirs; where none does, all are the room's.
    let single =
        |name: &str| name.contains(".none") || !(name.contains(".50") || name.contains("send."));
    for row in report.rows.iter().filter(|it| single(&it.name)) {
        let Some(measured) = &row.measured else { continue };
        let calls = measured.operation.object_requests + measured.operation.d1_queries;
        if calls > FREE_SUBREQUESTS {
            is_empty = false;
            let (calls, allowed) = (number(calls), number(FREE_SUBREQUESTS));
            let _ = writeln!(text, "| {} | {calls} | {allowed} |", row.does);
        }
    }
    if is_empty { "No measured operation needs more.\n".to_owned() } else { text }
}

fn header(first: &str, columns: &[String]) -> String {
    format!("| {first} | {} |\n|---|{}\n", columns.join(" | "), "---:|".repeat(columns.len()))
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn a_table_is_renewed_in_its_place() {
        let page = "before\n<!-- begin x -->\nold\n<!-- end x -->\nafter";
        let renewed = replaced(page, "x", "new\n").expect("there is a place for x");
        assert_eq!(renewed, page.replace("old", "new"));
        assert!(replaced(page, "y", "new\n").is_err());
    }
}
