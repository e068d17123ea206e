//! What `omlsp top` draws, and what its keys do. The colours are the terminal's own, so that they suit it.

use ratatui::Frame;
use ratatui::crossterm::event::KeyCode;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState, Wrap};

use super::look::{Doing, Look};

/// The lines of the pane with all of an error.
const ERROR_LINES: u16 = 7;

/// The order of the entities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Written,
    Rate,
    Behind,
    Errors,
}

impl Order {
    fn next(self) -> Self {
        match self {
            Self::Written => Self::Rate,
            Self::Rate => Self::Behind,
            Self::Behind => Self::Errors,
            Self::Errors => Self::Written,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Written => "as written",
            Self::Rate => "by rate",
            Self::Behind => "by what is behind",
            Self::Errors => "by errors",
        }
    }
}

/// Which entities are there to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    All,
    Failing,
}

pub struct Screen {
    folder: String,
    look: Look,
    order: Order,
    shown: Shown,
    /// Whether the pane with all of an error is open.
    error_open: bool,
    /// The chosen entity by name, since the order changes under it.
    chosen: Option<String>,
    table: TableState,
}

impl Screen {
    pub fn new(folder: String, look: Look) -> Self {
        Self {
            folder,
            look,
            order: Order::Written,
            shown: Shown::All,
            error_open: false,
            chosen: None,
            table: TableState::default(),
        }
    }

    /// Takes the next look.
    pub fn take(&mut self, look: Look) {
        self.look = look;
    }

