//! Repositories of the Hugging Face hub: which files one has at a revision, and how they are fetched.
//!
//! The list of files is read first: it resolves the branch or tag to a commit, so that all files belong
//! together, and gives the lengths and the SHA-256 of large files, which are then checked. `HF_ENDPOINT`
//! names another hub; `HF_TOKEN` opens gated and private repositories.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use crate::datasets::record::{Entry, SourceEntry};
use crate::error::usage;
use crate::fetch::{Fetcher, Request};

/// The largest list of files.
const LARGEST_LIST: u64 = 32 << 20;

/// What a repository holds; the hub keeps the two apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Weights and what belongs to them.
    Model,
    /// Data files.
    DataSet,
}

/// A hub, and what opens its gated and private repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hub {
    /// Its address, without a slash at the end.
    pub endpoint: String,
    /// A bearer token.
    pub token: Option<String>,
}

impl Hub {
    /// The hub that `HF_ENDPOINT` names, or huggingface.co, with the token `HF_TOKEN`.
    pub fn from_environment() -> Self {
        let variable = |name: &str| {
            std::env::var(name)
                .ok()
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        let endpoint = variable("HF_ENDPOINT");
        Self {
            endpoint: endpoint.map_or_else(
                || "https://huggingface.co".into(),
                |address| address.trim_end_matches('/').to_owned(),
            ),
            token: variable("HF_TOKEN"),
        }
    }
}

/// A repository at a commit.
#[derive(Debug, Clone)]
pub struct Repository {
    id: String,
    kind: Kind,
    hub: Hub,
    commit: String,
    files: Vec<Sibling>,
}

#[derive(Debug, Deserialize)]
struct Listing {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Debug, Clone, Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Debug, Clone, Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

impl Repository {
    /// Asks the hub what `id` has at a branch, tag or commit.
    ///
    /// # Errors
    /// If the revision cannot be one, or the hub does not answer with a list.
    pub fn list(
        hub: &Hub,
        kind: Kind,
        id: &str,
        revision: &str,
        fetcher: &Fetcher,
    ) -> anyhow::Result<Self> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'/');
        if revision.is_empty() || !revision.bytes().all(fits) {
            return Err(usage(
                format!("`{revision}` is no revision"),
                "give a branch, tag or commit, e.g. main, v1.0 or refs/pr/1",
            ));
        }
        let encoded = revision.replace('/', "%2F");
        let of = match kind {
            Kind::Model => "models",
            Kind::DataSet => "datasets",
        };
        let endpoint = &hub.endpoint;
        let url = format!("{endpoint}/api/{of}/{id}/revision/{encoded}?blobs=true");
        let listing: Listing = fetcher
            .text(&url, hub.token.as_deref(), LARGEST_LIST)
            .and_then(|text| {
                serde_json::from_str(&text)
                    .with_context(|| format!("{url} answered no list of files"))
            })
            .with_context(|| format!("cannot list the files of {id} at {revision}"))?;
        Ok(Self {
            id: id.to_owned(),
            kind,
            hub: hub.clone(),
            commit: listing.sha.unwrap_or(encoded),
            files: listing.siblings,
        })
    }

    /// Its name on the hub.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Names of its files.
    pub fn names(&self) -> BTreeSet<&str> {
        self.files.iter().map(|f| f.rfilename.as_str()).collect()
    }

    /// Bytes of the named files, as far as the hub says.
    pub fn bytes_of<S: AsRef<str>>(&self, names: &[S]) -> u64 {
        names
            .iter()
            .filter_map(|name| self.file(name.as_ref())?.size)
            .sum()
    }

    /// Where the files come from, for people.
    pub fn place(&self) -> String {
        let commit = self.commit.get(..12).unwrap_or(&self.commit);
        format!("{} at {commit}", self.hub.endpoint)
    }

    fn file(&self, name: &str) -> Option<&Sibling> {
        self.files.iter().find(|f| f.rfilename == name)
    }

    /// Fetches a file and notes where it came from.
    ///
    /// # Errors
    /// As [`Fetcher::fetch`].
    pub fn fetch(
        &self,
        name: &str,
        destination: &Path,
        fetcher: &Fetcher,
        entry: &mut Entry,
    ) -> anyhow::Result<()> {
        let file = self.file(name);
        let prefix = match self.kind {
            Kind::Model => "",
            Kind::DataSet => "datasets/",
        };
        let request = Request {
            url: format!(
                "{}/{prefix}{}/resolve/{}/{name}",
                self.hub.endpoint, self.id, self.commit
            ),
            destination: destination.to_path_buf(),
            sha256: file.and_then(|f| f.lfs.as_ref()?.sha256.clone()),
            bytes: file.and_then(|f| f.size),
            token: self.hub.token.clone(),
        };
        let fetched = fetcher.fetch(&request)?;
        entry.sources.push(SourceEntry {
            from: request.url,
            sha256: fetched.sha256,
            bytes: fetched.bytes,
            verified: request.sha256.is_some(),
        });
        Ok(())
    }
}
