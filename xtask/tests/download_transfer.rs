//! One file over HTTP, from servers that break off, lie, ignore Range, change, refuse or overload.

mod support;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use support::{Answer, Server, sha256, tree};
use tempfile::TempDir;
use xtask::error::render;
use xtask::fetch::{Fetched, Fetcher, Request};

struct Case {
    dir: TempDir,
    body: Vec<u8>,
}

impl Case {
    fn new() -> Self {
        let body = (0..300_000u32)
            .flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes())
            .collect();
        Self {
            dir: TempDir::new().expect("a folder"),
            body,
        }
    }

    fn destination(&self) -> PathBuf {
        self.dir.path().join("sub").join("file.bin")
    }

    fn request(&self, server: &Server) -> Request {
        Request {
            url: format!("{}/file.bin", server.url),
            destination: self.destination(),
            sha256: Some(sha256(&self.body)),
            bytes: Some(self.body.len() as u64),
            token: None,
        }
    }

    fn unpinned(&self, server: &Server) -> Request {
        Request {
            sha256: None,
            bytes: None,
            ..self.request(server)
        }
    }

    fn check_whole(&self) {
        assert_eq!(fs::read(self.destination()).expect("the file"), self.body);
        assert_eq!(tree(self.dir.path()), ["sub/", "sub/file.bin"]);
    }

    fn check_nothing_placed(&self) {
        assert!(!self.destination().exists());
    }
}

fn fetcher() -> Fetcher {
    Fetcher::from_environment()
        .expect("a client")
        .with_patience(3, Duration::from_millis(1))
}

fn fetch(request: &Request) -> Result<Fetched, String> {
    fetcher().fetch(request).map_err(|e| render(&e))
}

#[test]
fn a_broken_connection_is_continued_where_it_broke() {
    let case = Case::new();
    let body = case.body.clone();
    let server = Server::start(move |asked, number| {
        let answer = Answer::ranged(&body, asked, "v1");
        if number < 3 {
            answer.cut_at(250_000)
        } else {
            answer
        }
    });
    let fetched = fetch(&case.request(&server)).expect("fetched");
    assert_eq!(
        (fetched.bytes, fetched.sha256),
        (case.body.len() as u64, sha256(&case.body))
    );
    case.check_whole();
    let starts: Vec<_> = server
        .asked()
        .iter()
        .map(support::Asked::range_start)
        .collect();
    assert_eq!(starts, [None, Some(250_000), Some(500_000), Some(750_000)]);
}

#[test]
fn a_later_run_continues_and_a_finished_file_is_not_fetched_again() {
    let case = Case::new();
    let body = case.body.clone();
    let server = Server::start(move |asked, number| {
        // The first run gets half and then only empty connections.
        match number {
            0 => Answer::ranged(&body, asked, "v1").cut_at(600_000),
            1..=3 => Answer::ranged(&body, asked, "v1").cut_at(0),
            _ => Answer::ranged(&body, asked, "v1"),
        }
    });
    // Without a pinned hash the ETag alone proves that the rest belongs to the same file.
    let error = fetch(&case.unpinned(&server)).expect_err("cut off for good");
    assert!(
        error.contains("broke off after 600000 of 1200000 bytes"),
        "{error}"
    );
    assert!(
        error.contains("run the same command again: it continues after the 600000 bytes"),
        "{error}"
    );
    case.check_nothing_placed();
    let fetched = fetch(&case.unpinned(&server)).expect("second run");
    assert_eq!(fetched.resumed_from, 600_000);
    case.check_whole();
    let requests = server.asked().len();
    assert_eq!(
        fetch(&case.request(&server))
            .expect("there already")
            .resumed_from,
        1_200_000
    );
    assert_eq!(server.asked().len(), requests);
}

