//! Tables: columns that line up.

use super::{Failure, Output, output::one_line};

/// Rows below a heading. A column whose heading is empty is not shown.
pub(super) struct Table<const COLUMNS: usize> {
    heading: [&'static str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    pub(super) fn new(heading: [&'static str; COLUMNS]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.map(|cell| one_line(&cell)));
    }

    /// Writes the heading and the rows.
    pub(super) fn write(&self, output: &mut Output) -> Result<(), Failure> {
        let [heading, rows @ ..] = &self.lines()[..] else { return Ok(()) };
        let heading = output.bold(heading);
        output.line(heading)?;
        rows.iter().try_for_each(|row| output.line(row))
    }

    fn lines(&self) -> Vec<String> {
        let heading = self.heading.map(str::to_owned);
        let all: Vec<&[String; COLUMNS]> = std::iter::once(&heading).chain(&self.rows).collect();
        let widths: [usize; COLUMNS] =
            std::array::from_fn(|column| all.iter().map(|row| row[column].chars().count()).max().unwrap_or_default());
        all.into_iter().map(|row| self.aligned(row, &widths)).collect()
    }

    fn aligned(&self, cells: &[String], widths: &[usize]) -> String {
        let shown = self.heading.iter().zip(cells.iter().zip(widths)).filter(|(heading, _)| !heading.is_empty());
        let cells: Vec<_> = shown.map(|(_, (cell, width))| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(["name", "end"]);
        table.row(["messages".into(), "7".into()]);
        table.row(["Öl".into(), "1200".into()]);
        assert_eq!(table.lines(), ["name      end", "messages  7", "Öl        1200"]);
    }

    #[test]
    fn a_column_without_a_heading_is_not_shown() {
        let mut table = Table::new(["name", "", "end"]);
        table.row(["messages".into(), "nothing".into(), "7".into()]);
        assert_eq!(table.lines(), ["name      end", "messages  7"]);
    }
}