    /// Does what a key means; others mean nothing.
    pub fn key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char('s') => self.order = self.order.next(),
            KeyCode::Char('e') => {
                self.shown = match self.shown {
                    Shown::All => Shown::Failing,
                    Shown::Failing => Shown::All,
                }
            }
            KeyCode::Enter => self.error_open = !self.error_open,
            KeyCode::Esc => self.error_open = false,
            KeyCode::Down | KeyCode::Char('j') => self.choose(1),
            KeyCode::Up | KeyCode::Char('k') => self.choose(-1),
            KeyCode::PageDown => self.choose(20),
            KeyCode::PageUp => self.choose(-20),
            KeyCode::Home => self.choose(isize::MIN),
            KeyCode::End => self.choose(isize::MAX),
            _ => {}
        }
    }

    fn choose(&mut self, step: isize) {
        let names: Vec<String> = (self.visible().iter())
            .map(|doing| doing.name.clone())
            .collect();
        let Some(last) = names.len().checked_sub(1) else {
            return;
        };
        let at = names
            .iter()
            .position(|name| Some(name) == self.chosen.as_ref());
        let next = match at {
            Some(at) => at.saturating_add_signed(step).min(last),
            None => 0,
        };
        self.chosen = names.into_iter().nth(next);
    }

    /// Returns the entities to be seen, in order.
    fn visible(&self) -> Vec<&Doing> {
        let shown =
            |doing: &&Doing| self.shown == Shown::All || doing.failing || doing.problems() > 0;
        let mut entities: Vec<&Doing> = self.look.entities.iter().filter(shown).collect();
        match self.order {
            Order::Written => {}
            Order::Rate => entities.sort_by(|a, b| b.rate.total_cmp(&a.rate)),
            Order::Behind => entities.sort_by_key(|doing| std::cmp::Reverse(doing.behind)),
            Order::Errors => entities.sort_by_key(|doing| std::cmp::Reverse(doing.problems())),
        }
        entities
    }

    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let error = if self.error_open { ERROR_LINES } else { 0 };
        let [head, table, pane, keys] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Min(3),
            Constraint::Length(error),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(), head);
        self.draw_table(frame, table);
        if self.error_open {
            frame.render_widget(self.error(), pane);
        }
        let text = format!(
            " ↑↓ choose  s sort ({})  e {}  Enter error  q quit",
            self.order.words(),
            match self.shown {
                Shown::All => "only with errors",
                Shown::Failing => "all",
            }
        );
        frame.render_widget(Paragraph::new(text).dim(), keys);
    }

    fn head(&self) -> Paragraph<'_> {
        let entities = &self.look.entities;
        let is_source = |doing: &&Doing| ["table", "source"].contains(&doing.kind.as_str());
        let rate: f64 = (entities.iter().filter(is_source))
            .map(|doing| doing.rate)
            .sum();
        let failing = entities.iter().filter(|doing| doing.failing).count();
        let problems: u64 = entities.iter().map(Doing::problems).sum();
        let red = Style::new().fg(Color::Red).bold();
        Paragraph::new(Line::from(vec![
            Span::from(" omlsp ").bold(),
            Span::from(self.folder.as_str()).dim(),
            Span::from(format!(
                "   {} entities   {} rows/s in   ",
                entities.len(),
                amount(rate)
            )),
            Span::styled(
                format!("{failing} failing"),
                if failing > 0 { red } else { Style::new() },
            ),
            Span::styled(
                format!("   {problems} errors"),
                if problems > 0 { red } else { Style::new() },
            ),
        ]))
    }

    fn draw_table(&mut self, frame: &mut Frame<'_>, area: Rect) {
        // The rows borrow from the rest of the screen while it is drawn.
        let mut state = std::mem::take(&mut self.table);
        let visible = self.visible();
        let at = visible
            .iter()
            .position(|doing| Some(&doing.name) == self.chosen.as_ref());
        let rows: Vec<Row<'_>> = visible.into_iter().map(row).collect();
        let head = [
            "ENTITY",
            "KIND",
            "STATE",
            "ROWS/S",
            "IN",
            "OUT",
            "BEHIND",
            "P99",
            "ERRORS",
            "LAST ERROR",
        ];
        let head = head.map(|word| {
            let right = ["ROWS/S", "IN", "OUT", "BEHIND", "P99", "ERRORS"].contains(&word);
            Cell::from(if right {
                Line::from(word).right_aligned()
            } else {
                Line::from(word)
            })
        });
        let widths = [
            Constraint::Fill(2),
            Constraint::Length(17),
            Constraint::Length(9),
            Constraint::Length(7),
            Constraint::Length(7),
            Constraint::Length(7),
            Constraint::Length(7),
            Constraint::Length(7),
            Constraint::Length(6),
            Constraint::Fill(3),
        ];
        let table = Table::new(rows, widths)
            .header(
                Row::new(head)
                    .style(Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)),
            )
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
            .column_spacing(1);
        state.select(at);
        frame.render_stateful_widget(table, area, &mut state);
        self.table = state;
    }

    fn error(&self) -> Paragraph<'_> {
        let chosen =
            (self.look.entities.iter()).find(|doing| Some(&doing.name) == self.chosen.as_ref());
        let text = match chosen {
            None => "choose an entity with the arrows".to_owned(),
            Some(doing) => match (&doing.last_error, &doing.last_error_at) {
                (Some(text), Some(time)) => format!("{}, {time}: {text}", doing.name),
                _ => format!("{}: no error so far", doing.name),
            },
        };
        Paragraph::new(text)
            .wrap(Wrap { trim: false })
            .block(Block::new().borders(Borders::TOP))
    }
}

fn row(doing: &Doing) -> Row<'_> {
    let colour = match doing.state.as_str() {
        "running" | "ready" => Color::Green,
        "retrying" | "starting" => Color::Yellow,
        "failed" => Color::Red,
        _ => Color::Reset,
    };
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let problems = Line::from(doing.problems().to_string()).right_aligned();
    let problems = if doing.problems() > 0 {
        problems.red()
    } else {
        problems
    };
    let latency = match doing.latency_p99_s {
        Some(seconds) if seconds < 1.0 => format!("{}ms", (seconds * 10_000.0).round() / 10.0),
        Some(seconds) => format!("{seconds}s"),
        None => String::new(),
    };
    Row::new([
        Cell::from(printable(&doing.name)),
        Cell::from(doing.kind.as_str()),
        Cell::from(Span::styled(doing.state.as_str(), colour)),
        right(amount(doing.rate)),
        // Counts beyond 2^53 are shown in few digits anyway.
        right(amount(doing.rows_in as f64)),
        right(amount(doing.rows_out as f64)),
        right(
            doing
                .behind
                .map_or_else(String::new, |rows| amount(rows as f64)),
        ),
        right(latency),
        Cell::from(problems),
        Cell::from(printable(doing.last_error.as_deref().unwrap_or(""))),
    ])
}