#[test]
fn a_server_that_ignores_range_starts_over() {
    let case = Case::new();
    let body = case.body.clone();
    let server = Server::start(move |_, number| {
        let answer = Answer::ok(body.clone()).header("ETag", "\"v1\"");
        if number == 0 {
            answer.cut_at(500_000)
        } else {
            answer
        }
    });
    fetch(&case.request(&server)).expect("fetched");
    case.check_whole();
    assert_eq!(server.asked()[1].range_start(), Some(500_000));
}

#[test]
fn a_file_that_changes_in_between_is_never_glued_together() {
    let case = Case::new();
    let (new, old) = (case.body.clone(), vec![7u8; case.body.len()]);
    let server = Server::start(move |asked, number| match number {
        0 => Answer::ranged(&old, asked, "old").cut_at(400_000),
        _ => Answer::ranged(&new, asked, "new"),
    });
    fetch(&case.unpinned(&server)).expect("fetched");
    case.check_whole();
    // The same when the server does not honour If-Range: the hash finds out, and it starts over.
    let case = Case::new();
    let (new, old) = (case.body.clone(), vec![7u8; case.body.len()]);
    let server = Server::start(move |asked, number| {
        let mut asked = asked.clone();
        asked.headers.remove("if-range");
        match number {
            0 => Answer::ranged(&old, &asked, "old").cut_at(400_000),
            _ => Answer::ranged(&new, &asked, "new"),
        }
    });
    fetch(&case.request(&server)).expect("fetched");
    case.check_whole();
    // Or when it is shorter now than what was fetched before.
    let case = Case::new();
    let (new, old) = (case.body.clone(), vec![7u8; 3_000_000]);
    let server = Server::start(move |asked, number| match number {
        0 => Answer::ranged(&old, asked, "v").cut_at(2_000_000),
        _ => Answer::ranged(&new, asked, "v"),
    });
    fetch(&case.unpinned(&server)).expect("fetched");
    case.check_whole();
}

#[test]
fn lies_about_the_length_are_named() {
    // Announces less than it must have.
    let case = Case::new();
    let body = case.body.clone();
    let server = Server::start(move |_, _| Answer::ok(&body[..1000]));
    let error = fetch(&case.request(&server)).expect_err("short");
    assert!(
        error.contains("/file.bin announces 1000 bytes, and 1200000 were expected"),
        "{error}"
    );
    assert!(error.contains("hint: "), "{error}");
    case.check_nothing_placed();
    // Announces more than it sends, again and again.
    let body = case.body.clone();
    let server = Server::start(move |_, _| Answer::ok(&body[..1000]).claiming(Some(5000)));
    let error = fetch(&case.unpinned(&server)).expect_err("cut");
    assert!(
        error.contains("broke off after 1000 of 5000 bytes"),
        "{error}"
    );
    case.check_nothing_placed();
    // Says nothing, so that a cut could not be noticed.
    let body = case.body.clone();
    let server = Server::start(move |_, _| Answer::ok(body.clone()).claiming(None));
    let error = fetch(&case.unpinned(&server)).expect_err("no length");
    assert!(
        error.contains("does not say how long the file is"),
        "{error}"
    );
    case.check_nothing_placed();
    // Nothing said, but a pinned hash: that is enough.
    fetch(&case.request(&server)).expect("pinned");
    // Sends more than it announced: only what was announced counts.
    let case = Case::new();
    let body = case.body.clone();
    let server = Server::start(move |_, _| {
        Answer::ok([&body[..], b"and more"].concat()).claiming(Some(body.len()))
    });
    fetch(&case.request(&server)).expect("announced part");
    case.check_whole();
}

#[test]
fn a_wrong_hash_is_refused_and_nothing_stays() {
    let case = Case::new();
    let mut body = case.body.clone();
    body[777] ^= 1;
    let wrong = sha256(&body);
    let server = Server::start(move |asked, _| Answer::ranged(&body, asked, "v1"));
    let error = fetch(&case.request(&server)).expect_err("wrong");
    assert!(
        error.contains(&wrong) && error.contains(&sha256(&case.body)),
        "{error}"
    );
    assert!(
        error.contains("/file.bin") && error.contains("--from"),
        "{error}"
    );
    assert_eq!(tree(case.dir.path()), ["sub/"]);
}

