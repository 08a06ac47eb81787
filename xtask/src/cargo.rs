//! Runs cargo, the one that started us, and shows what is run so that it can be run again by hand.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use crate::{Failure, Outcome};

/// One call of cargo: its words and the environment it needs.
pub(crate) struct Call {
    words: Vec<String>,
    environment: Vec<(&'static str, String)>,
}

impl Call {
    /// The call `cargo WORDS`, words parted by blanks.
    pub(crate) fn new(words: &str) -> Self {
        Self { words: words.split_whitespace().map(str::to_owned).collect(), environment: Vec::new() }
    }

    pub(crate) fn env(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((key, value.into()));
        self
    }

    /// Adds one word, blanks and all.
    pub(crate) fn word(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    /// The line a person types.
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        for (key, value) in &self.environment {
            let _ = write!(line, "{key}='{value}' ");
        }
        line.push_str("cargo");
        for word in &self.words {
            let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./:,".contains(c));
            let _ = if plain { write!(line, " {word}") } else { write!(line, " '{word}'") };
        }
        line
    }

    /// Runs it with its output shown.
    pub(crate) fn run(&self) -> Outcome {
        println!("$ {}", self.line());
        let status =
            self.command().status().map_err(|error| self.failure(&format!("not started: {error}")))?;
        if status.success() { Ok(()) } else { Err(self.failure(&status.to_string())) }
    }

    /// Runs it and returns what it printed.
    pub(crate) fn output(&self) -> Result<String, Failure> {
        let output = self
            .command()
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| self.failure(&format!("not started: {error}")))?;
        if !output.status.success() {
            return Err(self.failure(&output.status.to_string()));
        }
        String::from_utf8(output.stdout).map_err(|error| self.failure(&error.to_string()))
    }

    /// Whether it runs at all; says nothing.
    pub(crate) fn works(&self) -> bool {
        let status = self.command().stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(&self.words).envs(self.environment.iter().map(|(key, value)| (key, value)));
        // `cargo run` describes this package in the environment; a child that sees it believes it is us.
        for (key, _) in std::env::vars_os() {
            let key = key.to_string_lossy();
            if key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_") {
                command.env_remove(key.as_ref());
            }
        }
        command
    }

    fn failure(&self, what: &str) -> Failure {
        Failure::new(format!("{} ({what})", self.line()), self.line())
    }
}

#[cfg(test)]
mod tests {
    use super::Call;

    #[test]
    fn a_line_can_be_typed_again() {
        let call = Call::new("doc --no-deps").env("RUSTDOCFLAGS", "-D warnings").word("a b");
        assert_eq!(call.line(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'a b'");
    }

    #[test]
    fn what_fails_names_its_line() {
        let call = Call::new("no-such-command-at-all");
        assert!(!call.works());
        assert_eq!(call.failure("not there").rerun, "cargo no-such-command-at-all");
    }
}
