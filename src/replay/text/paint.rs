//! Colours and little pictures for a terminal.

use crate::replay::figures::cut;

/// Colours, or none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn blue(self, text: &str) -> String {
        self.wrap("36", text)
    }
}

/// Draws columns as blocks of eight heights between the least and the greatest; a gap is a blank.
pub(crate) fn sparkline(columns: &[Option<f64>]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = || columns.iter().flatten().copied();
    let low = known().fold(f64::INFINITY, f64::min);
    let high = known().fold(f64::NEG_INFINITY, f64::max);
    let block = |value: f64| {
        // Halves, as the difference of two numbers need not be one.
        let range = high / 2.0 - low / 2.0;
        let height = if range > 0.0 { (value / 2.0 - low / 2.0) / range } else { 0.5 };
        BLOCKS.get(((height * 8.0) as usize).min(7)).copied().unwrap_or('█')
    };
    columns.iter().map(|column| column.map_or(' ', block)).collect()
}

/// Cuts or fills a text to exactly so many characters.
pub(crate) fn fit(text: &str, width: usize) -> String {
    format!("{:<width$}", cut(text, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_span_the_range() {
        assert_eq!(sparkline(&[Some(0.0), None, Some(0.5), Some(1.0)]), "▁ ▅█");
        assert_eq!(sparkline(&[Some(3.0), Some(3.0)]), "▅▅");
        assert_eq!(sparkline(&[None]), " ");
        assert_eq!(sparkline(&[Some(-f64::MAX), Some(0.0), Some(f64::MAX)]), "▁▅█");
    }

    #[test]
    fn texts_are_cut_by_character() {
        assert_eq!(fit("größer", 5), "größ…");
        assert_eq!(fit("ab", 4), "ab  ");
    }

    #[test]
    fn without_colour_nothing_is_added() {
        assert_eq!(Paint(false).red("x"), "x");
        assert_eq!(Paint(true).red("x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
