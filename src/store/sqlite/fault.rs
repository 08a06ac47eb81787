//! What SQLite's errors mean to whoever uses a store.

use std::io;
use std::path::Path;

use rusqlite::{Error, ErrorCode};
use visu_tility_core::store::StoreError;

/// Translates an error of SQLite.
pub(super) fn of(doing: &str, path: &Path, error: &Error) -> StoreError {
    let detail = error.to_string();
    let code = match error {
        Error::SqliteFailure(failure, _) => failure.code,
        // What was read is not of the kind that was written.
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => return StoreError::corrupt(path.display().to_string(), &detail),
        _ => return StoreError::io(doing, &detail),
    };
    match code {
        ErrorCode::DiskFull => StoreError::DiskFull { detail },
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
            StoreError::ReadOnly { path: path.into(), detail }
        }
        ErrorCode::DatabaseCorrupt => StoreError::corrupt(path.display().to_string(), &detail),
        ErrorCode::NotADatabase => StoreError::Foreign { path: path.into(), detail },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            StoreError::Locked { path: path.into(), pid: None }
        }
        _ => StoreError::io(doing, &detail),
    }
}

/// Translates an error of the file system.
pub(super) fn of_file(doing: &str, path: &Path, error: &io::Error) -> StoreError {
    let detail = error.to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreError::ReadOnly { path: path.into(), detail }
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { detail },
        _ => StoreError::io(format!("{doing} `{}`", path.display()), &detail),
    }
}
