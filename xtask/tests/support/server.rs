//! A web server that misbehaves as told, and what a test sees of files.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a client asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

impl Asked {
    /// The first byte of `Range: bytes=N-`.
    pub fn range_start(&self) -> Option<usize> {
        self.headers
            .get("range")?
            .strip_prefix("bytes=")?
            .split('-')
            .next()?
            .parse()
            .ok()
    }
}

/// What the server sends, and how much of it before it hangs up.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Replaces the true Content-Length; `Some(None)` leaves it out.
    pub claimed_length: Option<Option<usize>>,
    /// Sends only so many bytes of the body.
    pub cut_at: Option<usize>,
}

impl Answer {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            ..Self::default()
        }
    }

    pub fn status(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn cut_at(mut self, bytes: usize) -> Self {
        self.cut_at = Some(bytes);
        self
    }

    pub fn claiming(mut self, length: Option<usize>) -> Self {
        self.claimed_length = Some(length);
        self
    }

    /// The part of `body` that was asked for, as a well-behaved server answers.
    pub fn ranged(body: &[u8], asked: &Asked, etag: &str) -> Self {
        let tag = format!("\"{etag}\"");
        let same = asked.headers.get("if-range").is_none_or(|t| *t == tag);
        match asked.range_start().filter(|_| same) {
            Some(start) if start < body.len() => Self {
                status: 206,
                body: body[start..].to_vec(),
                headers: vec![
                    (
                        "Content-Range".into(),
                        format!("bytes {start}-{}/{}", body.len() - 1, body.len()),
                    ),
                    ("ETag".into(), tag),
                ],
                ..Self::default()
            },
            Some(_) => {
                Self::status(416).header("Content-Range", &format!("bytes */{}", body.len()))
            }
            None => Self::ok(body).header("ETag", &tag),
        }
    }
}

/// A server on the loopback interface that lives as long as the test.
pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers each request with `handler(request, number)`, numbers counting from 0.
    pub fn start(handler: impl Fn(&Asked, usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let Some(request) = read_request(&stream) else {
                    continue;
                };
                let number = {
                    let mut log = log.lock().expect("log");
                    log.push(request.clone());
                    log.len() - 1
                };
                let _ = write_answer(stream, &handler(&request, number));
            }
        });
        Self { url, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("log").clone()
    }
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .ok()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split_whitespace().nth(1)?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    Some(Asked { path, headers })
}

fn write_answer(mut stream: TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", answer.status);
    if let Some(length) = answer.claimed_length.unwrap_or(Some(answer.body.len())) {
        head.push_str(&format!("Content-Length: {length}\r\n"));
    }
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let sent = answer
        .cut_at
        .unwrap_or(answer.body.len())
        .min(answer.body.len());
    stream.write_all(&answer.body[..sent])?;
    stream.flush()?;
    stream.shutdown(std::net::Shutdown::Write)?;
    // Closing with unread input would reset the connection and lose what was sent.
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    let _ = stream.read(&mut [0; 64]);
    Ok(())
}

pub fn sha256(bytes: &[u8]) -> String {
    xtask::hash::of_reader(bytes).expect("in memory").0
}

/// Names of everything below a folder, sorted, folders with a trailing slash.
pub fn tree(folder: &Path) -> Vec<String> {
    fn walk(base: &Path, folder: &Path, out: &mut Vec<String>) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = path
                .strip_prefix(base)
                .expect("below")
                .display()
                .to_string();
            if path.is_dir() && !path.is_symlink() {
                out.push(format!("{name}/"));
                walk(base, &path, out);
            } else {
                out.push(name);
            }
        }
    }
    let mut out = Vec::new();
    walk(folder, folder, &mut out);
    out.sort();
    out
}
