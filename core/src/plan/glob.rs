//! Patterns of names: `*` stands for any characters, `?` for one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A pattern such as `fraud-*` or `Feature:*`: `*` stands for any number of characters, `?` for one, all
/// others for themselves.
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
            match (pattern.split_first(), rest.split_first()) {
                (Some((b'*', after)), _) => {
                    retry = Some((after, rest));
                    pattern = after;
                }
                (Some((p, after)), Some((t, tail))) if *p == b'?' || p == t => {
                    (pattern, rest) = (after, tail);
                }
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
        ] {
            assert_eq!(Glob::new(pattern).matches(text), is, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn is_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(Glob::new(pattern.as_str()).matches(&text), naive(pattern.as_bytes(), text.as_bytes()));
        }
    }
}
