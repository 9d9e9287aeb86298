//! Zip files that are whole, cut off, damaged, and made to cost more than they should.

use std::{fs, io::Write};

use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::cli::import::exports::container::Container;

/// A zip file of these members.
fn packed(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        writer.start_file(*name, options).expect("memory takes it");
        writer.write_all(content).expect("memory takes it");
    }
    writer.finish().expect("memory takes it").into_inner()
}

/// Opens bytes as a file.
fn open(bytes: &[u8]) -> (tempfile::TempDir, Result<Container, Refusal>) {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let path = directory.path().join("export.zip");
    fs::write(&path, bytes).expect("a file can be written");
    let container = Container::open(&path);
    (directory, container)
}

fn refused(bytes: &[u8]) -> String {
    open(bytes).1.err().expect("it is refused").what
}

fn content(container: &Container, index: usize) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    container.read(index)?.read_to_end(&mut content)?;
    Ok(content)
}

#[test]
fn members_come_in_order_and_whole() {
    let large = b"abcdefgh".repeat(100_000);
    let (_directory, container) = open(&packed(&[("b/2.json", &large), ("a.json", b"[]")]));
    let container = container.expect("it is whole");
    let names: Vec<&str> = container.members().iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names, ["a.json", "b/2.json"]);
    assert_eq!(content(&container, 1).expect("it can be read"), large);
    assert_eq!(content(&container, 0).expect("it can be read"), b"[]");
    assert_eq!(container.bytes_read(), large.len() as u64 + 2);
}

#[test]
fn folders_are_seen_whatever_stands_between_them() {
    let bytes = packed(&[("general\\2024-01-01.json", b"[]"), ("../up/a.json", b"[]"), ("/b.json", b"[]")]);
    let (_directory, opened) = open(&bytes);
    let container = opened.expect("it is a zip file");
    let folders: Vec<&str> = container.members().iter().map(|member| member.folder()).collect();
    // Nothing is written, so a path that leads out of the folder is a name like any other.
    assert_eq!(folders, ["../up", "", "general"]);
    assert_eq!(content(&container, 2).expect("it can be read"), b"[]");
}

#[test]
fn a_zip_file_that_is_cut_off_is_refused_wherever_it_ends() {
    let whole = packed(&[("a.json", b"[1,2,3]"), ("b.json", b"[4]")]);
    for length in 4..whole.len() {
        let told = refused(&whole[..length]);
        assert!(told.contains("cut off") || told.contains("not a whole zip file"), "{length}: {told}");
    }
}

#[test]
fn a_zip_file_that_ends_with_one_within_it_is_cut_off_too() {
    // The directory of the inner one was taken for that of the whole.
    let inner = packed(&[("a.json", b"[]")]);
    let mut writer = ZipWriter::new(io::Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    writer.start_file("inner.zip", stored).expect("memory takes it");
    writer.write_all(&inner).expect("memory takes it");
    let whole = writer.finish().expect("memory takes it").into_inner();
    assert!(open(&whole).1.is_ok());
    let start = whole.windows(inner.len()).position(|window| window == inner).expect("it is stored as it is");
    let told = refused(&whole[..start + inner.len()]);
    assert!(told.contains("is cut off"), "{told}");
}

#[test]
fn a_member_that_is_damaged_is_told_when_it_is_read() {
    let whole = packed(&[("a.json", &b"[1,2,3,4,5,6,7]".repeat(50))]);
    let start = 30 + "a.json".len();
    let mut told = Vec::new();
    for place in start..start + 20 {
        let mut damaged = whole.clone();
        damaged[place] ^= 0x55;
        if let (_directory, Ok(container)) = open(&damaged) {
            told.push(content(&container, 0).expect_err("a byte differs").to_string());
        }
    }
    assert_eq!(told.len(), 20);
}

#[test]
fn what_holds_more_than_it_says_ends_there() {
    let mut lying = packed(&[("a.json", &[b' '; 5000])]);
    let central = lying.windows(4).rposition(|window| window == b"PK\x01\x02").expect("there is a directory");
    lying[central + 24..central + 28].copy_from_slice(&100_u32.to_le_bytes());
    let (_directory, container) = open(&lying);
    let told = content(&container.expect("the directory is whole"), 0).expect_err("it holds more").to_string();
    assert!(told.contains("more than the zip file's directory says"), "{told}");
}

#[test]
fn a_bomb_is_refused_before_anything_is_read() {
    let spaces = vec![b' '; 40 * 1024 * 1024];
    let told = refused(&packed(&[("conversations.json", &spaces)]));
    assert!(told.contains("conversations.json holds 42 MB in") && told.contains("250 bytes for one"), "{told}");
    // A picture is never opened, so how it is compressed does not matter.
    assert!(open(&packed(&[("picture.bmp", &spaces)])).1.is_ok());
}

#[test]
fn members_that_lie_over_each_other_are_refused() {
    let content: Vec<u8> =
        (0..3000_u32).flat_map(|number| blake3::hash(&number.to_le_bytes()).as_bytes()[..1].to_vec()).collect();
    let mut whole = packed(&[("a.json", &content), ("b.json", b"[]")]);
    let first = whole.windows(4).position(|window| window == b"PK\x01\x02").expect("there is a directory");
    let second = first + 46 + "a.json".len();
    let entry: Vec<u8> = whole[first..second].to_vec();
    // The second entry of the directory shows the data of the first.
    whole[second..second + 46].copy_from_slice(&entry[..46]);
    let told = refused(&whole);
    assert!(told.contains("lie over each other") || told.contains("zip file"), "{told}");
}

#[test]
fn a_directory_that_claims_to_be_huge_is_not_read() {
    let mut whole = packed(&[("a.json", b"[]")]);
    let end = whole.len() - END_LENGTH as usize;
    whole[end + 12..end + 16].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    assert!(refused(&whole).contains("the list of files in"), "{}", refused(&whole));
}

#[test]
fn any_bytes_behind_the_mark_of_a_zip_file_end_without_a_panic() {
    let whole = packed(&[("a.json", b"[1,2,3]"), ("b.json", b"[4]")]);
    for place in 4..whole.len() {
        for flip in [0xff, 0x01, 0x80] {
            let mut damaged = whole.clone();
            damaged[place] ^= flip;
            let (_directory, container) = open(&damaged);
            let Ok(container) = container else { continue };
            for index in 0..container.members().len() {
                let _ = content(&container, index);
            }
        }
    }
}
