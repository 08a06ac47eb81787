//! The program as a process: started, told ready by its own words, killed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// Journal entries that the server keeps for the witness.
const KEPT: u64 = 30_000;
/// How far publishers may be ahead of the witness: what is on its way besides is far less than the rest.
pub(super) const AHEAD_MAX: u64 = KEPT / 3;

pub(super) struct Server {
    child: Child,
    lines: Receiver<String>,
}

impl Server {
    pub(super) fn start(folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_visu-tility"))
            .args(["serve", "--listen", "127.0.0.1:0", "--save-every", "2", "--idle-after", "1"])
            .args(["--arbiters", "2", "--drain", "60", "--keep-journal"])
            .arg(KEPT.to_string())
            .arg("--data-dir")
            .arg(folder.join("data"))
            .arg("--plan")
            .arg(folder.join("plan.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let mut log = File::options().create(true).append(true).open(folder.join("server.log")).unwrap();
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // Only for who looks into the folder after a failure.
                let _ = writeln!(log, "{line}");
                let _ = tell.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits until it listens and has repeated its journal; answers where it listens.
    pub(super) fn await_ready(&mut self) -> SocketAddr {
        let mut to = None;
        loop {
            let line = self.lines.recv().expect("the server says that it is ready");
            assert!(!line.contains("error"), "the server said: {line}");
            if let Some(address) = line.strip_prefix("serving on http://") {
                to = Some(address.parse().unwrap());
            }
            if line.starts_with("recovered: ") {
                return to.expect("it listens before it has recovered");
            }
        }
    }

    pub(super) fn kill(&mut self) {
        // SIGKILL.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Has it end in order.
    pub(super) fn end(&mut self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &pid]).status().unwrap();
        assert!(sent.success());
        let status = self.child.wait().unwrap();
        let lines: Vec<String> = self.lines.iter().collect();
        assert!(status.success(), "it ended with {status} and said {lines:#?}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After a failure it is still there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
