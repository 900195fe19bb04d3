//! One error for everything that can go wrong in a test, which knows the line it came from.

use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};
use std::panic::Location;

/// What a test, or a step of it, returns.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why a test failed, and where.
pub struct Error {
    message: String,
    at: &'static Location<'static>,
}

impl Error {
    /// An error in these words.
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            at: Location::caller(),
        }
    }
}

// Not itself a `std::error::Error`, so that every such error becomes one of these by `?`.
impl<E: StdError> From<E> for Error {
    #[track_caller]
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_message = cause.to_string();
            // Many errors already quote their cause.
            if !message.contains(&cause_message) {
                message = format!("{message}: {cause_message}");
            }
            source = cause.source();
        }
        Self::new(message)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

// What the test harness prints.
impl Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {})", self.message, self.at)
    }
}

/// Says what was being done when something failed or was missing.
pub trait Context<T> {
    /// Puts `what` before the error.
    #[track_caller]
    fn context(self, what: impl Display) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    #[track_caller]
    fn context(self, what: impl Display) -> Result<T> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => Err(Error::new(format!("{what}: {}", error.into()))),
        }
    }
}

impl<T> Context<T> for Option<T> {
    #[track_caller]
    fn context(self, what: impl Display) -> Result<T> {
        match self {
            Some(value) => Ok(value),
            None => Err(Error::new(what.to_string())),
        }
    }
}