/// Returns a text in one line, without what would move the cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Returns a number in few characters.
fn amount(number: f64) -> String {
    for (size, unit) in [(1e9, "G"), (1e6, "M"), (1e4, "k")] {
        if number >= size {
            let unit_size = if unit == "k" { 1e3 } else { size };
            return format!("{:.1}{unit}", number / unit_size);
        }
    }
    if number.fract().abs() < 0.05 || number >= 100.0 {
        format!("{number:.0}")
    } else {
        format!("{number:.1}")
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::cli::top::look::Looks;

    fn look(looks: &mut Looks, time_ms: i64, rows: u64) -> Look {
        let entity = |name: &str, rows: u64, errors: u64, last_error: serde_json::Value| {
            serde_json::json!({
                "name": name, "kind": "table", "state": if errors > 0 { "retrying" } else { "running" },
                "rows_in": rows, "rows_out": rows, "requests": 0, "errors": errors, "rejected": 0,
                "failing": errors > 0, "behind": null, "latency_p99_s": 0.0025, "last_error": last_error,
                "last_error_at": "2026-01-01T00:00:00.000Z",
            })
        };
        let status = serde_json::json!({"time_ms": time_ms, "entities": [
            entity("first", rows, 0, serde_json::Value::Null),
            entity("second", rows / 2, 3, "connection\u{1b} refused".into()),
        ]});
        looks
            .take(&status.to_string())
            .expect("the status is whole")
    }

    fn drawn(screen: &mut Screen) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(120, 14)).expect("a backend of cells");
        terminal
            .draw(|frame| screen.draw(frame))
            .expect("cells take everything");
        let text = terminal.backend().to_string();
        text.lines()
            .map(|line| line.trim_matches('"').trim_end().to_owned())
            .collect()
    }

    fn at(lines: &[String], text: &str) -> usize {
        let at = lines.iter().position(|line| line.contains(text));
        at.unwrap_or_else(|| panic!("no `{text}` in {lines:#?}"))
    }

    #[test]
    fn rates_errors_and_order_are_drawn() {
        let mut looks = Looks::default();
        look(&mut looks, 0, 0);
        let mut screen = Screen::new("state".to_owned(), look(&mut looks, 2000, 500));
        let lines = drawn(&mut screen);
        assert!(
            lines[0].contains("2 entities") && lines[0].contains("1 failing"),
            "{lines:#?}"
        );
        assert!(lines[at(&lines, "first")].contains("250"), "{lines:#?}");
        assert!(
            lines[at(&lines, "second")].contains("connection  refused"),
            "{lines:#?}"
        );
        assert!(at(&lines, "first") < at(&lines, "second"));
        for _ in 0..3 {
            screen.key(KeyCode::Char('s'));
        }
        let lines = drawn(&mut screen);
        assert!(at(&lines, "second") < at(&lines, "first"), "{lines:#?}");
        screen.key(KeyCode::Char('e'));
        assert!(!drawn(&mut screen).iter().any(|line| line.contains("first")));
    }

    #[test]
    fn the_chosen_entity_stays_chosen_and_tells_its_error() {
        let mut looks = Looks::default();
        let mut screen = Screen::new("state".to_owned(), look(&mut looks, 0, 1));
        screen.key(KeyCode::Enter);
        let lines = drawn(&mut screen);
        at(&lines, "choose an entity");
        screen.key(KeyCode::End);
        screen.key(KeyCode::Down);
        screen.key(KeyCode::End);
        let lines = drawn(&mut screen);
        at(&lines, "second, 2026-01-01T00:00:00.000Z: connection");
        screen.key(KeyCode::Up);
        let lines = drawn(&mut screen);
        at(&lines, "first: no error so far");
    }
}
