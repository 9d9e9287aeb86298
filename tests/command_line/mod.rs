//! The command line as scripts and people meet it: the real binary against a small server made for the test.

mod dead_letters;
mod evaluate;
mod exports;
mod import;
mod outcomes;
mod reading;
mod server;
mod tail;

use std::{
    ffi::OsStr,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// An address at which nothing listens: port 1 is reserved, and no test server gets it.
const NOWHERE: &str = "http://127.0.0.1:1";

/// The command, without anything from the environment that would change what it does.
fn meshlog(url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshlog"));
    for name in ["DATA", "URL", "LISTEN", "MODEL", "ASSISTANT_PRIOR", "LOG"] {
        command.env_remove(format!("MESHLOG_{name}"));
    }
    command.args(["--url", url]).stdin(Stdio::null());
    command
}

/// Runs the command to its end.
fn run<S: AsRef<OsStr>>(url: &str, arguments: impl IntoIterator<Item = S>) -> Output {
    meshlog(url).args(arguments).output().expect("the binary can be run")
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("it was killed: {output:?}"))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("the answer is text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("what is told is text")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Writes a file into a directory of the test and answers its path.
fn file(directory: &tempfile::TempDir, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = directory.path().join(name);
    std::fs::write(&path, content).expect("a file can be written");
    path.to_str().expect("paths of tests are text").to_owned()
}

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory can be made")
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
