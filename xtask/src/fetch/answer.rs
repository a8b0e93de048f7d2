//! What a server's answer means: worth another try, final, the file's version, a part of it.

use std::fmt;
use std::time::Duration;

use ureq::http::{Response, StatusCode, header};

use crate::error::OrHint as _;

/// The server has no such file.
#[derive(Debug)]
pub struct NotFound {
    url: String,
    status: StatusCode,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}", self.url, self.status)
    }
}

impl std::error::Error for NotFound {}

/// Why an attempt ended without the whole file.
pub(super) enum Trouble {
    /// Worth another attempt, after at least this pause if the server named one.
    Passing(anyhow::Error, Option<Duration>),
    /// Another attempt would end the same way.
    Final(anyhow::Error),
}

pub(super) fn unexpected_status<B>(url: &str, response: &Response<B>) -> Trouble {
    let status = response.status();
    let error = anyhow::anyhow!("{url} answered {status}");
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|v| v.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    match status.as_u16() {
        429 | 500 | 502 | 503 | 504 | 408 => Trouble::Passing(error, retry_after),
        401 | 403 => Trouble::Final(failure_in_chain(
            error,
            "the file needs permission: for a gated or private model accept its terms on the hub and set \
             HF_TOKEN; otherwise name another source with --from",
        )),
        404 | 410 => Trouble::Final(failure_in_chain(
            NotFound {
                url: url.to_owned(),
                status,
            }
            .into(),
            "check the name and the revision; if the file has moved, name a mirror or a folder with --from",
        )),
        _ => Trouble::Final(failure_in_chain(error, "name another source with --from")),
    }
}

pub(super) fn failure_in_chain(error: anyhow::Error, hint: &str) -> anyhow::Error {
    match Err::<(), _>(error).or_hint(|| hint.to_owned()) {
        Ok(()) => anyhow::anyhow!("{hint}"),
        Err(error) => error,
    }
}

fn header_text<B>(response: &Response<B>, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

/// An ETag that identifies the exact bytes; weak ones do not.
pub(super) fn strong_etag<B>(response: &Response<B>) -> Option<String> {
    header_text(response, header::ETAG)
        .filter(|etag| etag.starts_with('"'))
        .map(str::to_owned)
}

/// `bytes START-END/TOTAL` or `bytes */TOTAL`: the start (0 for `*`) and the total.
pub(super) fn content_range<B>(response: &Response<B>) -> Option<(u64, Option<u64>)> {
    let (range, total) = header_text(response, header::CONTENT_RANGE)?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let start = match range.trim() {
        "*" => 0,
        range => range.split_once('-')?.0.trim().parse().ok()?,
    };
    Some((start, total.trim().parse().ok()))
}
