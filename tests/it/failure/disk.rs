//! Disks that are full or may not be written.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{body, event, publish, refused, shows};
use crate::serve::{command, folder, start, start_as};

/// Runs a command; false when that is not allowed here.
fn done(program: &str, words: &[&str]) -> bool {
    Command::new(program).args(words).output().is_ok_and(|output| output.status.success())
}

/// A disk of its own, for who may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(name: &str, size: &str) -> Option<Self> {
        let disk = Self(folder(name));
        let options = format!("size={size}");
        done("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", disk.0.to_str()?]).then_some(disk)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let place = self.0.to_str().unwrap();
        let _ = done("mount", &["-o", "remount,rw", place]);
        let _ = done("umount", &["-l", place]);
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn is_ready(server: &crate::serve::Server) -> bool {
    server.ask("GET /readyz", "").starts_with("HTTP/1.1 200 ")
}

/// Publishes until it is refused; answers how many events were taken and what was said.
fn fill(server: &crate::serve::Server) -> (usize, String) {
    let mut events = 0;
    loop {
        let answer = server.ask("POST /v1/events", &format!("{}\n", event("a", 0.1)).repeat(500));
        if !answer.starts_with("HTTP/1.1 200 ") {
            assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
            return (events, answer);
        }
        events += 500;
        assert!(events < 1_000_000, "the disk is not small");
    }
}

#[test]
fn on_a_full_disk_publishers_are_told_and_when_there_is_room_the_server_notices_by_itself() {
    let Some(disk) = SmallDisk::new("full", "1m") else {
        return println!("skipped: a small disk cannot be mounted by this user");
    };
    let (ballast, data) = (disk.0.join("ballast"), disk.0.join("data"));
    std::fs::write(&ballast, vec![0; 500_000]).unwrap();
    let server = start(&data);
    let (events, answer) = fill(&server);
    assert!(events > 0 && answer.contains("no room is left on the disk"), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(!is_ready(&server));
    std::fs::remove_file(&ballast).unwrap();
    // Nobody publishes meanwhile.
    while !is_ready(&server) {}
    publish(&server, "a", 1);
    shows(&server, "a", events + 1);
    server.end();
}

#[test]
fn where_files_may_not_grow_publishers_are_told_and_what_was_acknowledged_is_there() {
    let folder = folder("grow");
    let data = folder.join("data");
    // Blocks of 512 or 1,024 bytes; a write beyond is an error and not a signal.
    let mut limited = Command::new("sh");
    limited.args([
        "-c",
        "trap '' XFSZ; ulimit -f 600; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_visu-tility"),
    ]);
    let server = start_as(limited, &data);
    let (events, answer) = fill(&server);
    assert!(events > 0, "{answer}");
    assert!(!is_ready(&server));
    server.signal("TERM");
    let (said, status) = server.rest();
    assert_eq!(status, 4, "{said}");
    let server = start(&data);
    shows(&server, "a", events);
    publish(&server, "a", 1);
    server.end();
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_may_not_be_written_is_refused_by_name_and_served_when_it_may() {
    let Some(disk) = SmallDisk::new("read-only", "4m") else {
        return println!("skipped: a disk cannot be mounted read-only by this user");
    };
    let data = disk.0.join("data");
    let server = start(&data);
    publish(&server, "a", 3);
    server.end();
    let place = disk.0.to_str().unwrap();
    assert!(done("mount", &["-o", "remount,ro", place]));
    let said = refused(&data);
    assert!(said.contains("cannot be written: Read-only file system"), "{said}");
    // It can be looked into all the same.
    let shown = command().arg("inspect").arg(&data).output().unwrap();
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    assert!(String::from_utf8_lossy(&shown.stdout).contains("models        1"));
    assert!(done("mount", &["-o", "remount,rw", place]));
    let server = start(&data);
    shows(&server, "a", 3);
    server.end();
}

#[test]
fn a_data_folder_that_is_a_file_or_may_not_be_made_is_told() {
    let folder = folder("place");
    let file = folder.join("file");
    std::fs::write(&file, b"x").unwrap();
    for (place, reason) in [(file.clone(), "exists"), (file.join("below"), "ot a directory")] {
        let said = refused_at(&place);
        assert!(said.contains(reason) && said.contains(place.to_str().unwrap()), "{said}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn refused_at(place: &Path) -> String {
    let said = command().args(["serve", "--data-dir"]).arg(place).output().unwrap();
    assert_eq!(said.status.code(), Some(2));
    String::from_utf8(said.stderr).unwrap()
}

#[test]
fn a_second_signal_ends_a_drain_that_takes_too_long_and_nothing_is_lost() {
    let Some(disk) = SmallDisk::new("drain", "1m") else {
        return println!("skipped: a small disk cannot be mounted by this user");
    };
    let (ballast, data) = (disk.0.join("ballast"), disk.0.join("data"));
    std::fs::write(&ballast, vec![0; 500_000]).unwrap();
    let mut server = start(&data);
    let (events, _) = fill(&server);
    // States cannot be saved: the drain waits for room, until its deadline.
    server.signal("TERM");
    assert!(server.lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("SIGTERM: ending")));
    server.signal("INT");
    let (said, status) = server.rest();
    assert_eq!(status, 4, "{said}");
    assert!(said.contains("SIGINT again: ended at once; what was taken is in the journal"), "{said}");
    std::fs::remove_file(&ballast).unwrap();
    let server = start(&data);
    shows(&server, "a", events);
    assert_eq!(body(&server.ask("GET /readyz", ""))["status"], "ready");
    server.end();
}
