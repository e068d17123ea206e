//! Numbers from their digits: exact, or not at all.
//!
//! Knows nothing of JSON or Arrow. A text here is `[+-] digits [. digits] [e [+-] digits]`, spaces around it
//! allowed, as numbers come in JSON and in the strings of JSON.

/// The parts of a number's text.
#[derive(Clone, Copy, Debug)]
struct Parts<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

impl<'a> Parts<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let bytes = text.trim_ascii().as_bytes();
        let (negative, bytes) = match bytes.split_first() {
            Some((b'-', rest)) => (true, rest),
            Some((b'+', rest)) => (false, rest),
            _ => (false, bytes),
        };
        let (whole, rest) = split_digits(bytes);
        let (fraction, rest) = match rest.split_first() {
            Some((b'.', rest)) => split_digits(rest),
            _ => (&rest[..0], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest.split_first() {
            None => 0,
            Some((b'e' | b'E', rest)) => parse_exponent(rest)?,
            Some(_) => return None,
        };
        Some(Self {
            negative,
            whole,
            fraction,
            exponent,
        })
    }

    fn digits(&self) -> impl Iterator<Item = i128> {
        self.whole
            .iter()
            .chain(self.fraction)
            .map(|digit| i128::from(digit - b'0'))
    }

    /// Returns the value times ten to `scale`, cut off towards zero, with the digits behind the cut; `None`
    /// where it does not fit 128 bits.
    fn scaled(&self, scale: i64) -> Option<Scaled> {
        let length = i64::try_from(self.whole.len() + self.fraction.len()).ok()?;
        // As many of the digits as lie before the decimal point after scaling.
        let kept = i64::try_from(self.whole.len()).ok()? + self.exponent.checked_add(scale)?;
        let mut value: i128 = 0;
        let mut first_cut = 0;
        let mut exact = true;
        for (at, digit) in (0i64..).zip(self.digits()) {
            if at < kept {
                value = value.checked_mul(10)?.checked_add(digit)?;
            } else {
                if at == kept {
                    first_cut = digit;
                }
                exact &= digit == 0;
            }
        }
        if value != 0 {
            for _ in length..kept {
                value = value.checked_mul(10)?;
            }
        }
        Some(Scaled {
            value,
            half: first_cut >= 5,
            exact,
        })
    }
}

struct Scaled {
    value: i128,
    /// What was cut off is at least a half.
    half: bool,
    /// Nothing but zeros was cut off.
    exact: bool,
}

fn split_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = bytes
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(bytes.len());
    bytes.split_at(length)
}

/// Parses an exponent; one of more than eight digits has no use and is refused.
fn parse_exponent(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let exponent = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some(if negative { -exponent } else { exponent })
}

/// Returns the whole number a text means; `None` for a fraction other than zero, for text, and beyond 128 bits.
pub fn integer(text: &str) -> Option<i128> {
    if let Some(small) = small_integer(text.as_bytes()) {
        return Some(i128::from(small));
    }
    let parts = Parts::parse(text)?;
    let scaled = parts.scaled(0)?;
    let signed = if parts.negative {
        -scaled.value
    } else {
        scaled.value
    };
    scaled.exact.then_some(signed)
}

/// The short way for up to 18 plain digits.
#[inline]
fn small_integer(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if negative { -value } else { value })
}

/// Returns the value times ten to `scale`, rounded half away from zero, if it has at most `precision` digits.
pub fn decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let parts = Parts::parse(text)?;
    let scaled = parts.scaled(i64::from(scale))?;
    let value = scaled.value.checked_add(i128::from(scaled.half))?;
    // Ten to 38 is the largest power of ten in 128 bits, and 38 the largest precision.
    let bound = 10i128.checked_pow(u32::from(precision))?;
    (value < bound).then_some(if parts.negative { -value } else { value })
}

/// Returns the value times ten to `scale`, digits beyond cut off towards minus infinity.
pub fn scaled_floor(text: &str, scale: i64) -> Option<i128> {
    let parts = Parts::parse(text)?;
    let scaled = parts.scaled(scale)?;
    Some(match (parts.negative, scaled.exact) {
        (false, _) => scaled.value,
        (true, true) => -scaled.value,
        (true, false) => -scaled.value - 1,
    })
}

/// Returns the nearest double; `None` for text and for numbers beyond the range. The words `NaN`, `Infinity`
/// and `inf` count as numbers.
pub fn double(text: &str) -> Option<f64> {
    if let Some(short) = short_double(text.as_bytes()) {
        return Some(short);
    }
    let text = text.trim_ascii();
    let value: f64 = text.parse().ok()?;
    (value.is_finite() || is_special(text)).then_some(value)
}

