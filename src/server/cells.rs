//! The cells of rows that travel as the text of a JSON array of arrays: each stays the text it came as, so
//! that no digit of a number is lost.

use anyhow::Context as _;

/// Calls `each` with the JSON texts of each row's cells; `rows` is an array of arrays, without white space.
pub fn each_row(
    rows: &str,
    mut each: impl FnMut(&[&str]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let bytes = rows.as_bytes();
    let (mut depth, mut start, mut at) = (0_usize, 0, 0);
    let mut cells: Vec<&str> = Vec::new();
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b'[' | b'{' => {
                depth += 1;
                if depth == 2 {
                    start = at + 1;
                }
            }
            b',' if depth == 2 => {
                cells.push(&rows[start..at]);
                start = at + 1;
            }
            b']' | b'}' => {
                if depth == 2 {
                    cells.push(&rows[start..at]);
                    each(&cells)?;
                    cells.clear();
                }
                depth = depth.checked_sub(1).context("a piece of rows is damaged")?;
            }
            _ => {}
        }
        at += 1;
    }
    anyhow::ensure!(depth == 0, "a piece of rows is cut off");
    Ok(())
}

/// Returns where the closing quote of the string is that opens at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end).filter(|byte| **byte != b'"') {
        end += if *byte == b'\\' { 2 } else { 1 };
    }
    end
}
