//! Archives that lie or attack: refused with a reason, and nothing is written.

mod support;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use support::{tree, zip_of};
use tempfile::TempDir;
use xtask::archive::{Archive, Limits, gunzip};
use xtask::error::render;

/// Opens and unpacks `wanted`; the error as the user sees it.
fn unpack(zip: &[u8], wanted: &[&str], limits: Limits) -> (TempDir, Result<(), String>) {
    let dir = TempDir::new().expect("a folder");
    fs::write(dir.path().join("a.zip"), zip).expect("the archive");
    let out = dir.path().join("out");
    fs::create_dir(&out).expect("a folder");
    let wanted: Vec<(String, PathBuf)> = wanted
        .iter()
        .map(|n| ((*n).to_owned(), PathBuf::from(n)))
        .collect();
    let result = Archive::open(&dir.path().join("a.zip"), limits)
        .and_then(|mut archive| archive.unpack(&out, &wanted, |_| {}))
        .map_err(|e| render(&e));
    (dir, result)
}

fn refused(zip: &[u8], wanted: &[&str], expected: &str) {
    let (dir, result) = unpack(zip, wanted, Limits::DATA);
    let error = result.expect_err(expected);
    assert!(
        error.contains("a.zip") && error.contains(expected),
        "{error}"
    );
    assert!(error.contains("hint: "), "{error}");
    let files: Vec<_> = tree(dir.path())
        .into_iter()
        .filter(|n| !n.ends_with('/'))
        .collect();
    assert_eq!(files, ["a.zip"], "something was left behind");
}

#[test]
fn only_what_is_asked_for_is_unpacked() {
    let zip = zip_of(&[
        ("d/a.tsv", b"one\n"),
        ("d/b.tsv", b"two\n"),
        ("__MACOSX/d/._a", b"x"),
        ("d/Icon\r", b""),
    ]);
    let (dir, result) = unpack(&zip, &["d/a.tsv"], Limits::DATA);
    result.expect("unpacked");
    assert_eq!(tree(&dir.path().join("out")), ["d/", "d/a.tsv"]);
    assert_eq!(
        fs::read(dir.path().join("out/d/a.tsv")).expect("a file"),
        b"one\n"
    );
}

#[test]
fn an_archive_with_a_climbing_or_absolute_name_is_refused_whole() {
    for bad in [
        "../evil",
        "d/../../evil",
        "/evil",
        "C:\\evil",
        "d\\..\\..\\evil",
        "\\\\host\\evil",
    ] {
        // Even if only the harmless entry is wanted.
        let zip = zip_of(&[("d/a.tsv", b"one\n"), (bad, b"evil")]);
        let expected = if bad.contains("..") {
            "climbs out"
        } else {
            "absolute path"
        };
        refused(&zip, &["d/a.tsv"], expected);
        refused(&zip, &[bad], expected);
    }
}

#[test]
fn links_are_never_made() {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer
        .add_symlink("d/a.tsv", "/etc/passwd", options)
        .expect("a link");
    let zip = writer.finish().expect("zip").into_inner();
    let (dir, result) = unpack(&zip, &["d/a.tsv"], Limits::DATA);
    let error = result.expect_err("a link");
    assert!(error.contains("has no entry \"d/a.tsv\""), "{error}");
    assert_eq!(tree(&dir.path().join("out")), [""; 0]);
}

#[test]
fn what_explodes_is_stopped() {
    let zeros = vec![0u8; 40_000_000];
    let bomb = zip_of(&[("d/bomb", &zeros)]);
    assert!(bomb.len() < 100_000);
    refused(&bomb, &["d/bomb"], "unpacks to more than 10 MB");
    // Many entries that are fine one by one.
    let limits = Limits {
        total_bytes: 15_000_000,
        ratio: 1 << 20,
        ..Limits::DATA
    };
    let part = vec![1u8; 9_000_000];
    let zip = zip_of(&[("d/a", &part), ("d/b", &part)]);
    let (dir, result) = unpack(&zip, &["d/a", "d/b"], limits);
    assert!(
        result
            .expect_err("too much")
            .contains("unpacks to more than 6.0 MB")
    );
    let left: Vec<_> = tree(&dir.path().join("out"))
        .into_iter()
        .filter(|n| !n.ends_with('/'))
        .collect();
    assert_eq!(left, [""; 0], "the first entry is removed again");
    // Too many entries.
    let names: Vec<String> = (0..50).map(|i| format!("d/{i}")).collect();
    let entries: Vec<(&str, &[u8])> = names.iter().map(|n| (n.as_str(), &b""[..])).collect();
    let (_dir, result) = unpack(
        &zip_of(&entries),
        &[],
        Limits {
            entries: 49,
            ..Limits::DATA
        },
    );
    assert!(
        result
            .expect_err("too many")
            .contains("it has 50 entries, more than 49")
    );
}

