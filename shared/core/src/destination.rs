//! How another server is sent what waits for it.

/// Events of one transaction ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/server-server-api/#transactions
pub const MAX_PDUS: usize = 50;

/// Beyond this time without an answer, in milliseconds, a server is given only the newest event of
/// each room when it answers again: it asks for those before as it sees fit.
pub const LONG_OUTAGE_MS: u64 = 60 * 60 * 1000;

/// How long a server that has not answered is left alone, in milliseconds: after the first time,
/// and at most.
const FIRST_RETRY_MS: u64 = 2_000;
const MAX_RETRY_MS: u64 = 60 * 60 * 1000;

/// How long a server is left alone that has not answered so often in a row. The time doubles with
/// each failure; a random number moves it by a quarter to either side, so that not all who wait for
/// a server ask it at the same time.
pub fn retry_after_ms(failures: u32, random: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(16);
    let middle = (FIRST_RETRY_MS << doublings).min(MAX_RETRY_MS);
    let quarter = middle / 4;
    middle - quarter + random % (2 * quarter + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_answer_is_asked_ever_less_often() {
        let cases = [(0, 1_500, 2_500), (1, 1_500, 2_500), (2, 3_000, 5_000), (3, 6_000, 10_000)];
        for (failures, least, most) in cases {
            assert_eq!(retry_after_ms(failures, 0), least, "{failures}");
            assert_eq!(retry_after_ms(failures, most - least), most, "{failures}");
            assert_eq!(retry_after_ms(failures, most - least + 1), least, "{failures}");
        }
        for failures in [12, 100, u32::MAX] {
            assert_eq!(retry_after_ms(failures, 0), 45 * 60 * 1000, "{failures}");
        }
    }
}
