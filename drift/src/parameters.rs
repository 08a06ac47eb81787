//! Parameters by name: what a plan, a page or a search needs to know of a detector it does not know.

use core::fmt;

use crate::ParamError;

/// What a parameter may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shape {
    /// A number.
    Number,
    /// A whole number from 0 to `max`.
    Count {
        /// The largest that the field's type holds.
        max: u64,
    },
    /// One of these words.
    Word(&'static [&'static str]),
    /// Yes or no.
    Flag,
}

/// One parameter of a detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, as the field's.
    pub name: &'static str,
    /// What it may hold; the range within is checked by `validate`.
    pub shape: Shape,
    /// What it means, as on the field.
    pub about: &'static str,
}

/// The value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Setting<'a> {
    /// A number.
    Number(f64),
    /// A whole number.
    Count(u64),
    /// A word of the parameter's choice.
    Word(&'a str),
    /// Yes or no.
    Flag(bool),
}

/// A setting was refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SettingError {
    /// The detector has no such parameter; these are its own.
    Unknown(&'static [Parameter]),
    /// The parameter holds something else.
    Shape(Parameter),
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(known) => {
                f.write_str("no such parameter; there are")?;
                known.iter().try_for_each(|parameter| write!(f, " `{}`", parameter.name))
            }
            Self::Shape(parameter) => match parameter.shape {
                Shape::Number => write!(f, "`{}` must be a number", parameter.name),
                Shape::Count { max } => {
                    write!(f, "`{}` must be a whole number from 0 to {max}", parameter.name)
                }
                Shape::Word(words) => {
                    write!(f, "`{}` must be one of", parameter.name)?;
                    words.iter().try_for_each(|word| write!(f, " \"{word}\""))
                }
                Shape::Flag => write!(f, "`{}` must be true or false", parameter.name),
            },
        }
    }
}

impl core::error::Error for SettingError {}

/// The parameters of one detector, readable and settable by name.
///
/// Every `...Params` of a detector is one; [`crate::AnyParams`] is the choice among them.
pub trait Parameters: Clone + Default + PartialEq {
    /// The parameters in the order of the fields.
    const ALL: &'static [Parameter];

    /// Returns the value of a parameter, or nothing when there is none of that name.
    fn get(&self, name: &str) -> Option<Setting<'static>>;

    /// Sets a parameter. Its range is not checked; [`Parameters::check`] does that.
    ///
    /// # Errors
    ///
    /// Fails when there is no parameter of that name, or it holds something else.
    fn set(&mut self, name: &str, value: Setting<'_>) -> Result<(), SettingError>;

    /// Checks every parameter against its range.
    ///
    /// # Errors
    ///
    /// Names the first that is out of range.
    fn check(&self) -> Result<(), ParamError>;
}

/// A type that a parameter may have.
pub(crate) trait Field: Copy {
    const SHAPE: Shape;
    fn get(self) -> Setting<'static>;
    fn of(value: Setting<'_>) -> Option<Self>;
    /// What stands for it in a fingerprint.
    fn code(self) -> u64;
}

impl Field for f64 {
    const SHAPE: Shape = Shape::Number;

    fn get(self) -> Setting<'static> {
        Setting::Number(self)
    }

    fn of(value: Setting<'_>) -> Option<Self> {
        match value {
            Setting::Number(value) => Some(value),
            Setting::Count(value) => Some(value as Self),
            _ => None,
        }
    }

    fn code(self) -> u64 {
        self.to_bits()
    }
}

impl Field for bool {
    const SHAPE: Shape = Shape::Flag;

    fn get(self) -> Setting<'static> {
        Setting::Flag(self)
    }

    fn of(value: Setting<'_>) -> Option<Self> {
        match value {
            Setting::Flag(value) => Some(value),
            _ => None,
        }
    }

    fn code(self) -> u64 {
        u64::from(self)
    }
}

macro_rules! whole {
    ($($type:ty),*) => {$(
        impl Field for $type {
            const SHAPE: Shape = Shape::Count { max: <$type>::MAX as u64 };

            fn get(self) -> Setting<'static> {
                Setting::Count(self.into())
            }

            fn of(value: Setting<'_>) -> Option<Self> {
                match value {
                    Setting::Count(value) => value.try_into().ok(),
                    _ => None,
                }
            }

            fn code(self) -> u64 {
                self.into()
            }
        }
    )*};
}

whole!(u8, u16, u32, u64);

/// Names the words of an enum that is a parameter.
macro_rules! words {
    ($type:ty { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $crate::parameters::Field for $type {
            const SHAPE: $crate::Shape = $crate::Shape::Word(&[$($word),*]);

            fn get(self) -> $crate::Setting<'static> {
                match self {
                    $(Self::$variant => $crate::Setting::Word($word),)*
                }
            }

            fn of(value: $crate::Setting<'_>) -> Option<Self> {
                match value {
                    $($crate::Setting::Word($word) => Some(Self::$variant),)*
                    _ => None,
                }
            }

            fn code(self) -> u64 {
                self as u64
            }
        }
    };
}
pub(crate) use words;

/// Defines the parameters of a detector: the struct, its defaults, its fingerprint, and its fields by name.
///
/// `validate` is written by hand beside it; `#[doc]` says the default of each field.
macro_rules! parameters {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[doc = $doc:literal])* pub $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq)]
        #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
        #[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
        pub struct $name {
            $(
                $(#[doc = $doc])*
                #[doc = concat!(" Default `", stringify!($default), "`.")]
                pub $field: $type,
            )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl $name {
            /// A hash of all parameters, kept in front of a state.
            pub(crate) fn fingerprint(&self) -> u64 {
                $crate::state::Fingerprint::new()
                    $(.u64($crate::parameters::Field::code(self.$field)))*
                    .finish()
            }
        }

        impl $crate::Parameters for $name {
            const ALL: &'static [$crate::Parameter] = &[$(
                $crate::Parameter {
                    name: stringify!($field),
                    shape: <$type as $crate::parameters::Field>::SHAPE,
                    about: concat!($($doc),*).trim_ascii_start(),
                },
            )*];

            fn get(&self, name: &str) -> Option<$crate::Setting<'static>> {
                match name {
                    $(stringify!($field) => Some($crate::parameters::Field::get(self.$field)),)*
                    _ => None,
                }
            }

            fn set(&mut self, name: &str, value: $crate::Setting<'_>) -> Result<(), $crate::SettingError> {
                let Some(parameter) = Self::ALL.iter().find(|known| known.name == name) else {
                    return Err($crate::SettingError::Unknown(Self::ALL));
                };
                let done = match name {
                    $(stringify!($field) => {
                        $crate::parameters::Field::of(value).map(|value| self.$field = value)
                    })*
                    _ => None,
                };
                done.ok_or($crate::SettingError::Shape(*parameter))
            }

            fn check(&self) -> Result<(), $crate::ParamError> {
                self.validate()
            }
        }
    };
}
pub(crate) use parameters;
