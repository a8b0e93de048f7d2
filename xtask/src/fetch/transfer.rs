//! One file: request, resume, verify, rename.
//!
//! - A target that is there and has the right hash is not fetched again.
//! - Bytes go to `NAME.part`. An interruption keeps them; the next attempt, or the next run, asks for
//!   the rest (`Range`, guarded by `If-Range`). A server that ignores Range starts the file over.
//! - Connection errors, time-outs, 429 and 5xx are tried again with growing pauses; other answers
//!   are final.
//! - The length must be what the server announced and, where it is known, what is pinned; the
//!   SHA-256 must be the pinned one. A file that fails is removed, and nothing takes its place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::ProgressBar;
use ureq::http::{Response, StatusCode, header};

use super::answer::{
    NotFound, Trouble, content_range, failure_in_chain, strong_etag, unexpected_status,
};
use super::client::Fetcher;
use super::partial::{Origin, Partial};
use super::progress;
use crate::disk::writing;
use crate::error::failure;
use crate::hash;
use crate::workspace::shown;

/// The longest pause between two attempts, whatever the server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A file to download.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The address.
    pub url: String,
    /// Where the file goes.
    pub destination: PathBuf,
    /// The SHA-256 it must have, where one is known.
    pub sha256: Option<String>,
    /// The length it must have, where one is known.
    pub bytes: Option<u64>,
    /// A bearer token; sent to this host only, never along a redirect.
    pub token: Option<String>,
}

/// A finished download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// SHA-256 of the file.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Bytes that did not have to be fetched because an earlier run had them.
    pub resumed_from: u64,
}

impl Fetcher {
    /// Downloads one file, continuing where an earlier try stopped.
    ///
    /// # Errors
    /// If the server refuses, does not answer, lies about the length, or the content has another
    /// SHA-256; or if the disk is full. The destination is then untouched.
    pub fn fetch(&self, request: &Request) -> anyhow::Result<Fetched> {
        if let Some(done) = already_there(request)? {
            return Ok(done);
        }
        let partial = Partial::beside(&request.destination);
        if let Some(folder) = request.destination.parent() {
            writing(fs::create_dir_all(folder), folder)?;
        }
        let first_offset = partial.resumable(&request.url, request.sha256.as_deref()).0;
        let mut failed = 0;
        let mut furthest = first_offset;
        let mut started_over = false;
        loop {
            let (before, etag) = partial.resumable(&request.url, request.sha256.as_deref());
            let trouble = match self.attempt(request, &partial, before, etag) {
                Ok(()) => match verify(request, &partial) {
                    Ok((sha256, bytes)) => {
                        return finish(request, &partial, sha256, bytes, first_offset);
                    }
                    // The first bytes may stem from a file that has changed since: once, from the start.
                    Err(_) if before > 0 && !started_over => {
                        started_over = true;
                        partial.discard()?;
                        continue;
                    }
                    Err(error) => {
                        partial.discard()?;
                        return Err(error);
                    }
                },
                Err(trouble) => trouble,
            };
            let (error, pause) = match trouble {
                Trouble::Final(error) => return Err(error),
                Trouble::Passing(error, pause) => (error, pause),
            };
            // Only bytes beyond the furthest point count as progress: a server that starts over each
            // time must not be asked for ever.
            let reached = fs::metadata(&partial.path).map_or(0, |m| m.len());
            failed = if reached > furthest { 1 } else { failed + 1 };
            furthest = furthest.max(reached);
            if failed >= self.attempts {
                return Err(give_up(error, request, &partial, failed));
            }
            let wait = pause
                .unwrap_or_else(|| self.backoff(failed))
                .min(LONGEST_PAUSE);
            eprintln!("{error:#}; trying again in {:.0} s", wait.as_secs_f64());
            std::thread::sleep(wait);
        }
    }

    /// Downloads a file that the server may lack: `None` if it says so.
    ///
    /// # Errors
    /// As [`Fetcher::fetch`], for everything but a missing file.
    pub fn fetch_if_there(&self, request: &Request) -> anyhow::Result<Option<Fetched>> {
        match self.fetch(request) {
            Err(error) if crate::error::find::<NotFound>(&error).is_some() => Ok(None),
            other => other.map(Some),
        }
    }