/// The short way for up to 15 digits with a point among them or without: they are exact as a double, as is the power of
/// ten that they are divided by, so that the quotient is the nearest double (W. D. Clinger, How to Read Floating Point
/// Numbers Accurately, 1990).
#[inline]
fn short_double(bytes: &[u8]) -> Option<f64> {
    const DIGITS_MAX: usize = 15;
    const POWERS: [f64; DIGITS_MAX + 1] = [
        1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
    ];
    let (negative, bytes) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, bytes),
    };
    if bytes.len() > DIGITS_MAX + 1 {
        return None;
    }
    let (mut digits, mut value) = (0, 0_i64);
    let mut point = None;
    for byte in bytes {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + i64::from(byte - b'0');
                digits += 1;
            }
            b'.' if point.is_none() => point = Some(digits),
            _ => return None,
        }
    }
    if !(1..=DIGITS_MAX).contains(&digits) {
        return None;
    }
    let fraction = point.map_or(0, |point| digits - point);
    let value = value as f64 / POWERS[fraction];
    Some(if negative { -value } else { value })
}

/// Returns the nearest 32-bit float, as [`double`] does.
pub fn float(text: &str) -> Option<f32> {
    let text = text.trim_ascii();
    let value: f32 = text.parse().ok()?;
    (value.is_finite() || is_special(text)).then_some(value)
}

/// True for the words that mean NaN or an infinity, rather than digits beyond the range.
fn is_special(text: &str) -> bool {
    text.bytes().all(|byte| !byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_zero_fractions_and_refuse_others() {
        for (text, value) in [
            ("1", Some(1)),
            ("-7", Some(-7)),
            ("1.0", Some(1)),
            ("1e3", Some(1000)),
            ("1.5e1", Some(15)),
            (" 42 ", Some(42)),
            ("+5", Some(5)),
            ("007", Some(7)),
            ("0e999999", Some(0)),
            ("9223372036854775807", Some(9_223_372_036_854_775_807)),
            ("170141183460469231731687303715884105727", Some(i128::MAX)),
            ("1.5", None),
            ("1e-1", None),
            ("170141183460469231731687303715884105728", None),
            ("1e99999999", None),
            ("", None),
            ("-", None),
            (".", None),
            ("1 2", None),
            ("0x10", None),
        ] {
            assert_eq!(integer(text), value, "{text:?}");
        }
    }

    #[test]
    fn decimals_are_exact_and_round_half_up() {
        assert_eq!(decimal("1.005", 18, 2), Some(101));
        assert_eq!(decimal("-1.005", 18, 2), Some(-101));
        assert_eq!(
            decimal("1.0049999999999999999999999999999999999999999", 18, 2),
            Some(100)
        );
        assert_eq!(decimal("0.1e-1", 18, 2), Some(1));
        assert_eq!(decimal("4e-3", 18, 2), Some(0));
        assert_eq!(decimal("0.5", 18, 0), Some(1));
        assert_eq!(
            decimal("12345678901234567.89", 19, 2),
            Some(1_234_567_890_123_456_789)
        );
        assert_eq!(decimal("99.995", 4, 2), None);
        assert_eq!(decimal("99.994", 4, 2), Some(9999));
        assert_eq!(decimal("1e40", 38, 0), None);
    }

    #[test]
    fn short_doubles_are_those_of_the_library() {
        let mut random = fastrand::Rng::with_seed(17);
        let mut short = 0;
        for _ in 0..200_000 {
            let length = random.usize(1..19);
            let text: String = (0..length)
                .map(|_| match random.u8(..16) {
                    0 => '.',
                    1 if length < 4 => '-',
                    other => char::from(b'0' + other % 10),
                })
                .collect();
            let library = text.parse::<f64>().ok();
            if let Some(value) = short_double(text.as_bytes()) {
                short += 1;
                let bits = library.map(f64::to_bits);
                assert_eq!(Some(value.to_bits()), bits, "{text}");
            }
            assert_eq!(double(&text), library, "{text}");
        }
        assert!(short > 50_000, "{short}");
        assert_eq!(double("-0").map(f64::to_bits), Some((-0.0f64).to_bits()));
    }

    #[test]
    fn doubles_refuse_what_is_beyond_their_range() {
        assert_eq!(double("1e308"), Some(1e308));
        assert_eq!(double("1e309"), None);
        assert_eq!(float("1e39"), None);
        assert_eq!(double("-Infinity"), Some(f64::NEG_INFINITY));
        assert!(double("NaN").unwrap().is_nan());
        assert_eq!(double("abc"), None);
        assert_eq!(double(""), None);
    }
}
