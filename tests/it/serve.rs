//! `visu-tility serve`, `inspect` and `backup` as processes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use serde_json::Value;

pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_visu-tility"))
}

pub(crate) fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("visu-tility-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

pub(crate) fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) lines: std::io::Lines<BufReader<ChildStderr>>,
    pub(crate) port_file: PathBuf,
}

/// Starts a server and waits until it has repeated its journal.
pub(crate) fn start(data: &Path) -> Server {
    start_with(data, &[])
}

fn start_with(data: &Path, more: &[&str]) -> Server {
    let mut command = command();
    command.stdout(Stdio::null());
    start_given(command, data, more)
}

/// As [`start`], by way of a command that was given what it needs besides.
pub(crate) fn start_as(command: Command, data: &Path) -> Server {
    start_given(command, data, &[])
}

fn start_given(mut command: Command, data: &Path, more: &[&str]) -> Server {
    let port_file = data.with_extension("port");
    let mut child = command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .arg("--port-file")
        .arg(&port_file)
        .args(more)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.starts_with("recovered: ")));
    Server { child, lines, port_file }
}

impl Server {
    pub(crate) fn ask(&self, request: &str, body: &str) -> String {
        let port = std::fs::read_to_string(&self.port_file).unwrap();
        let mut stream = TcpStream::connect(format!("127.0.0.1:{}", port.trim())).unwrap();
        let head = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status().unwrap().success()
        );
    }

    /// Has it end in order, with all done.
    pub(crate) fn end(self) {
        self.signal("TERM");
        let (said, status) = self.rest();
        assert_eq!(status, 0, "{said}");
    }

    /// What it says from now on, and its exit status.
    pub(crate) fn rest(mut self) -> (String, i32) {
        let said: Vec<String> = self.lines.map_while(Result::ok).collect();
        (said.join("\n"), self.child.wait().unwrap().code().unwrap())
    }
}

