//! One source file as the rules see it: raw lines, the same lines with comments and literals blanked,
//! and which of them are test code.
//!
//! The scanner knows just enough Rust to be trusted with braces: line and nested block comments, plain,
//! byte, C and raw strings, character literals against lifetimes. It does not expand macros and does not
//! parse; a rule that needs more than lines, words and braces does not belong here.

use std::ops::Range;

/// A file of the tree, by its path from the root with `/` between the parts.
pub(crate) struct Source {
    pub(crate) path: String,
    /// The lines as written.
    pub(crate) raw: Vec<String>,
    /// The lines with the insides of comments, strings and characters replaced by blanks.
    pub(crate) code: Vec<String>,
    /// Whether a line belongs to a test: a `#[cfg(test)]` item, a `tests` folder, a `tests.rs`.
    pub(crate) test: Vec<bool>,
}

/// What a rule found: where, and what stands there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) what: String,
}

/// A function's name and the lines it spans, counted from 0, the closing brace included.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) lines: Range<usize>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let masked = mask(text);
        let raw: Vec<String> = text.lines().map(str::to_owned).collect();
        let code: Vec<String> = masked.lines().map(str::to_owned).collect();
        let mut test = vec![is_test_path(path); raw.len()];
        for range in test_items(&masked) {
            for flag in test.iter_mut().take(range.end).skip(range.start) {
                *flag = true;
            }
        }
        Self { path: path.to_owned(), raw, code, test }
    }

    /// The finding at `line`, counted from 0.
    pub(crate) fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line: line + 1, what: what.into() }
    }

    /// Whether `line` (from 0) is excused from `rule`: it, or the line before, holds
    /// `// tidy-allow(rule): why`, and the why is not empty.
    pub(crate) fn allows(&self, line: usize, rule: &str) -> bool {
        let mark = format!("// tidy-allow({rule}):");
        let excused = |text: &String| text.split_once(&mark).is_some_and(|(_, why)| !why.trim().is_empty());
        self.raw.get(line).is_some_and(excused)
            || line.checked_sub(1).and_then(|before| self.raw.get(before)).is_some_and(excused)
    }

    /// The file's stem: `model_actor` for `actors/src/model_actor.rs`.
    pub(crate) fn stem(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.strip_suffix(".rs").unwrap_or(name)
    }

    /// Every function with a body, nested ones on their own as well.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let chars: Vec<char> = self.code.join("\n").chars().collect();
        let mut found = Vec::new();
        let mut at = 0;
        while let Some(start) = find_word(&chars, at, "fn") {
            at = start + 2;
            let name: String =
                chars[at..].iter().skip_while(|c| c.is_whitespace()).take_while(|c| is_word(**c)).collect();
            if name.is_empty() {
                continue; // a function pointer's type, or a macro's `fn $name`
            }
            if let Some(end) = item_end(&chars, at)
                && chars[end] == '}'
            {
                let lines = line_of(&chars, start)..line_of(&chars, end) + 1;
                found.push(Function { name, lines });
            }
        }
        found
    }
}

