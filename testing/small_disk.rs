//! A disk that can be filled: a file system in memory, of a fixed size. Included by the tests of each crate that fills one.
//!
//! Only a disk that is really full shows what libraries do on one. The test that asks for it runs again as a process of its own,
//! in a user and mount namespace where a tmpfs is mounted; on most Linux systems that needs no rights. Where it is not allowed
//! the test fails and says so, unless `MESHLOG_NO_SMALL_DISK=1` leaves such tests out.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

const DISK: &str = "MESHLOG_TEST_SMALL_DISK";
const MOUNTED: &str = "the small disk is mounted";

/// Where the disk is, for a test named as `cargo test` does; `None` in the process that has only to wait for the other one.
pub(crate) fn on_a_small_disk(test: &str, megabytes: u32) -> Option<PathBuf> {
    if let Some(disk) = std::env::var_os(DISK) {
        return Some(disk.into());
    }
    if std::env::var_os("MESHLOG_NO_SMALL_DISK").is_some() {
        eprintln!("{test} was left out: MESHLOG_NO_SMALL_DISK is set");
        return None;
    }
    let disk = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size={megabytes}m tmpfs \"$0\" && echo '{MOUNTED}' && exec \"$@\"");
    let run = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &mount])
        .arg(disk.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(DISK, disk.path())
        .output();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (is_mounted, is_passed, text) = match run {
        Ok(run) => {
            let out = said(&run.stdout);
            // With a wrong name nothing would run, successfully.
            let is_passed = run.status.success() && out.contains("1 passed");
            (out.contains(MOUNTED), is_passed, format!("{out}\n{}", said(&run.stderr)))
        }
        Err(error) => (false, false, error.to_string()),
    };
    assert!(
        is_mounted,
        "{test} needs unshare(1) and mount(8) with the right to mount a tmpfs in a namespace of its own; \
         MESHLOG_NO_SMALL_DISK=1 leaves such tests out: {text}"
    );
    assert!(is_passed, "{text}");
    eprintln!("{text}");
    None
}

/// A file that takes all the space but for some bytes, until it is dropped.
pub(crate) struct Ballast(PathBuf);

impl Ballast {
    /// Fills a disk, and gives `leave` bytes back.
    pub(crate) fn load(disk: &Path, leave: u64) -> Self {
        let path = disk.join("ballast");
        let mut file = fs::File::create(&path).unwrap();
        let block = vec![1; 4096];
        let full = loop {
            if let Err(error) = file.write_all(&block) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(leave)).unwrap();
        Self(path)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}
