//! The table: a line per figure, with its median, spread, raw limit, ratio and goal.

use std::time::Duration;

pub const MEBIBYTE: f64 = (1 << 20) as f64;

/// Figures of one kind, from several runs.
#[derive(Clone, Debug)]
pub struct Runs {
    sorted: Vec<f64>,
    unit: &'static str,
}

impl Runs {
    pub fn of(mut figures: Vec<f64>, unit: &'static str) -> Self {
        assert!(!figures.is_empty(), "nothing was measured");
        figures.sort_by(f64::total_cmp);
        Self {
            sorted: figures,
            unit,
        }
    }

    pub fn millis(times: &[Duration]) -> Self {
        let millis = times.iter().map(|time| time.as_secs_f64() * 1000.0);
        Self::of(millis.collect(), "ms")
    }

    pub fn median(&self) -> f64 {
        self.sorted[self.sorted.len() / 2]
    }

    fn shown(&self) -> String {
        format!("{} {}", rounded(self.median()), self.unit)
    }

    fn spread(&self) -> String {
        match self.sorted.as_slice() {
            [_] => String::new(),
            [least, .., most] => format!("{}–{}", rounded(*least), rounded(*most)),
            [] => String::new(),
        }
    }
}

fn rounded(figure: f64) -> String {
    if figure.abs() >= 100.0 {
        format!("{figure:.0}")
    } else if figure.abs() >= 10.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.2}")
    }
}

/// What the project promises of a figure or of its ratio to the raw limit.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    None,
    AtMost(f64),
    AtLeast(f64),
    /// The figure divided by the raw one.
    RatioAtMost(f64),
    /// The raw figure divided by this one, where less is better: so many times as fast.
    TimesAsFast(f64),
    /// This figure divided by the raw one, where more is better.
    RatioAtLeast(f64),
}

pub struct Table {
    /// How often each workload runs.
    pub runs: usize,
    missed: usize,
}

impl Table {
    pub fn start(runs: usize) -> Self {
        println!(
            "{:<4} {:<54} {:>14} {:>16} {:>14} {:>7} {:>10}",
            "", "", "median", "spread", "raw limit", "ratio", "goal"
        );
        Self { runs, missed: 0 }
    }

    /// Prints a figure by itself.
    pub fn fact(&mut self, workload: &str, what: &str, figure: &Runs, goal: Goal) {
        self.line(workload, what, figure, None, goal);
    }

    /// Prints a figure beside what was measured of the bare machine.
    pub fn beside(&mut self, workload: &str, what: &str, figure: &Runs, raw: &Runs, goal: Goal) {
        self.line(workload, what, figure, Some(raw), goal);
    }

    /// Says what could not be measured.
    pub fn left_out(&mut self, workload: &str, what: &str, why: &str) {
        println!("{workload:<4} {what:<54} {why:>14}");
    }

    fn line(&mut self, workload: &str, what: &str, figure: &Runs, raw: Option<&Runs>, goal: Goal) {
        let ratio = raw.map(|raw| match goal {
            Goal::TimesAsFast(_) => raw.median() / figure.median(),
            _ => figure.median() / raw.median(),
        });
        let (promised, met) = match (goal, ratio) {
            (Goal::AtMost(most), _) => (format!("≤ {}", rounded(most)), figure.median() <= most),
            (Goal::AtLeast(least), _) => {
                (format!("≥ {}", rounded(least)), figure.median() >= least)
            }
            (Goal::RatioAtMost(most), Some(ratio)) => (format!("≤ {most}×"), ratio <= most),
            (Goal::TimesAsFast(least) | Goal::RatioAtLeast(least), Some(ratio)) => {
                (format!("≥ {least}×"), ratio >= least)
            }
            _ => (String::new(), true),
        };
        let verdict = match (promised.is_empty(), met) {
            (true, _) => "",
            (false, true) => "met",
            (false, false) => "MISSED",
        };
        self.missed += usize::from(!met);
        println!(
            "{workload:<4} {what:<54} {:>14} {:>16} {:>14} {:>7} {promised:>10}   {verdict}",
            figure.shown(),
            figure.spread(),
            raw.map_or_else(String::new, Runs::shown),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
        );
    }

    pub fn finish(self) {
        println!(
            "\n{} goals missed; load of the machine at the end: {}",
            self.missed,
            std::fs::read_to_string("/proc/loadavg")
                .unwrap_or_default()
                .trim()
        );
    }
}
