//! Texts of somebody else's, made safe to stand in a page.

use std::fmt::{self, Display, Formatter, Write};

/// A text with everything that HTML could read as markup replaced, in elements and quoted attributes;
/// control characters become blanks.
pub(crate) struct Safe<'a>(pub(crate) &'a str);

impl Display for Safe<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\n' => f.write_char('\n'),
            c if c.is_control() => f.write_char(' '),
            c => f.write_char(c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_left_that_could_be_markup() {
        let text = "<script>alert('1')</script> & \"x\"\u{0}\u{1b}[31m";
        assert_eq!(
            Safe(text).to_string(),
            "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;  [31m"
        );
    }
}