    /// Fetches a small text (an index, a list of files).
    ///
    /// # Errors
    /// As [`Fetcher::fetch`]; also if the text is longer than `limit` bytes or no UTF-8.
    pub fn text(&self, url: &str, token: Option<&str>, limit: u64) -> anyhow::Result<String> {
        let mut failed = 0;
        loop {
            let trouble = match self.text_once(url, token, limit) {
                Ok(text) => return Ok(text),
                Err(trouble) => trouble,
            };
            failed += 1;
            match trouble {
                Trouble::Passing(_, pause) if failed < self.attempts => {
                    std::thread::sleep(
                        pause
                            .unwrap_or_else(|| self.backoff(failed))
                            .min(LONGEST_PAUSE),
                    );
                }
                Trouble::Passing(error, _) => {
                    return Err(failure_in_chain(error, unreachable_hint()));
                }
                Trouble::Final(error) => return Err(error),
            }
        }
    }

    fn text_once(&self, url: &str, token: Option<&str>, limit: u64) -> Result<String, Trouble> {
        let mut response = self.send(url, token, &[])?;
        if response.status() != StatusCode::OK {
            return Err(unexpected_status(url, &response));
        }
        response
            .body_mut()
            .with_config()
            .limit(limit)
            .read_to_string()
            .map_err(|e| {
                Trouble::Final(
                    anyhow::Error::new(e).context(format!("cannot read the answer of {url}")),
                )
            })
    }

    fn send(
        &self,
        url: &str,
        token: Option<&str>,
        headers: &[(header::HeaderName, String)],
    ) -> Result<Response<ureq::Body>, Trouble> {
        let mut call = self.agent.get(url);
        if let Some(token) = token {
            call = call.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            call = call.header(name, value);
        }
        call.call().map_err(|error| {
            let passing = !matches!(
                error,
                ureq::Error::BadUri(_)
                    | ureq::Error::Http(_)
                    | ureq::Error::InvalidProxyUrl
                    | ureq::Error::RedirectFailed
                    | ureq::Error::TooManyRedirects
            );
            let error = anyhow::Error::new(error).context(format!("cannot reach {url}"));
            if passing {
                Trouble::Passing(error, None)
            } else {
                Trouble::Final(error)
            }
        })
    }

    /// One request; on success `NAME.part` is as long as the server announced.
    fn attempt(
        &self,
        request: &Request,
        partial: &Partial,
        offset: u64,
        etag: Option<String>,
    ) -> Result<(), Trouble> {
        let url = &request.url;
        let mut headers = Vec::new();
        if offset > 0 {
            headers.push((header::RANGE, format!("bytes={offset}-")));
            if let Some(etag) = etag {
                headers.push((header::IF_RANGE, etag));
            }
        }
        let mut response = self.send(url, request.token.as_deref(), &headers)?;
        let status = response.status();
        let length = response.body().content_length();
        let (start, total) = match status {
            StatusCode::OK => (0, length),
            StatusCode::PARTIAL_CONTENT => match content_range(&response) {
                Some((start, total)) if start == offset => {
                    (offset, total.or(length.map(|l| l + offset)))
                }
                other => {
                    let _ = partial.discard();
                    return Err(Trouble::Passing(
                        anyhow::anyhow!(
                            "{url} answered a request for the bytes from {offset} with the range {other:?}"
                        ),
                        None,
                    ));
                }
            },
            StatusCode::RANGE_NOT_SATISFIABLE if offset > 0 => {
                if content_range(&response).and_then(|(_, total)| total) == Some(offset) {
                    return Ok(());
                }
                let _ = partial.discard();
                return Err(Trouble::Passing(
                    anyhow::anyhow!(
                        "{url} has changed: it is shorter than the {offset} bytes fetched before"
                    ),
                    Some(Duration::ZERO),
                ));
            }
            _ => return Err(unexpected_status(url, &response)),
        };
        check_announced(request, total)?;
        let origin = Origin {
            url: url.clone(),
            etag: strong_etag(&response),
            sha256: request.sha256.clone(),
        };
        partial.remember(&origin).map_err(Trouble::Final)?;
        let bar = progress::bytes(&file_name(&request.destination), total, start);
        let body = response.body_mut().with_config().limit(u64::MAX).reader();
        let outcome = stream(body, &partial.path, start, total, url, &bar);
        bar.finish_and_clear();
        outcome
    }
}

/// Drops what lies behind `length`.
fn cut_to(file: &File, length: u64) -> io::Result<()> {
    if file.metadata()?.len() == length {
        Ok(())
    } else {
        file.set_len(length)
    }
}