#[test]
fn a_wrong_answer_to_a_range_is_not_believed() {
    let case = Case::new();
    let body = case.body.clone();
    let server = Server::start(move |asked, number| match number {
        0 => Answer::ranged(&body, asked, "v1").cut_at(500_000),
        1 => Answer {
            status: 206,
            body: body[..700_000].to_vec(),
            headers: vec![("Content-Range".into(), "bytes 0-699999/1200000".into())],
            ..Answer::default()
        },
        _ => Answer::ranged(&body, asked, "v1"),
    });
    fetch(&case.request(&server)).expect("fetched");
    case.check_whole();
}

#[test]
fn refusals_are_final_and_overload_is_waited_out() {
    for (status, expected) in [
        (404, "check the name"),
        (403, "HF_TOKEN"),
        (401, "HF_TOKEN"),
        (400, "--from"),
    ] {
        let case = Case::new();
        let server = Server::start(move |_, _| Answer::status(status));
        let error = fetch(&case.request(&server)).expect_err("refused");
        assert!(
            error.contains(&format!("/file.bin answered {status}")) && error.contains(expected),
            "{error}"
        );
        assert_eq!(server.asked().len(), 1, "{status} is final");
        case.check_nothing_placed();
    }
    for status in [500, 502, 503, 504, 429] {
        let case = Case::new();
        let body = case.body.clone();
        let server = Server::start(move |asked, number| match number {
            0 => Answer::status(status).header("Retry-After", "0"),
            1 => Answer::status(status),
            _ => Answer::ranged(&body, asked, "v1"),
        });
        fetch(&case.request(&server)).expect("third time");
        case.check_whole();
    }
    let case = Case::new();
    let server = Server::start(|_, _| Answer::status(503));
    let error = fetch(&case.request(&server)).expect_err("down");
    assert!(
        error.contains("gave up on file.bin after 3 attempts") && error.contains("answered 503"),
        "{error}"
    );
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn nobody_listening_is_said_with_the_address() {
    let case = Case::new();
    let request = Request {
        url: "http://127.0.0.1:9/file.bin".into(),
        destination: case.destination(),
        ..Request::default()
    };
    let error = fetch(&request).expect_err("nobody");
    assert!(
        error.contains("cannot reach http://127.0.0.1:9/file.bin"),
        "{error}"
    );
    assert!(error.contains("HTTPS_PROXY"), "{error}");
}

#[test]
fn a_token_goes_to_its_host_and_not_along_a_redirect() {
    let case = Case::new();
    let body = case.body.clone();
    let storage = Server::start(move |asked, _| Answer::ranged(&body, asked, "v1"));
    let target = format!("{}/blob", storage.url.replace("127.0.0.1", "localhost"));
    let hub = Server::start(move |_, _| Answer::status(302).header("Location", &target));
    let request = Request {
        token: Some("secret".into()),
        ..case.request(&hub)
    };
    fetch(&request).expect("fetched");
    case.check_whole();
    assert_eq!(
        hub.asked()[0]
            .headers
            .get("authorization")
            .map(String::as_str),
        Some("Bearer secret")
    );
    assert_eq!(storage.asked()[0].headers.get("authorization"), None);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_nothing_is_placed() {
    let case = Case::new();
    let body = case.body.clone();
    let server = Server::start(move |asked, _| Answer::ranged(&body, asked, "v1"));
    fs::create_dir(case.dir.path().join("sub")).expect("a folder");
    std::os::unix::fs::symlink("/dev/full", case.dir.path().join("sub/file.bin.part"))
        .expect("a link");
    let error = fetch(&case.request(&server)).expect_err("full");
    assert!(
        error.contains("file.bin.part") && error.contains("the disk is full"),
        "{error}"
    );
    case.check_nothing_placed();
    assert_eq!(server.asked().len(), 1);
}
