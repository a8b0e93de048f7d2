//! Bodies of bounded size.

use std::fmt::Display;
use std::future::poll_fn;
use std::pin::Pin;

use axum::body::{Bytes, HttpBody};
use axum::http::StatusCode;

use super::problem::Problem;

/// A body that is too large is read on, and dropped, up to so many times the bound: a client that is
/// still sending would otherwise find the connection cut and never see the reason.
const READ_ON: usize = 64;

/// The whole body, of at most `most` bytes.
///
/// # Errors
/// It is larger (413), or the connection breaks (400).
pub(crate) async fn read<B>(mut body: B, most: usize) -> Result<Vec<u8>, Problem>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Display,
{
    let mut bytes = Vec::new();
    let mut total = 0usize;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| {
            let reason = format!("the body cannot be read: {error}");
            Problem::new(StatusCode::BAD_REQUEST, reason)
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        total = total.saturating_add(data.len());
        if total <= most {
            bytes.extend_from_slice(&data);
        } else {
            bytes = Vec::new();
        }
        if total > most.saturating_mul(READ_ON) {
            break;
        }
    }
    if total > most {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body has more than {most} bytes; send fewer or shorter texts at a time"),
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_last_size_that_passes() {
        let read = |size: usize, most: usize| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            runtime.block_on(read("x".repeat(size), most))
        };
        assert_eq!(read(10, 10).unwrap().len(), 10);
        assert!(read(0, 10).unwrap().is_empty());
        let problem = format!("{:?}", read(11, 10).unwrap_err());
        assert!(problem.contains("413") && problem.contains("more than 10 bytes"));
    }
}
