//! Documents and filters made at random, for tests that hold the two ways of filtering against each other.

/// Makes JSON texts: mostly well-shaped, sometimes with what makes them odd.
pub struct Documents {
    random: fastrand::Rng,
}

impl Documents {
    pub fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// Returns one JSON text.
    pub fn document(&mut self) -> String {
        let mut document = String::new();
        self.value(4, &mut document);
        document.trim().to_owned()
    }

    fn space(&mut self) -> &'static str {
        ["", "", "", "", " ", "\n\t"][self.random.usize(..6)]
    }

    fn key(&mut self) -> &'static str {
        let keys = [
            "a", "a", "a", "b", "b", "c", "A", "B", "d", "b2", "\\u0061", "x\\\"y", "é",
        ];
        keys[self.random.usize(..keys.len())]
    }

    fn scalar(&mut self) -> String {
        let scalars = [
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1.10",
            "-2.5e-3",
            "1E400",
            "12345678901234567890123",
            "1704164645678",
            "\"\"",
            "\"1.5\"",
            "\"007\"",
            "\"-0\"",
            "\" 1\"",
            "\"abc\"",
            "\"\\u00e9\\n\\ud83d\\ude00\"",
            "\"\\ud800\"",
            "\"\\/\\\"\"",
            "\"2024-01-02T03:04:05Z\"",
            "\"nan\"",
            "\"ünï\"",
            "\"\\u0000\\u007f\"",
            "1",
            "2",
            "3",
        ];
        scalars[self.random.usize(..scalars.len())].to_owned()
    }

    fn value(&mut self, depth: usize, out: &mut String) {
        out.push_str(self.space());
        match self.random.u8(..10) {
            0..4 if depth > 0 => {
                let count = self.random.usize(..5);
                out.push('{');
                for number in 0..count {
                    if number > 0 {
                        out.push(',');
                    }
                    let (space, key) = (self.space(), self.key());
                    out.push_str(&format!("{space}\"{key}\"{space}:"));
                    self.value(depth - 1, out);
                }
                out.push('}');
            }
            4..7 if depth > 0 => {
                let count = self.random.usize(..5);
                out.push('[');
                for number in 0..count {
                    if number > 0 {
                        out.push(',');
                    }
                    self.value(depth - 1, out);
                }
                out.push(']');
            }
            _ => out.push_str(&self.scalar()),
        }
        out.push_str(self.space());
    }

    /// Returns one text or two, sometimes cut off.
    pub fn body(&mut self) -> String {
        let mut body = String::new();
        for _ in 0..1 + self.random.usize(..2) {
            self.value(4, &mut body);
            body.push('\n');
        }
        if self.random.u8(..20) == 0 {
            // Cut off, at a character's boundary.
            let at = self.random.usize(..=body.len());
            let at = (0..=at)
                .rev()
                .find(|at| body.is_char_boundary(*at))
                .unwrap_or(0);
            body.truncate(at);
        }
        body
    }
}

/// Makes filters of the kinds that need no interpreter.
pub struct Filters {
    random: fastrand::Rng,
}

impl Filters {
    pub fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
        }
    }

    fn one_of(&mut self, words: &[&str]) -> String {
        words[self.random.usize(..words.len())].to_owned()
    }

    /// Returns a pipe that may give any number of outputs.
    pub fn filter(&mut self) -> String {
        let stages: Vec<String> = (0..self.random.usize(1..4)).map(|_| self.stage()).collect();
        let pipe = stages.join(" | ");
        match self.random.u8(..8) {
            0 => format!("[{pipe}]"),
            1 => format!("[{pipe}] | .[]"),
            2 => format!("map({pipe})"),
            3 => format!("map({pipe}) | map({})", self.expression(1)),
            _ => pipe,
        }
    }

    fn stage(&mut self) -> String {
        match self.random.u8(..12) {
            0..3 => ".[]".to_owned(),
            3 => format!("{}[]", self.path()),
            4 => format!("{}[]?", self.path()),
            5 => format!("({})[]", self.expression(1)),
            6 => format!("select({})", self.expression(2)),
            7 => format!(".[{}][]", self.bounds()),
            8 => self.object(2),
            9 => self.path(),
            _ => self.expression(2),
        }
    }

    fn bounds(&mut self) -> String {
        self.one_of(&[
            "1:", ":1", "0:2", "-1:", ":-1", "-2:-1", "2:1", "1:99", "-99:1",
        ])
    }

    fn path(&mut self) -> String {
        let parts: String = (0..self.random.usize(..3)).map(|_| self.part()).collect();
        match parts.as_str() {
            "" => ".".to_owned(),
            parts if parts.starts_with('.') => parts.to_owned(),
            parts => format!(".{parts}"),
        }
    }

    fn part(&mut self) -> String {
        let part = match self.random.u8(..8) {
            0..5 => self.one_of(&[".a", ".a", ".b", ".c", ".d", ".\"\\u0061\"", "[\"x\\\"y\"]"]),
            5 => self.one_of(&["[0]", "[1]", "[3]"]),
            6 => self.one_of(&["[-1]", "[-2]"]),
            _ => format!("[{}]", self.bounds()),
        };
        let whole = !part.contains(['-', ':']);
        let optional = whole && self.random.u8(..8) == 0;
        if optional { format!("{part}?") } else { part }
    }

    fn object(&mut self, depth: usize) -> String {
        let mut members = Vec::new();
        for name in ["a", "b", "C", "\"x y\""] {
            match self.random.u8(..4) {
                0 => {}
                1 if !name.contains('"') => members.push(name.to_owned()),
                _ => members.push(format!("{name}: ({})", self.expression(depth))),
            }
        }
        format!("{{{}}}", members.join(", "))
    }

    /// Returns a filter that gives one output at most.
    pub fn expression(&mut self, depth: usize) -> String {
        let leaf = depth == 0 || self.random.u8(..3) == 0;
        if leaf {
            return match self.random.u8(..5) {
                0 => self.one_of(&[
                    "null",
                    "true",
                    "false",
                    "0",
                    "-0",
                    "1",
                    "2.50",
                    "-3",
                    "1e3",
                    "\"abc\"",
                    "\"1.5\"",
                    "\"\\n\"",
                    "[]",
                    "empty",
                    "12345678901234567890123",
                ]),
                _ => self.path(),
            };
        }
        let (left, right) = (self.expression(depth - 1), self.expression(depth - 1));
        match self.random.u8(..16) {
            0 | 1 => format!("({left} // {right})"),
            2 | 3 => {
                let operator = self.one_of(&["==", "!=", "<", "<=", ">", ">="]);
                format!("({left} {operator} {right})")
            }
            4 => format!("({left} {} {right})", self.one_of(&["and", "or"])),
            5 => format!("({left} | not)"),
            6 => format!("({left} | tonumber)"),
            7 => format!("({left} | tostring)"),
            8 => format!("[{left}, {right}]"),
            9 => self.object(depth - 1),
            10 => format!("(if {left} then {right} else {} end)", self.path()),
            11 => format!("({left} | select({right}))"),
            12 => format!("[{}[] | {right}]", self.path()),
            13 => format!("({left} | map({right}))"),
            14 => format!("({left} {} {right})", self.one_of(&["+", "-", "/", "%"])),
            _ => format!("({left} | {right})"),
        }
    }
}