#[test]
fn a_server_keeps_its_state_in_one_file_from_one_life_to_the_next() {
    let folder = folder("serve");
    let data = folder.join("data");
    let event = r#"{"model_id":"fraud","kind":"DriftScore","value":0.9}"#;
    for (life, signal) in (1_u64..).zip(["TERM", "INT"]) {
        let server = start(&data);
        let body = format!("{event}\n").repeat(3);
        let answer = server.ask("POST /v1/events", &body);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let shown = server.ask("GET /v1/models/fraud", "");
        let shown: Value = serde_json::from_str(shown.split("\r\n\r\n").nth(1).unwrap()).unwrap();
        assert_eq!(shown["monitor"]["taken"], 3 * life);
        assert!(server.ask("GET /else", "").starts_with("HTTP/1.1 404 "));
        assert!(server.port_file.exists());
        server.signal(signal);
        let port_file = server.port_file.clone();
        let (said, status) = server.rest();
        assert_eq!(status, 0, "{said}");
        assert!(said.contains(&format!("SIG{signal}: ending")), "{said}");
        assert!(said.contains("ended, all done: 3 events handled, 0 cut"), "{said}");
        assert!(!port_file.exists());
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_server_takes_the_models_that_it_is_told_to_and_those_it_knows() {
    let folder = folder("admission");
    let data = folder.join("data");
    let event = |model: &str| format!(r#"{{"model_id":"{model}","kind":"F1","value":0.9}}"#);
    let lives: [(&[&str], &str, &str); 3] = [
        (&["--allow", "ads-*", "--allow", "fraud"], "HTTP/1.1 403 ", "match ads-*, fraud"),
        (
            &["--new-models", "1", "--new-models-after", "1", "--new-models-every", "60"],
            "HTTP/1.1 429 ",
            "per 60 s",
        ),
        (&["--models-max", "1"], "HTTP/1.1 403 ", "limit `models_max` of 1 is reached"),
    ];
    for (flags, status, said) in lives {
        let server = start_with(&data, flags);
        assert!(server.ask("POST /v1/events", &event("fraud")).starts_with("HTTP/1.1 200 "));
        if flags.contains(&"--new-models") {
            assert!(server.ask("POST /v1/events", &event("the-new-one")).starts_with("HTTP/1.1 200 "));
        }
        let answer = server.ask("POST /v1/events", &event("other"));
        assert!(answer.starts_with(status) && answer.contains(said), "{answer}");
        let shown = server.ask("GET /v1/admission", "");
        assert!(
            shown.contains(r#""most_refused":[{"model_id":"other","refused_min":1,"refused_max":1}"#),
            "{shown}"
        );
        server.end();
    }
    let both = ["serve", "--data-dir", data.to_str().unwrap(), "--allow", "a", "--new-models", "1"];
    let said = run(&both);
    assert_eq!(said.status.code(), Some(2));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_second_server_on_the_same_folder_is_told_who_has_it() {
    let folder = folder("second");
    let data = folder.join("data");
    let server = start(&data);
    let second = run(&["serve", "--listen", "127.0.0.1:0", "--data-dir", data.to_str().unwrap()]);
    let said = String::from_utf8(second.stderr).unwrap();
    let expected = format!("visu-tility.db` is in use by another process (pid {})", server.child.id());
    assert!(said.starts_with("error: failed to open the store: ") && said.contains(&expected), "{said}");
    assert_eq!(second.status.code(), Some(2));
    server.end();

    // An address that is taken, and a plan that is none, are told before anything is kept.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = folder.join("not-made");
    let third = run(&["serve", "--listen", &address, "--data-dir", data.to_str().unwrap()]);
    let said = String::from_utf8(third.stderr).unwrap();
    assert!(third.status.code() == Some(2) && said.contains(&format!("error: {address}: ")), "{said}");
    assert!(!data.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_store_is_shown_and_copied_while_its_server_runs() {
    let folder = folder("inspect");
    let data = folder.join("data");
    let server = start(&data);
    let lines =
        ["b", "a"].map(|model| format!(r#"{{"model_id":"{model}","kind":"DriftScore","value":0.9}}"#));
    assert!(server.ask("POST /v1/events", &lines.join("\n")).starts_with("HTTP/1.1 200 "));
    let (data_text, copy) = (data.to_str().unwrap(), folder.join("copy.db"));
    // Both models fire: their states and alerts are kept soon after, together.
    let json = loop {
        let shown = run(&["inspect", data_text, "--format", "json"]);
        assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
        let json: Value = serde_json::from_slice(&shown.stdout).unwrap();
        if json["alerts"]["kept"] == 2 && json["alerts"]["waiting"] == 0 {
            break json;
        }
    };
    let names: Vec<&str> = json["models"]["shown"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["model_id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!((&json["journal"]["next_offset"], &json["jobs"]["kept"]), (&2.into(), &0.into()));
    let alert = &json["alerts"]["shown"][0];
    assert_eq!(
        (&alert["state"], &alert["record"]["action"]["alert"]["phase"]),
        (&"delivered".into(), &"firing".into())
    );

    let copied = run(&["backup", data_text, copy.to_str().unwrap()]);
    assert!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr));
    let again = run(&["backup", data_text, copy.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(2), "nothing is written over");
    server.end();

    let text = run(&["inspect", copy.to_str().unwrap()]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("models        2\n  a: running, saved up to offset 2"), "{text}");
    assert!(text.contains("alerts        2 kept, 0 of them wait"), "{text}");
    let none = folder.join("none.db");
    for words in [vec!["inspect"], vec!["restore", "--data-dir", folder.join("none").to_str().unwrap()]] {
        let said = command().args(words).arg(&none).output().unwrap();
        let text = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(2));
        assert!(text.contains("none.db`: there is no such file"), "{text}");
    }
    assert!(!folder.join("none").exists());
    // The copy is a store that can be served.
    let other = folder.join("other");
    let (copy_text, other_text) = (copy.to_str().unwrap(), other.to_str().unwrap());
    let restored = run(&["restore", copy_text, "--data-dir", other_text]);
    let said = String::from_utf8(restored.stdout).unwrap();
    assert!(said.starts_with("restored to ") && said.contains(": 2 models, journal from offset "), "{said}");
    let again = run(&["restore", copy_text, "--data-dir", other_text]);
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.code() == Some(2) && said.contains("is there already: move it away"), "{said}");
    let server = start(&other);
    let listed = server.ask("GET /v1/models", "");
    assert!(
        listed.contains(
            r#"{"models":[{"model_id":"a","phase":"asleep"},{"model_id":"b","phase":"asleep"}],"next":null}"#
        ),
        "{listed}"
    );
    server.end();
    std::fs::remove_dir_all(&folder).unwrap();
}

/// A setting that is none, and what is said of it.
const WRONG: &[(&str, &str, &str)] = &[
    ("--models-max", "0", "must be a whole number from 1 to 1000000000"),
    ("--awake-max", "0", "must be a whole number from 1 to 1000000000"),
    ("--new-models", "0", "must be a whole number from 1 to 1000000000"),
    ("--idle-after", "-1", "must be a whole number from 1 to 315360000"),
    ("--drain", "1e3", "must be a whole number from 1 to 3600"),
    ("--allow", "", "must be 1 to 512 letters, digits and _ - : / @ + = ~ #"),
    ("--allow", "fraud *", "must be 1 to 512 letters, digits and _ - : / @ + = ~ #"),
];

#[test]
fn a_setting_that_cannot_be_is_refused_by_its_name_with_what_is_allowed_and_nothing_is_kept() {
    let folder = folder("setting");
    let data = folder.join("data");
    for (option, value, allowed) in WRONG {
        let option_and_value = format!("{option}={value}");
        let refused = run(&["serve", "--data-dir", data.to_str().unwrap(), &option_and_value]);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(option) && said.contains(allowed), "{said}");
    }
    assert!(!data.exists());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_that_may_not_open_enough_files_is_refused_and_one_that_may_open_few_takes_fewer_connections() {
    let folder = folder("files");
    let data = folder.join("data");
    let limited = |files: u32| {
        let mut command = Command::new("sh");
        let ulimit = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
        command.args(["-c", &ulimit, env!("CARGO_BIN_EXE_visu-tility")]);
        command
    };
    let refused = limited(143).args(["serve", "--data-dir"]).arg(&data).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    let text = "error: the limit of open files (`ulimit -n`): is 143, must be at least 144, and 10080 for 10000 connections";
    assert!(said.contains(text) && !data.exists(), "{said}");

    // The least that is enough: more than that many connections come, and nobody is kept out for good.
    let server = start_as(limited(144), &data);
    let port = std::fs::read_to_string(&server.port_file).unwrap();
    let to = format!("127.0.0.1:{}", port.trim());
    let crowd: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&to).unwrap()).collect();
    drop(crowd);
    let event = r#"{"model_id":"m","kind":"F1","value":0.9}"#;
    assert!(server.ask("POST /v1/events", event).starts_with("HTTP/1.1 200 "));
    server.end();
    std::fs::remove_dir_all(&folder).unwrap();
}
