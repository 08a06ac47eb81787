//! Finds the known name that a mistyped one was meant to be.

/// The candidate with the fewest edits from `name` (insert, delete, change, ignoring case; a change of the
/// order of its words is one edit), when that is at most a third of its length; ties go to the first.
///
/// Cost: length of `name` times the total length of the candidates.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.get(..name.len().min(64)).unwrap_or(name).to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            let lower = candidate.to_ascii_lowercase();
            let reordered = 1 + edits(&in_order(&name), &in_order(&lower));
            (edits(&name, &lower).min(reordered), candidate)
        })
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The words of a name in the order of the alphabet.
fn in_order(name: &str) -> String {
    let mut words: Vec<&str> = name.split(['_', '-']).collect();
    words.sort_unstable();
    words.join("_")
}

/// Levenshtein distance over bytes (Wagner and Fischer 1974, one row kept).
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (y, above) in b.bytes().zip(row.iter_mut().skip(1)) {
            left = (diagonal + usize::from(x != y)).min(left + 1).min(*above + 1);
            diagonal = std::mem::replace(above, left);
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_that_of_the_textbook() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("abc", "abc"), 0);
        assert_eq!(edits("flaw", "lawn"), 2);
    }

    #[test]
    fn words_in_another_order_are_near() {
        let keys = ["min_accuracy", "smoothing", "recover", "count_min", "for_count"];
        assert_eq!(nearest("min_count", keys), Some("count_min"));
        assert_eq!(nearest("accuracy_min", keys), Some("min_accuracy"));
        assert_eq!(nearest("count_for", keys), Some("for_count"));
        assert_eq!(nearest("latency-shfit", ["shift-latency"]), Some("shift-latency"));
    }

    #[test]
    fn only_what_is_near_is_offered() {
        let keys = ["min_accuracy", "smoothing", "severity"];
        assert_eq!(nearest("min_acuracy", keys), Some("min_accuracy"));
        assert_eq!(nearest("Smoothing", keys), Some("smoothing"));
        assert_eq!(nearest("colour", keys), None);
    }
}
