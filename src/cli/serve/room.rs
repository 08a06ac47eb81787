//! How many connections there is room for: each takes a file descriptor, and so do the store and the threads.

use super::super::{Failure, complain};

/// Connections that are open at a time; more wait until one ends.
const CONNECTIONS_MAX: usize = 10_000;
/// Fewer are no server.
const CONNECTIONS_MIN: usize = 64;
/// Descriptors of the program, the store and the threads that answer.
const OWN: usize = 64;
/// Descriptors of each thread that models are spread over.
const OF_ARBITER: usize = 16;

/// The connections that may be open at a time.
///
/// Without a descriptor left a server accepts nobody and cannot begin a thread, and says so to nobody: so it is asked first.
pub(super) fn connections(arbiters: u16) -> Result<usize, Failure> {
    let told = std::fs::read_to_string("/proc/self/limits").ok();
    // Where the system does not tell, it is left to it.
    let Some(files_max) = told.as_deref().and_then(files_max) else { return Ok(CONNECTIONS_MAX) };
    let own = OWN + OF_ARBITER * usize::from(arbiters);
    let (least, wanted) = (own + CONNECTIONS_MIN, own + CONNECTIONS_MAX);
    if files_max < least {
        let reason = format!(
            "is {files_max}, must be at least {least}, and {wanted} for {CONNECTIONS_MAX} connections"
        );
        return Err(Failure::at("the limit of open files (`ulimit -n`)", reason));
    }
    let connections = (files_max - own).min(CONNECTIONS_MAX);
    if connections < CONNECTIONS_MAX {
        complain(&format!(
            "warning: at most {connections} connections at a time: the limit of open files (`ulimit -n`) is {files_max}, \
             must be {wanted} for {CONNECTIONS_MAX}"
        ));
    }
    Ok(connections)
}

/// The limit of open files; `None` where it is not said.
fn files_max(limits: &str) -> Option<usize> {
    let words = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match words.split_whitespace().next()? {
        "unlimited" => Some(usize::MAX),
        soft => soft.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_the_soft_one() {
        let said = |soft: &str| {
            format!("Limit   Soft Limit   Hard Limit   Units\nMax open files    {soft}    4096    files \n")
        };
        assert_eq!(files_max(&said("1024")), Some(1_024));
        assert_eq!(files_max(&said("unlimited")), Some(usize::MAX));
        assert_eq!(files_max("Max processes   7  7"), None);
    }
}