/// Whether `line` holds `needle` as a whole word: an end of the needle that could be part of a name must
/// not touch another such character.
pub(crate) fn has_token(line: &str, needle: &str) -> bool {
    let (Some(first), Some(last)) = (needle.chars().next(), needle.chars().last()) else { return false };
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().last().is_some_and(is_word);
        let after = line[at + needle.len()..].chars().next().is_some_and(is_word);
        !(is_word(first) && before || is_word(last) && after)
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_test_path(path: &str) -> bool {
    path.starts_with("tests/") || path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn line_of(chars: &[char], at: usize) -> usize {
    chars[..at].iter().filter(|c| **c == '\n').count()
}

fn find_word(chars: &[char], from: usize, word: &str) -> Option<usize> {
    let word: Vec<char> = word.chars().collect();
    (from..chars.len()).find(|&at| {
        chars[at..].starts_with(&word)
            && (at == 0 || !is_word(chars[at - 1]))
            && chars.get(at + word.len()).is_none_or(|c| !is_word(*c))
    })
}

/// The lines of every item behind a `#[cfg(...)]` that names `test`, the attribute included.
fn test_items(masked: &str) -> Vec<Range<usize>> {
    let chars: Vec<char> = masked.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = find_sequence(&chars, at, "#[cfg(") {
        let Some(close) = closing(&chars, start + 1) else { break };
        at = close + 1; // behind the attribute; its last two characters are `)]`
        let inner = start + "#[cfg(".len();
        let condition: String = chars[inner..(close - 1).max(inner)].iter().collect();
        if !only_in_tests(condition.trim()) {
            continue;
        }
        if let Some(end) = item_end(&chars, at) {
            found.push(line_of(&chars, start)..line_of(&chars, end) + 1);
            at = end;
        }
    }
    found
}

/// `test` and `all(test, ...)` say so; `any(test, ...)` and `not(test)` are code that ships.
fn only_in_tests(condition: &str) -> bool {
    condition == "test"
        || condition.starts_with("all(") && has_token(condition, "test") && !condition.contains("not(test")
}

fn find_sequence(chars: &[char], from: usize, sequence: &str) -> Option<usize> {
    let sequence: Vec<char> = sequence.chars().collect();
    (from..chars.len()).find(|&at| chars[at..].starts_with(&sequence))
}

/// Where the item that begins at `from` ends: its closing brace, the semicolon of one without a body, or
/// (a field, a variant) the brace that closes what it stands in. Semicolons inside parentheses and brackets
/// (array types) do not count.
fn item_end(chars: &[char], from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in chars.iter().enumerate().skip(from) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            ';' | '}' if depth == 0 => return Some(at),
            '{' if depth == 0 => return closing(chars, at),
            _ => {}
        }
    }
    None
}

/// The position of what closes the bracket of any kind at `open`.
fn closing(chars: &[char], open: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, c) in chars.iter().enumerate().skip(open) {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Blanks the insides of comments, strings and character literals; line breaks stay where they are.
pub(crate) fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end > at {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// The end of the comment or literal that begins at `at`; `at` itself when none does.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => {
            chars[at..].iter().position(|c| *c == '\n').map_or(chars.len(), |length| at + length)
        }
        '/' if next == Some('*') => block_comment_end(chars, at),
        '"' => string_end(chars, at + 1),
        '\'' => character_end(chars, at),
        'r' | 'b' | 'c' if at == 0 || !is_word(chars[at - 1]) => prefixed_end(chars, at),
        _ => at,
    }
}

fn block_comment_end(chars: &[char], start: usize) -> usize {
    let mut depth = 0_u32;
    let mut at = start;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => depth += 1,
            ('*', Some('/')) => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

/// The end of a string whose first inner character is at `at`.
fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a character literal at `at`, or `at` when the quote begins a lifetime.
fn character_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => chars
            .iter()
            .enumerate()
            .skip(at + 3)
            .find(|(_, c)| **c == '\'')
            .map_or(chars.len(), |(end, _)| end + 1),
        (Some(_), Some('\'')) => at + 3,
        _ => at,
    }
}

/// The end of `b"..."`, `c"..."`, `b'.'`, `r"..."`, `r#"..."#`, `br"..."`, `cr"..."`; `at` when it is a
/// plain name.
fn prefixed_end(chars: &[char], at: usize) -> usize {
    let mut quote = at;
    while quote < at + 2 && matches!(chars.get(quote), Some('r' | 'b' | 'c')) {
        quote += 1;
    }
    let raw = chars[quote - 1] == 'r';
    let hashes = chars[quote..].iter().take_while(|c| **c == '#').count();
    match chars.get(quote + hashes) {
        Some('"') if raw => {
            let fence: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            (quote + hashes + 1..chars.len())
                .find(|&end| chars[end..].starts_with(&fence))
                .map_or(chars.len(), |end| end + fence.len())
        }
        Some('"') if hashes == 0 => string_end(chars, quote + 1),
        Some('\'') if hashes == 0 && chars[quote - 1] == 'b' => character_end(chars, quote),
        _ => at,
    }
}
