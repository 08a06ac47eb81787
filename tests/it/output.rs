//! Where reports and plans go: whole or not at all, never over what is read, never two to one place.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::calibrate::{answers, calibrate};
use crate::replay_command::{Folder, command, run};

/// What lies in a folder.
fn names(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.path("")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_that_is_killed_leaves_files_as_they_were() {
    let folder = Folder::new("output_killed");
    folder.write("old", "as before");
    for args in [
        &["calibrate", "-", "--out", "new", "--plan-out", "old"][..],
        &["replay", "-", "--out", "old"],
        &["replay", "-", "--out", "new"],
    ] {
        let mut command = command();
        command.current_dir(folder.path("")).args(args);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"{\"bad\":1}\n").unwrap();
        // It has begun to read when it tells of the bad line.
        let mut told = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut told).unwrap();
        assert!(told.contains("unknown field"), "{told}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(names(&folder), ["old"], "{args:?}");
        assert_eq!(std::fs::read_to_string(folder.path("old")).unwrap(), "as before");
    }
}

#[test]
fn a_file_is_replaced_whole() {
    let folder = Folder::new("output_replaced");
    let events = folder.write("a.ndjson", answers("a", 300, |at| at % 9 == 0));
    let out = folder.write("out", "x".repeat(100_000));
    let plan = folder.write("plan", "y".repeat(100_000));
    assert_eq!(calibrate(&events, &["--out", &out, "--plan-out", &plan]).status, 0);
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(text.starts_with("Calibration from a.ndjson\n") && !text.contains('x'), "{text}");
    assert_eq!(run(["check", &plan]).status, 0);
    assert_eq!(names(&folder), ["a.ndjson", "out", "plan"]);
}

#[cfg(unix)]
#[test]
fn links_and_devices_are_written_as_what_they_are() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = Folder::new("output_links");
    let events = folder.write("a.ndjson", answers("a", 300, |at| at % 9 == 0));
    let real = folder.write("real", "before");
    std::fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
    symlink("real", folder.path("link")).unwrap();
    symlink("absent", folder.path("dangling")).unwrap();
    for link in ["link", "dangling"] {
        assert_eq!(run(["replay", &events, "--out", &folder.path(link)]).status, 0);
        assert!(std::fs::symlink_metadata(folder.path(link)).unwrap().is_symlink(), "{link}");
        let text = std::fs::read_to_string(folder.path(link)).unwrap();
        assert!(text.contains("a.ndjson"), "{link}: {text}");
    }
    assert_eq!(std::fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(names(&folder), ["a.ndjson", "absent", "dangling", "link", "real"]);
    assert_eq!(run(["replay", &events, "--out", "/dev/null"]).status, 0);
    assert_eq!(run(["replay", &events, "--out", &folder.path("")]).status, 2, "a folder");
    assert_eq!(run(["replay", &events, "--out", &folder.path("no/such")]).status, 2);
}

#[test]
fn a_dash_is_the_standard_output() {
    let folder = Folder::new("output_dash");
    let events = folder.write("a.ndjson", answers("a", 300, |at| at % 9 == 0));
    let in_folder = |args: &[&str]| {
        let output = command().current_dir(folder.path("")).args(args).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap(), output.stderr)
    };
    let plain = in_folder(&["replay", "a.ndjson"]);
    assert_eq!(in_folder(&["replay", "a.ndjson", "--out", "-"]), plain);
    let plain = in_folder(&["calibrate", "a.ndjson", "--runs", "5"]);
    assert_eq!(in_folder(&["calibrate", "a.ndjson", "--runs", "5", "--out", "-"]), plain);
    let (status, plan, _) =
        in_folder(&["calibrate", "a.ndjson", "--runs", "5", "--plan-out", "-", "--out", "report"]);
    assert_eq!(status, 0);
    let checked = folder.write("plan.toml", plan);
    assert_eq!(run(["check", &checked]).status, 0);
    assert_eq!(names(&folder), ["a.ndjson", "plan.toml", "report"]);
    for args in [&["--plan-out", "-", "--out", "-"][..], &["--plan-out", "-"]] {
        let ran = calibrate(&events, args);
        assert_eq!((ran.status, &*ran.stdout), (2, ""));
        let told =
            "error: --plan-out: is the standard output, as is --out: one of the two must name a file\n";
        assert_eq!(ran.stderr, told);
    }
}

