//! Names of models, versions and metrics, checked where they are built.

use std::borrow::Borrow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{EventError, offence};

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $field:literal, $max:literal, $ok:expr, $allowed:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The longest that is allowed, in bytes.
            pub const MAX_BYTES: usize = $max;

            /// Checks and keeps a name.
            ///
            /// # Errors
            ///
            /// Fails when it is empty, too long, or holds a character that is not allowed; the error
            /// names the field and what is allowed.
            pub fn new(name: impl AsRef<str>) -> Result<Self, EventError> {
                let name = name.as_ref();
                let ok: fn(u8) -> bool = $ok;
                if name.is_empty() || name.len() > $max || !name.bytes().all(ok) {
                    return Err(EventError::name($field, name, $allowed, offence(name, Self::may_hold)));
                }
                Ok(Self(name.into()))
            }

            /// Is true of the characters that a name may hold.
            pub(crate) fn may_hold(c: char) -> bool {
                let ok: fn(u8) -> bool = $ok;
                u8::try_from(c).is_ok_and(|byte| byte.is_ascii() && ok(byte))
            }

            /// Reads the name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

name_type!(
    /// Names a served model.
    ///
    /// 1 to 256 bytes of letters, digits and `_ - : / @ + = ~ #`: safe as one token of a message
    /// subject and as a label value. A point parts the tokens of a subject, so that `gpt-4.1` is refused; call it
    /// `gpt-4_1`, or let the point stand in the version, where it may.
    ModelId,
    "model_id",
    256,
    |b| b.is_ascii_alphanumeric() || b"_-:/@+=~#".contains(&b),
    "1 to 256 letters, digits and _ - : / @ + = ~ #"
);

name_type!(
    /// Names one deployed artifact of a model.
    ///
    /// 1 to 128 bytes of printable ASCII without blanks. An event that names none is of
    /// [`Version::unversioned`].
    Version,
    "version",
    128,
    |b| b.is_ascii_graphic(),
    "1 to 128 printable ASCII characters without blanks"
);

name_type!(
    /// Names a feature or a metric of the user's own.
    ///
    /// 1 to 128 bytes of printable ASCII without blanks.
    MetricName,
    "kind",
    128,
    |b| b.is_ascii_graphic(),
    "`Feature:`, `Custom:` or `Embedding:` and 1 to 128 printable ASCII characters without blanks"
);

impl Version {
    /// The version of events that name none, written `-`.
    pub fn unversioned() -> Self {
        static UNVERSIONED: LazyLock<Arc<str>> = LazyLock::new(|| "-".into());
        Self(Arc::clone(&UNVERSIONED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_id_is_a_subject_token() {
        assert!(ModelId::new("fraud-eu_1:blue/a").is_ok());
        for bad in ["", "a.b", "a b", "a*", "a>", "é", &"x".repeat(257)] {
            let error = ModelId::new(bad).unwrap_err().to_string();
            assert!(error.contains("`model_id`") && error.contains("256 letters"), "{error}");
        }
        assert!(ModelId::new("x".repeat(256)).is_ok());
    }

    #[test]
    fn a_refused_name_is_told_which_character_and_what_it_could_be() {
        let said = |name: &str| ModelId::new(name).unwrap_err().to_string();
        let allowed = "must be 1 to 256 letters, digits and _ - : / @ + = ~ #";
        assert_eq!(
            said("gpt-4.1"),
            format!(
                "field `model_id` is \"gpt-4.1\", {allowed}; character 6 (\".\") is none of these, \"gpt-4_1\" would do"
            )
        );
        assert_eq!(
            said("bon mot à la carte"),
            format!(
                "field `model_id` is \"bon mot à la carte\", {allowed}; character 4 (\" \") is none of these, \
                 \"bon_mot___la_carte\" would do"
            )
        );
        assert!(
            said("a\n").ends_with("#; character 2 (\"\\n\") is none of these, \"a_\" would do"),
            "{}",
            said("a\n")
        );
        // Nothing that helps can be said.
        assert!(said("...").ends_with("#; character 1 (\".\") is none of these"), "{}", said("..."));
        let long = "x".repeat(200) + ".";
        assert!(said(&long).ends_with("#; character 201 (\".\") is none of these"), "{}", said(&long));
        assert!(said("").ends_with('#') && said(&"x".repeat(257)).ends_with('#'));
        let version = Version::new("1 2").unwrap_err().to_string();
        assert!(
            version.ends_with("blanks; character 2 (\" \") is none of these, \"1_2\" would do"),
            "{version}"
        );
    }

    #[test]
    fn names_are_checked_when_read() {
        assert!(serde_json::from_str::<Version>("\"1.2.3+git\"").is_ok());
        assert!(serde_json::from_str::<Version>("\"1 2\"").is_err());
        assert!(serde_json::from_str::<ModelId>("\"\\u0000\"").is_err());
    }
}
