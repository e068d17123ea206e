//! Results as a table, JSON lines or CSV, written as their pieces come.
//!
//! Cells stay the JSON text they came as, so that no digit of a number is lost.

use std::io::{IsTerminal as _, Write};

use clap::ValueEnum;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Row, Table, Width};

use crate::server::{ColumnHead, Event, each_row};

/// The rows that decide the widths of a table's columns, and are laid out at once.
const PAGE_ROWS: usize = 500;

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people; as wide as the terminal at most
    Table,
    /// One object a line
    Json,
    /// With a line of column names
    Csv,
}

/// Writes results to `out`; messages and errors go to stderr.
pub struct Output<W: Write> {
    format: Format,
    out: W,
    columns: Vec<ColumnHead>,
    /// The columns of a result of which nothing is written yet: it may fail before its first row.
    begun: Option<Vec<ColumnHead>>,
    table: Option<Page>,
    results: usize,
    /// Whether a table is followed by its number of rows.
    counted: Counted,
}

/// Whether the number of rows is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Yes,
    No,
}

impl<W: Write> Output<W> {
    pub fn new(format: Format, out: W, counted: Counted) -> Self {
        Self {
            format,
            out,
            columns: Vec::new(),
            begun: None,
            table: None,
            results: 0,
            counted,
        }
    }

    /// Writes a piece of an answer.
    ///
    /// # Errors
    /// The output takes no more.
    pub fn event(&mut self, event: Event) -> anyhow::Result<()> {
        match event {
            Event::Columns(columns) => {
                self.end()?;
                self.begun = Some(columns);
            }
            Event::Rows(rows) => {
                self.begin()?;
                self.rows(&rows)?;
            }
            Event::Message(text) => {
                self.end()?;
                super::say(text);
            }
            Event::Error(text) => {
                self.begun = None;
                self.end()?;
                super::say(text);
            }
            Event::Settings(_) | Event::Status(_) => {}
            Event::Done => self.end()?,
        }
        Ok(())
    }

    /// Writes the head of a result, unless it is written.
    fn begin(&mut self) -> anyhow::Result<()> {
        let Some(columns) = self.begun.take() else {
            return Ok(());
        };
        self.results += 1;
        // Several tables or CSVs in one output are told apart by an empty line.
        if self.results > 1 && self.format != Format::Json {
            writeln!(self.out)?;
        }
        match self.format {
            Format::Table => self.table = Some(Page::new(&columns)),
            Format::Json => {}
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(&mut self.out);
                writer.write_record(columns.iter().map(|column| &column.name))?;
                writer.flush()?;
            }
        }
        self.columns = columns;
        Ok(())
    }

    fn rows(&mut self, rows: &str) -> anyhow::Result<()> {
        match self.format {
            Format::Table => {
                if let Some(page) = &mut self.table {
                    each_row(rows, |cells| {
                        let cells = cells.iter().zip(&self.columns);
                        page.add(
                            cells.map(|(cell, column)| shown(cell, column)).collect(),
                            &mut self.out,
                        )
                    })?;
                }
            }
            Format::Json => {
                let mut text = Vec::with_capacity(rows.len() * 2);
                each_row(rows, |cells| write_object(&self.columns, cells, &mut text))?;
                self.out.write_all(&text)?;
            }
            Format::Csv => {
                let mut writer = csv::Writer::from_writer(&mut self.out);
                each_row(rows, |cells| {
                    for (cell, column) in cells.iter().zip(&self.columns) {
                        writer.write_field(field(cell, column))?;
                    }
                    Ok(writer.write_record(None::<&[u8]>)?)
                })?;
                writer.flush()?;
            }
        }
        Ok(self.out.flush()?)
    }

    /// Ends the current result.
    fn end(&mut self) -> anyhow::Result<()> {
        self.begin()?;
        if let Some(page) = self.table.take() {
            let count = page.finish(&mut self.out)?;
            if self.counted == Counted::Yes {
                writeln!(
                    self.out,
                    "{count} {}",
                    if count == 1 { "row" } else { "rows" }
                )?;
            }
        }
        Ok(self.out.flush()?)
    }
}

/// Says whether a cell is NaN or an infinity, which travel as texts.
fn is_odd(cell: &str, column: &ColumnHead) -> bool {
    cell.starts_with('"') && matches!(column.sql_type.as_str(), "DOUBLE" | "FLOAT")
}

