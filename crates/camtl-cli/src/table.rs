//! Plain tables: aligned columns, no frames, the same on a terminal and in a file.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

/// A table under construction. The first column is left-aligned, the others right-aligned.
#[derive(Debug, Clone)]
pub(crate) struct PlainTable {
    /// Number of columns of words, which come first and are left-aligned.
    words: usize,
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl PlainTable {
    /// A table with these column titles.
    pub(crate) fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self {
            words: 1,
            header: header.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Aligns the first `words` columns to the left.
    pub(crate) fn left(mut self, words: usize) -> Self {
        self.words = words;
        self
    }

    /// Appends a row; short rows are filled with empty cells.
    pub(crate) fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) -> &mut Self {
        let mut cells: Vec<String> = cells.into_iter().map(Into::into).collect();
        cells.resize(self.header.len(), String::new());
        self.rows.push(cells);
        self
    }

    /// Appends a rule, as below the header.
    pub(crate) fn rule(&mut self) -> &mut Self {
        self.rows.push(Vec::new());
        self
    }

    /// True if there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, every line ending in a newline and none in spaces.
    pub(crate) fn render(&self) -> String {
        let widths = self.widths();
        let dashes = || widths.iter().map(|w| "-".repeat(*w)).collect::<Vec<_>>();
        let mut table = Table::new();
        table
            .load_preset(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        let aligned = |cells: &[String]| {
            cells
                .iter()
                .enumerate()
                .map(|(column, text)| {
                    let side = if column < self.words {
                        CellAlignment::Left
                    } else {
                        CellAlignment::Right
                    };
                    Cell::new(text).set_alignment(side)
                })
                .collect::<Vec<_>>()
        };
        table.add_row(aligned(&self.header));
        table.add_row(aligned(&dashes()));
        for row in &self.rows {
            table.add_row(aligned(
                if row.is_empty() {
                    dashes()
                } else {
                    row.clone()
                }
                .as_slice(),
            ));
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if index == 0 { 0 } else { 2 }, 0));
        }
        let mut text: String = table
            .to_string()
            .lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect();
        if text.is_empty() {
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self
            .header
            .iter()
            .map(|cell| cell.chars().count())
            .collect();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A score in [-1, 1] as the usual percentage figure with two decimals.
pub(crate) fn score(value: f64) -> String {
    if value.is_finite() {
        format!("{:.2}", 100.0 * value)
    } else {
        "-".to_owned()
    }
}

/// A fraction as a percentage with one decimal.
pub(crate) fn percent(fraction: f64) -> String {
    if fraction.is_finite() {
        format!("{:.1} %", 100.0 * fraction)
    } else {
        "-".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_without_trailing_spaces() {
        let mut table = PlainTable::new(["task", "score"]);
        table.row(["cola", "1.25"]).rule().row(["average"]);
        assert_eq!(
            table.render(),
            "task     score\n-------  -----\ncola      1.25\n-------  -----\naverage\n"
        );
    }

    #[test]
    fn numbers_are_grouped() {
        let grouped: Vec<String> = [0, 999, 1000, 128_063_264]
            .into_iter()
            .map(thousands)
            .collect();
        assert_eq!(grouped, ["0", "999", "1,000", "128,063,264"]);
        assert_eq!(score(0.62345), "62.34");
        assert_eq!(score(f64::NAN), "-");
    }
}
