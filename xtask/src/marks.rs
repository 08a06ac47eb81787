//! The part of a page that is measured: what stands between two marks is replaced, the words around it stay.

use std::path::Path;

use crate::{Failure, Outcome};

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Puts what was printed into the page.
pub(crate) fn replace(page: &Path, printed: &str, rerun: &str) -> Outcome {
    let failure = |what: String| Failure::new(format!("{}: {what}", page.display()), rerun);
    let text = std::fs::read_to_string(page).map_err(|error| failure(error.to_string()))?;
    let text = between(&text, printed).ok_or_else(|| failure(format!("no {BEGIN} ... {END}")))?;
    std::fs::write(page, text).map_err(|error| failure(error.to_string()))
}

/// The page with what is printed between its marks.
fn between(page: &str, printed: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", printed.trim()))
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, between};

    #[test]
    fn what_is_measured_stands_between_the_marks() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        assert_eq!(between(&page, "new\n").unwrap(), format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n"));
        assert!(between("a", "new").is_none());
    }
}