fn write_object(columns: &[ColumnHead], cells: &[&str], text: &mut Vec<u8>) -> anyhow::Result<()> {
    text.push(b'{');
    for (at, (cell, column)) in cells.iter().zip(columns).enumerate() {
        if at > 0 {
            text.push(b',');
        }
        serde_json::to_writer(&mut *text, &column.name)?;
        text.push(b':');
        // JSON has no such numbers; sinks write them so too.
        let cell = if is_odd(cell, column) { "null" } else { cell };
        text.extend_from_slice(cell.as_bytes());
    }
    text.extend_from_slice(b"}\n");
    Ok(())
}

/// Returns a cell's text: a JSON string without its quotes, anything else as it is.
fn bare(cell: &str, column: &ColumnHead) -> String {
    if column.sql_type == "JSON" || !cell.starts_with('"') {
        return cell.to_owned();
    }
    // What is no string after all is better shown as it is than not at all.
    serde_json::from_str(cell).unwrap_or_else(|_| cell.to_owned())
}

fn field(cell: &str, column: &ColumnHead) -> String {
    if cell == "null" || is_odd(cell, column) {
        return String::new();
    }
    bare(cell, column)
}

/// Returns what a table shows of a cell. Control characters would move the cursor, or worse.
fn shown(cell: &str, column: &ColumnHead) -> String {
    if cell == "null" {
        return "NULL".to_owned();
    }
    let text = bare(cell, column);
    if !text.contains(|c: char| c.is_control() && c != '\n') {
        return text;
    }
    let escape = |c: char| match c {
        '\n' => "\n".to_owned(),
        '\t' => "    ".to_owned(),
        c if c.is_control() => c.escape_default().to_string(),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// A table that is written page by page, with the widths of its first page.
struct Page {
    head: Vec<String>,
    numbers: Vec<bool>,
    rows: Vec<Vec<String>>,
    /// The widths of the columns, padding included, once a page is written.
    widths: Option<Vec<u16>>,
    bottom: String,
    width_max: Option<u16>,
    count: usize,
}

impl Page {
    fn new(columns: &[ColumnHead]) -> Self {
        let is_number = |column: &ColumnHead| {
            let sql_type = column.sql_type.as_str();
            let words = ["INT", "DOUBLE", "FLOAT", "DECIMAL"];
            words.iter().any(|word| sql_type.contains(word)) && !sql_type.contains(['[', '(', 'V'])
                || sql_type.starts_with("DECIMAL(") && !sql_type.contains('[')
        };
        Self {
            head: columns.iter().map(|column| column.name.clone()).collect(),
            numbers: columns.iter().map(is_number).collect(),
            rows: Vec::new(),
            widths: None,
            bottom: String::new(),
            width_max: width_max(),
            count: 0,
        }
    }

    fn add(&mut self, row: Vec<String>, out: &mut impl Write) -> anyhow::Result<()> {
        self.rows.push(row);
        self.count += 1;
        if self.rows.len() >= PAGE_ROWS {
            self.write(out)?;
        }
        Ok(())
    }

    /// Writes what is left and returns the number of rows.
    fn finish(mut self, out: &mut impl Write) -> anyhow::Result<usize> {
        if self.widths.is_none() || !self.rows.is_empty() {
            self.write(out)?;
        }
        writeln!(out, "{}", self.bottom)?;
        Ok(self.count)
    }

    fn write(&mut self, out: &mut impl Write) -> anyhow::Result<()> {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        match self.width_max {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic);
                table.set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        let first = self.widths.is_none();
        if first {
            table.set_header(&self.head);
        }
        let rows = std::mem::take(&mut self.rows);
        let widths = self
            .widths
            .as_ref()
            .map(|widths| self.widened(widths, &rows));
        for row in rows {
            let cells = row.into_iter().zip(&self.numbers).map(|(text, number)| {
                let alignment = if *number {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                };
                Cell::new(text).set_alignment(alignment)
            });
            table.add_row(Row::from(cells.collect::<Vec<_>>()));
        }
        if let Some(widths) = widths {
            let fixed = |width| ColumnConstraint::Absolute(Width::Fixed(width));
            table.set_constraints(widths.into_iter().map(fixed));
        }
        let lines: Vec<String> = table.lines().collect();
        let Some((bottom, lines)) = lines.split_last() else {
            return Ok(());
        };
        let lines = if first {
            lines
        } else {
            lines.get(1..).unwrap_or_default()
        };
        for line in lines {
            writeln!(out, "{line}")?;
        }
        if first {
            let runs = bottom.trim_matches(['└', '┘']).split('┴');
            self.widths = Some(
                runs.map(|run| u16::try_from(run.chars().count()).unwrap_or(u16::MAX))
                    .collect(),
            );
            self.bottom.clone_from(bottom);
        }
        Ok(())
    }

    /// Where there is no edge of a terminal to keep to, a longer cell makes its page wider.
    fn widened(&self, widths: &[u16], rows: &[Vec<String>]) -> Vec<u16> {
        const PADDING: usize = 2;
        let longest = |at: usize| {
            let lengths = rows.iter().filter_map(|row| row.get(at)).map(|cell| {
                cell.lines()
                    .map(|line| line.chars().count())
                    .max()
                    .unwrap_or(0)
            });
            u16::try_from(lengths.max().unwrap_or(0) + PADDING).unwrap_or(u16::MAX)
        };
        let columns = widths.iter().enumerate();
        match self.width_max {
            Some(_) => widths.to_vec(),
            None => columns
                .map(|(at, width)| (*width).max(longest(at)))
                .collect(),
        }
    }
}

/// Returns the width that a table may have: that of the terminal, or what `COLUMNS` says.
fn width_max() -> Option<u16> {
    let columns = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok());
    columns.or_else(|| {
        let terminal = std::io::stdout().is_terminal();
        terminal.then(|| Table::new().width()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, rows: &str) -> String {
        let head = |name: &str, sql_type: &str| ColumnHead {
            name: name.to_owned(),
            sql_type: sql_type.to_owned(),
        };
        let mut out = Vec::new();
        let mut output = Output::new(format, &mut out, Counted::No);
        let columns = vec![
            head("n", "HUGEINT"),
            head("x", "DOUBLE"),
            head("text", "VARCHAR"),
        ];
        output.event(Event::Columns(columns)).unwrap();
        output.event(Event::Rows(rows.to_owned())).unwrap();
        output.event(Event::Done).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_digit_and_null_is_kept() {
        let rows = r#"[[170141183460469231731687303715884105727,"NaN","a \"b\",\u0007c"],[null,1.50,null]]"#;
        let json = "{\"n\":170141183460469231731687303715884105727,\"x\":null,\"text\":\"a \\\"b\\\",\\u0007c\"}\n\
                    {\"n\":null,\"x\":1.50,\"text\":null}\n";
        assert_eq!(written(Format::Json, rows), json);
        let csv =
            "n,x,text\n170141183460469231731687303715884105727,,\"a \"\"b\"\",\u{7}c\"\n,1.50,\n";
        assert_eq!(written(Format::Csv, rows), csv);
        let table = written(Format::Table, rows);
        assert!(
            table.contains("NaN") && table.contains("NULL") && table.contains("\\u{7}"),
            "{table}"
        );
    }

    #[test]
    fn a_result_that_fails_before_its_first_row_is_not_shown() {
        for format in [Format::Table, Format::Csv, Format::Json] {
            let mut out = Vec::new();
            let mut output = Output::new(format, &mut out, Counted::Yes);
            let columns = || {
                Event::Columns(vec![ColumnHead {
                    name: "n".to_owned(),
                    sql_type: "BIGINT".to_owned(),
                }])
            };
            output.event(columns()).unwrap();
            output.event(Event::Error("too late".to_owned())).unwrap();
            output.event(Event::Done).unwrap();
            assert!(output.out.is_empty(), "{format:?}");
            // One that is empty has its head, and is no second result.
            output.event(columns()).unwrap();
            output.event(Event::Done).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.contains('n'), format != Format::Json, "{text}");
            assert!(!text.starts_with('\n'), "{text}");
        }
    }

    #[test]
    fn pages_of_a_long_table_line_up() {
        let rows: Vec<String> = (0..PAGE_ROWS * 2 + 3)
            .map(|n| format!("[{n},0.5,\"x\"]"))
            .collect();
        let table = written(Format::Table, &format!("[{}]", rows.join(",")));
        let widths: std::collections::BTreeSet<usize> =
            table.lines().map(|line| line.chars().count()).collect();
        assert!(widths.len() <= 2, "{widths:?}");
        assert_eq!(table.lines().count(), PAGE_ROWS * 2 + 3 + 4, "{table}");
        assert_eq!(table.matches('┌').count(), 1);
    }
}