#[test]
fn a_bomb_in_gzip_is_stopped_and_a_damaged_one_named() {
    let dir = TempDir::new().expect("a folder");
    let (source, target) = (dir.path().join("x.gz"), dir.path().join("x"));
    let pack = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).expect("packed");
        encoder.finish().expect("packed")
    };
    fs::write(&source, pack(&vec![0u8; 40_000_000])).expect("a file");
    let error = render(&gunzip(&source, &target, Limits::DATA, |_| {}).expect_err("a bomb"));
    assert!(
        error.contains("x.gz") && error.contains("unpacks to more than 10 MB"),
        "{error}"
    );
    assert_eq!(tree(dir.path()), ["x.gz"]);
    let mut good = pack(b"line\n");
    fs::write(&source, &good).expect("a file");
    assert_eq!(
        gunzip(&source, &target, Limits::DATA, |_| {}).expect("unpacked"),
        5
    );
    good.truncate(good.len() - 6);
    fs::remove_file(&target).expect("removed");
    fs::write(&source, &good).expect("a file");
    let error = render(&gunzip(&source, &target, Limits::DATA, |_| {}).expect_err("cut"));
    assert!(error.contains("is damaged"), "{error}");
    assert_eq!(tree(dir.path()), ["x.gz"]);
}

#[test]
fn damage_is_noticed_wherever_it_is() {
    let content: Vec<u8> = (0..50_000u32)
        .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    let whole = zip_of(&[("d/a", &content)]);
    refused(
        &whole[..whole.len() / 2],
        &["d/a"],
        "not a whole zip archive",
    );
    refused(b"<html>404</html>", &["d/a"], "not a whole zip archive");
    refused(b"", &["d/a"], "not a whole zip archive");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0xff;
    refused(&flipped, &["d/a"], "entry \"d/a\"");
    // A size that is not true: the central directory says one byte less.
    let mut lying = whole.clone();
    let at = whole
        .windows(4)
        .rposition(|w| w == b"PK\x01\x02")
        .expect("a central directory")
        + 24;
    let size = u32::from_le_bytes(lying[at..at + 4].try_into().expect("four bytes"));
    lying[at..at + 4].copy_from_slice(&(size - 1).to_le_bytes());
    refused(&lying, &["d/a"], "entry \"d/a\"");
}

#[test]
fn a_target_outside_the_folder_is_refused() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("a.zip");
    fs::write(&path, zip_of(&[("a", b"x")])).expect("the archive");
    let mut archive = Archive::open(&path, Limits::DATA).expect("opened");
    for target in ["../x", "/x"] {
        let wanted = [("a".to_owned(), Path::new(target).to_path_buf())];
        let error = archive
            .unpack(&dir.path().join("out"), &wanted, |_| {})
            .expect_err("outside");
        assert!(error.to_string().contains("leaves its folder"), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_leaves_nothing_half_unpacked() {
    let dir = TempDir::new().expect("a folder");
    let path = dir.path().join("a.zip");
    fs::write(&path, zip_of(&[("a", b"first"), ("b", &[7; 100_000])])).expect("the archive");
    let out = dir.path().join("out");
    fs::create_dir(&out).expect("a folder");
    std::os::unix::fs::symlink("/dev/full", out.join("b")).expect("a link");
    let wanted = [("a".to_owned(), "a".into()), ("b".to_owned(), "b".into())];
    let error = Archive::open(&path, Limits::DATA)
        .and_then(|mut archive| archive.unpack(&out, &wanted, |_| {}))
        .expect_err("full");
    let error = render(&error);
    assert!(
        error.contains("out/b") && error.contains("the disk is full"),
        "{error}"
    );
    assert_eq!(tree(&out), [""; 0]);
}
