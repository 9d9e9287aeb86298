//! docker-compose.yml asks for what this program knows. The rest of the file is looked at by `scripts/check-compose.py`.

use std::{path::Path, process::Command};

use crate::support::BINARY;

/// The roles' commands: those of them that the file writes as one line of JSON, whose first word is a role.
fn commands() -> Vec<Vec<String>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker-compose.yml");
    let text = std::fs::read_to_string(file).unwrap();
    let commands = text.lines().filter_map(|line| line.trim().strip_prefix("command: "));
    let commands = commands.map(|command| serde_json::from_str::<Vec<String>>(command).unwrap());
    commands.filter(|command| !command[0].starts_with('-')).collect()
}

#[test]
fn its_commands_are_understood() {
    let commands = commands();
    let roles: Vec<&str> = commands.iter().map(|command| command[0].as_str()).collect();
    assert_eq!(roles, ["gateway", "worker", "query"]);
    for command in &commands {
        // Everything in front of --help is read, and a word that is not understood is an error.
        let answer = Command::new(BINARY).args(command).arg("--help").output().unwrap();
        assert!(answer.status.success(), "{command:?}: {}", String::from_utf8_lossy(&answer.stderr));
        let refused = Command::new(BINARY).args(command).args(["--no-such-flag", "--help"]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{command:?}");
    }
}
