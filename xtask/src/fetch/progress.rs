//! Progress bars on standard error; nothing at all when that is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar for `total` bytes, or a running counter where the total is not known.
pub fn bytes(label: &str, total: Option<u64>, already: u64) -> ProgressBar {
    let template = if total.is_some() {
        "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}"
    } else {
        "{msg} {bytes} {bytes_per_sec}"
    };
    let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(label.to_owned());
    bar.set_position(already);
    bar.reset_eta();
    bar
}

/// A running count of bytes, for work whose size is not known beforehand.
pub fn counter(label: &str) -> ProgressBar {
    let bar = bytes(label, None, 0);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
