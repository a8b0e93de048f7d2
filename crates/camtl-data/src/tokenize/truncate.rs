//! Truncation longest-first.

/// How many tokens of each text stay when both together may have at most `room`.
///
/// One token at a time is taken from the end of the longer text; of two equally long ones the *second* loses. This is
/// `longest_first` of Hugging Face's slow tokenizers. (Their fast ones, and the `tokenizers` crate, break ties
/// otherwise.)
///
/// ```
/// use camtl_data::tokenize::longest_first;
/// assert_eq!(longest_first(5, 3, 7), (4, 3));
/// assert_eq!(longest_first(3, 5, 5), (3, 2));
/// assert_eq!(longest_first(4, 4, 4), (2, 2));
/// assert_eq!(longest_first(9, 0, 4), (4, 0));
/// ```
#[must_use]
pub fn longest_first(mut a: usize, mut b: usize, room: usize) -> (usize, usize) {
    let mut excess = (a + b).saturating_sub(room);
    // Down to equal lengths in one stride ...
    let longer_by = a.abs_diff(b).min(excess);
    if a > b {
        a -= longer_by;
    } else {
        b -= longer_by;
    }
    excess -= longer_by;
    // ... then in turns, the second text first.
    a -= excess / 2;
    b -= excess.div_ceil(2);
    (a, b)
}

#[cfg(test)]
mod tests {
    use super::longest_first;

    /// Word for word the loop of `truncate_sequences` in transformers 2.11.
    fn one_at_a_time(mut a: usize, mut b: usize, room: usize) -> (usize, usize) {
        for _ in 0..(a + b).saturating_sub(room) {
            if a > b {
                a -= 1;
            } else {
                b -= 1;
            }
        }
        (a, b)
    }

    #[test]
    fn equals_the_loop_for_all_small_lengths() {
        for a in 0..24 {
            for b in 0..24 {
                for room in 0..50 {
                    assert_eq!(
                        longest_first(a, b, room),
                        one_at_a_time(a, b, room),
                        "{a} {b} {room}"
                    );
                }
            }
        }
    }
}
