//! Patterns of names: `*` stands for any characters, `?` for one, `\\` takes the meaning of the one behind it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pattern such as `fraud-*` or `Feature:*`: `*` stands for any number of characters, `?` for one, all
/// others for themselves; `\*`, `\?` and `\\` stand for a star, a question mark and a backslash.
///
/// Cost of a match: length of the text times the number of `*` at worst; no recursion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Glob(Box<str>);

impl Glob {
    /// Keeps a pattern; every text is one.
    pub fn new(pattern: impl Into<Box<str>>) -> Self {
        Self(pattern.into())
    }

    /// The pattern that is of this text alone, whatever characters it holds.
    ///
    /// # Examples
    ///
    /// ```
    /// use visu_tility_core::Glob;
    ///
    /// let one = Glob::literal("Feature:a*");
    /// assert!(one.matches("Feature:a*") && !one.matches("Feature:ab"));
    /// assert_eq!(one.as_str(), r"Feature:a\*");
    /// ```
    pub fn literal(text: &str) -> Self {
        let mut pattern = String::with_capacity(text.len());
        for c in text.chars() {
            if matches!(c, '*' | '?' | '\\') {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        Self::new(pattern)
    }

    /// The text before the first wildcard, and whether there is one.
    pub(super) fn head(&self) -> (String, bool) {
        let (mut head, mut rest) = (Vec::new(), self.0.as_bytes());
        while let Some((unit, after)) = Unit::first(rest) {
            let Unit::Byte(byte) = unit else { return (String::from_utf8_lossy(&head).into_owned(), true) };
            head.push(byte);
            rest = after;
        }
        (String::from_utf8_lossy(&head).into_owned(), false)
    }

    /// The pattern's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Is true when the whole of `text` is of this pattern.
    pub fn matches(&self, text: &str) -> bool {
        let (mut pattern, mut rest) = (self.0.as_bytes(), text.as_bytes());
        // Where to go on when a literal fails after the last `*`: the pattern behind it, and the text.
        let mut retry: Option<(&[u8], &[u8])> = None;
        loop {
            match (Unit::first(pattern), rest.split_first()) {
                (Some((Unit::Any, after)), _) => {
                    retry = Some((after, rest));
                    pattern = after;
                }
                (Some((Unit::One, after)), Some((_, tail))) => (pattern, rest) = (after, tail),
                (Some((Unit::Byte(p), after)), Some((t, tail))) if p == *t => (pattern, rest) = (after, tail),
                (None, None) => return true,
                _ => match retry {
                    Some((after, [_, tail @ ..])) => {
                        retry = Some((after, tail));
                        (pattern, rest) = (after, tail);
                    }
                    _ => return false,
                },
            }
        }
    }

    /// Is true when there are no patterns, or `text` is of one of them.
    pub fn any(patterns: &[Self], text: &str) -> bool {
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
    }
}

/// What a pattern is made of.
#[derive(Clone, Copy, Debug)]
enum Unit {
    /// Any number of bytes.
    Any,
    /// One byte.
    One,
    /// This byte.
    Byte(u8),
}

impl Unit {
    /// Takes the first one off.
    const fn first(pattern: &[u8]) -> Option<(Self, &[u8])> {
        Some(match pattern {
            [] => return None,
            [b'*', after @ ..] => (Self::Any, after),
            [b'?', after @ ..] => (Self::One, after),
            [b'\\', byte @ (b'*' | b'?' | b'\\'), after @ ..] | [byte, after @ ..] => {
                (Self::Byte(*byte), after)
            }
        })
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by recursion.
    fn naive(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'\\', a @ (b'*' | b'?' | b'\\'), p @ ..], t) => t.first() == Some(a) && naive(p, &t[1..]),
            ([b'*', p @ ..], t) => naive(p, t) || (!t.is_empty() && naive(pattern, &t[1..])),
            ([b'?', p @ ..], [_, t @ ..]) => naive(p, t),
            ([a, p @ ..], [b, t @ ..]) if a == b => naive(p, t),
            _ => false,
        }
    }

    #[test]
    fn patterns_of_models_and_kinds() {
        for (pattern, text, is) in [
            ("fraud-*", "fraud-eu", true),
            ("fraud-*", "fraud", false),
            ("*", "", true),
            ("Feature:?nk", "Feature:ink", true),
            ("*-eu-*", "a-eu-b-eu-", true),
            ("a*b*c", "abbbc", true),
            ("a*b", "abc", false),
            (r"Feature:a\*", "Feature:a*", true),
            (r"Feature:a\*", "Feature:ab", false),
            (r"a\?*", "a?bc", true),
            (r"a\b\\", r"a\b\", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), is, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn is_the_definition(pattern in r"[ab*?\\]{0,8}", text in r"[ab*\\]{0,10}") {
            prop_assert_eq!(Glob::new(pattern.as_str()).matches(&text), naive(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn a_literal_is_of_its_own_text_alone(text in r"[ab*?\\]{0,8}", other in r"[ab*?\\]{0,8}") {
            let literal = Glob::literal(&text);
            prop_assert!(literal.matches(&text));
            prop_assert_eq!(literal.matches(&other), text == other);
            prop_assert_eq!(literal.head(), (text, false));
        }
    }
}