#[test]
fn report_and_plan_are_two_files() {
    let folder = Folder::new("output_two");
    // Not read: the mistake is found before.
    let events = folder.write("a.ndjson", "nonsense\n");
    std::fs::create_dir(folder.path("sub")).unwrap();
    let mut pairs = vec![("new", "new"), ("new", "./new"), ("new", "sub/../new"), ("a", "./sub/.././a")];
    #[cfg(unix)]
    {
        folder.write("real", "");
        std::os::unix::fs::symlink("real", folder.path("link")).unwrap();
        std::os::unix::fs::symlink("new", folder.path("dangling")).unwrap();
        std::fs::hard_link(folder.path("real"), folder.path("hard")).unwrap();
        pairs.extend([("real", "link"), ("real", "hard"), ("new", "dangling")]);
    }
    let before = names(&folder);
    for (out, plan) in pairs {
        let ran = calibrate(&events, &["--out", &folder.path(out), "--plan-out", &folder.path(plan)]);
        assert_eq!((ran.status, &*ran.stdout), (2, ""));
        let told = ran.stderr.starts_with("error: --plan-out: ") && ran.stderr.lines().count() == 1;
        assert!(told && ran.stderr.contains("is the file of --out, must be another one"), "{}", ran.stderr);
    }
    assert_eq!(names(&folder), before);
}

/// Its events would count twice, and look like twice the rate.
#[test]
fn a_file_of_events_is_given_once_whatever_it_is_called() {
    let folder = Folder::new("output_same_events");
    let events = folder.write("a.ndjson", "nonsense\n");
    std::fs::create_dir(folder.path("sub")).unwrap();
    let mut names = vec![("a.ndjson".to_owned(), "given twice, must be given once")];
    let other = "is the file that is read as ";
    names.push(("sub/../a.ndjson".to_owned(), other));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("a.ndjson", folder.path("link")).unwrap();
        std::fs::hard_link(&events, folder.path("hard")).unwrap();
        names.extend([("link".to_owned(), other), ("hard".to_owned(), other)]);
    }
    for command in ["replay", "calibrate"] {
        for (name, told) in &names {
            let ran = run([command, &events, &folder.write("b.ndjson", ""), &folder.path(name)]);
            assert_eq!((ran.status, &*ran.stdout), (2, ""), "{command} {name}");
            assert!(ran.stderr.starts_with(&format!("error: {}: ", folder.path(name))), "{}", ran.stderr);
            assert!(ran.stderr.contains(told) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
        }
    }
    let copy = folder.write("copy.ndjson", std::fs::read(&events).unwrap());
    assert_eq!(run(["replay", &events, &copy]).status, 3, "a copy is another file, without an event");
}

#[cfg(unix)]
#[test]
fn the_standard_output_is_known_by_its_other_names() {
    let folder = Folder::new("output_stdout");
    let events = folder.write("a.ndjson", answers("a", 300, |at| at % 9 == 0));
    let told = "error: --plan-out: is the standard output, as is --out: one of the two must name a file\n";
    for args in [&["--plan-out", "/dev/stdout"][..], &["--plan-out", "-", "--out", "/dev/stdout"]] {
        let ran = calibrate(&events, args);
        assert_eq!((ran.status, &*ran.stdout, &*ran.stderr), (2, "", told), "{args:?}");
    }
    // The shell has sent it to a file.
    let into = std::fs::File::create(folder.path("report")).unwrap();
    let mut shell = command();
    shell.args(["calibrate", &events, "--plan-out", &folder.path("report")]).stdout(into);
    let output = shell.output().unwrap();
    assert_eq!((output.status.code(), &*String::from_utf8(output.stderr).unwrap()), (Some(2), told));
    // Alone it is as good a name as any, and what is thrown away disturbs nobody.
    let alone = calibrate(&events, &["--out", "/dev/stdout"]);
    assert_eq!((alone.status, alone.stdout), (0, calibrate(&events, &[]).stdout));
    let mut silent = command();
    silent.args(["calibrate", &events, "--plan-out", "/dev/null"]).stdout(Stdio::null());
    assert_eq!(silent.output().unwrap().status.code(), Some(0));
}