/// Appends the body from `start` on; the file must end up `total` bytes long.
fn stream(
    mut body: impl Read,
    path: &Path,
    start: u64,
    total: Option<u64>,
    url: &str,
    bar: &ProgressBar,
) -> Result<(), Trouble> {
    let open = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path);
    let mut file = writing(open, path).map_err(Trouble::Final)?;
    let position =
        cut_to(&file, start).and_then(|()| io::Seek::seek(&mut file, io::SeekFrom::Start(start)));
    writing(position, path).map_err(Trouble::Final)?;
    let mut buffer = vec![0u8; 1 << 18];
    let mut length = start;
    loop {
        let n = match body.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => {
                let _ = file.sync_data();
                let of = total.map_or(String::new(), |t| format!(" of {t}"));
                return Err(Trouble::Passing(
                    anyhow::Error::new(e)
                        .context(format!("{url} broke off after {length}{of} bytes")),
                    None,
                ));
            }
        };
        writing(file.write_all(&buffer[..n]), path).map_err(Trouble::Final)?;
        length += n as u64;
        bar.inc(n as u64);
    }
    writing(file.sync_all(), path).map_err(Trouble::Final)?;
    match total {
        Some(total) if total != length => Err(Trouble::Passing(
            anyhow::anyhow!("{url} broke off after {length} of {total} bytes"),
            None,
        )),
        _ => Ok(()),
    }
}

fn already_there(request: &Request) -> anyhow::Result<Option<Fetched>> {
    let (Some(wanted), true) = (&request.sha256, request.destination.is_file()) else {
        return Ok(None);
    };
    let file = File::open(&request.destination)
        .with_context(|| format!("cannot open {}", shown(&request.destination)))?;
    let (sha256, bytes) = hash::of_reader(file)
        .with_context(|| format!("cannot read {}", shown(&request.destination)))?;
    Ok((sha256 == *wanted).then_some(Fetched {
        sha256,
        bytes,
        resumed_from: bytes,
    }))
}

/// Length and hash of the complete partial file.
fn verify(request: &Request, partial: &Partial) -> anyhow::Result<(String, u64)> {
    let url = &request.url;
    let file = File::open(&partial.path)
        .with_context(|| format!("cannot open {}", shown(&partial.path)))?;
    let (sha256, bytes) =
        hash::of_reader(file).with_context(|| format!("cannot read {}", shown(&partial.path)))?;
    let hint = "nothing was kept; the source serves another file than the pinned one: try again later, \
                name another source with --from, or pass --unpinned if you trust this one";
    if let Some(wanted) = request.bytes.filter(|wanted| *wanted != bytes) {
        return Err(failure(
            format!("{url} has {bytes} bytes, and {wanted} were expected"),
            hint,
        ));
    }
    if let Some(wanted) = request.sha256.as_ref().filter(|wanted| **wanted != sha256) {
        return Err(failure(
            format!("{url} has the SHA-256 {sha256}, and {wanted} was expected ({bytes} bytes)"),
            hint,
        ));
    }
    Ok((sha256, bytes))
}

fn finish(
    request: &Request,
    partial: &Partial,
    sha256: String,
    bytes: u64,
    resumed_from: u64,
) -> anyhow::Result<Fetched> {
    writing(
        fs::rename(&partial.path, &request.destination),
        &request.destination,
    )?;
    if let Some(folder) = request.destination.parent() {
        let _ = camtl_files::sync_folder(folder);
    }
    partial.forget()?;
    Ok(Fetched {
        sha256,
        bytes,
        resumed_from: resumed_from.min(bytes),
    })
}

/// Refuses early what can only fail later: a wrong length, or none at all with nothing to check by.
fn check_announced(request: &Request, total: Option<u64>) -> Result<(), Trouble> {
    let url = &request.url;
    match (total, request.bytes) {
        (Some(total), Some(wanted)) if total != wanted => Err(Trouble::Final(failure(
            format!("{url} announces {total} bytes, and {wanted} were expected"),
            "the source serves another file than the pinned one: name another source with --from, or \
             pass --unpinned if you trust this one",
        ))),
        (None, None) if request.sha256.is_none() => Err(Trouble::Final(failure(
            format!(
                "{url} does not say how long the file is, so a cut-off download could not be noticed"
            ),
            "name another source with --from",
        ))),
        _ => Ok(()),
    }
}

fn give_up(
    error: anyhow::Error,
    request: &Request,
    partial: &Partial,
    failed: u32,
) -> anyhow::Error {
    let kept = fs::metadata(&partial.path).map_or(0, |m| m.len());
    let hint = if kept > 0 {
        format!(
            "run the same command again: it continues after the {kept} bytes kept in {}",
            shown(&partial.path)
        )
    } else {
        unreachable_hint().to_owned()
    };
    failure_in_chain(
        error.context(format!(
            "gave up on {} after {failed} attempts",
            file_name(&request.destination)
        )),
        &hint,
    )
}

fn unreachable_hint() -> &'static str {
    "check the network; behind a proxy set HTTPS_PROXY, with own certificates set SSL_CERT_FILE; without \
     any network name a folder that has the files with --from"
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
