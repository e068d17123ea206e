//! HTTP/1.1 on the wire (RFC 9112), as far as the test server speaks it: requests read, replies written,
//! gzip made.
//!
//! Knows nothing of routes or scripts. Called by [`super::http`]; the WebSocket server reads its handshake
//! through `async_tungstenite` instead.

use std::io::{self, BufRead, Write};
use std::thread;
use std::time::Instant;

use super::http::{Delivery, Reply, Request};

/// The longest body the server takes: more than any test sends, less than would hurt.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    KeepAlive,
    Close,
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Reads one request, or `None` where the client closed the connection between two of them.
///
/// # Errors
/// A request that is not HTTP/1.1, or a connection that broke in the middle of one.
pub fn read_request(
    reader: &mut impl BufRead,
    writer: &mut impl Write,
    connection: u64,
) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(malformed("request line"));
    };
    // A proxy is asked with the whole URL; only its path and query matter here.
    let target = match target.strip_prefix("http://") {
        Some(rest) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    };
    let (path, raw_query) = target.split_once('?').unwrap_or((target, ""));
    let (method, path, raw_query) = (method.to_owned(), path.to_owned(), raw_query.to_owned());
    let headers = read_headers(reader)?;
    let body = read_body(reader, writer, &headers)?;
    Ok(Some(Request {
        method,
        query: parse_query(&raw_query),
        path,
        raw_query,
        headers,
        body,
        connection,
        at: Instant::now(),
    }))
}

fn read_headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::with_capacity(12);
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let text = line.trim_end();
        if text.is_empty() {
            return Ok(headers);
        }
        let (name, value) = text
            .split_once(':')
            .ok_or_else(|| malformed("header line"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_body(
    reader: &mut impl BufRead,
    writer: &mut impl Write,
    headers: &[(String, String)],
) -> io::Result<Vec<u8>> {
    let header = |name: &str| {
        let found = headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    };
    if header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        writer.flush()?;
    }
    if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return read_chunks(reader);
    }
    let length = header("content-length").map_or(Ok(0), str::parse);
    let length: usize = length.map_err(|_| malformed("content length"))?;
    if length > BODY_BYTES_MAX {
        return Err(malformed("the body is too long"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(body)
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let size = line.trim_end().split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(size, 16).map_err(|_| malformed("chunk size"))?;
        if body.len() + size > BODY_BYTES_MAX {
            return Err(malformed("the body is too long"));
        }
        if size == 0 {
            // Trailers end like headers, with an empty line.
            read_headers(reader)?;
            return Ok(body);
        }
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        line.clear();
        reader.read_line(&mut line)?;
    }
}

/// Splits and decodes a query: pairs in order, `+` a space, a key without `=` an empty value.
pub fn parse_query(raw: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced)
            .decode_utf8_lossy()
            .into_owned()
    };
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        })
        .collect()
}

/// Writes a reply, without flushing its last bytes.
///
/// # Errors
/// The client went away.
pub fn write_reply(writer: &mut impl Write, reply: &Reply, head_only: bool) -> io::Result<Outcome> {
    match &reply.delivery {
        Delivery::NoAnswer => return Ok(Outcome::Close),
        Delivery::Raw => {
            writer.write_all(&reply.body)?;
            return Ok(Outcome::Close);
        }
        _ => write_head(writer, reply)?,
    }
    if head_only || reply.status == 304 || reply.status == 204 {
        return Ok(after(reply));
    }
    match &reply.delivery {
        Delivery::Pieces {
            bytes,
            pause,
            chunked,
        } => {
            for piece in reply.body.chunks((*bytes).max(1)) {
                if !pause.is_zero() {
                    writer.flush()?;
                    thread::sleep(*pause);
                }
                if *chunked {
                    write!(writer, "{:x}\r\n", piece.len())?;
                }
                writer.write_all(piece)?;
                if *chunked {
                    writer.write_all(b"\r\n")?;
                }
            }
            if *chunked {
                writer.write_all(b"0\r\n\r\n")?;
            }
            Ok(after(reply))
        }
        Delivery::HangUpAfter(bytes) => {
            writer.write_all(&reply.body[..(*bytes).min(reply.body.len())])?;
            Ok(Outcome::Close)
        }
        Delivery::WrongLength(_) => {
            writer.write_all(&reply.body)?;
            Ok(Outcome::Close)
        }
        Delivery::Whole | Delivery::NoAnswer | Delivery::Raw => {
            writer.write_all(&reply.body)?;
            Ok(after(reply))
        }
    }
}

fn after(reply: &Reply) -> Outcome {
    if reply.close {
        Outcome::Close
    } else {
        Outcome::KeepAlive
    }
}

fn write_head(writer: &mut impl Write, reply: &Reply) -> io::Result<()> {
    write!(
        writer,
        "HTTP/1.1 {} {}\r\n",
        reply.status,
        reason(reply.status)
    )?;
    for (name, value) in &reply.headers {
        write!(writer, "{name}: {value}\r\n")?;
    }
    match &reply.delivery {
        Delivery::Pieces { chunked: true, .. } => write!(writer, "Transfer-Encoding: chunked\r\n")?,
        // RFC 9110, section 8.6: no length with a 204; a 304 may go without.
        _ if reply.status == 204 || reply.status == 304 => {}
        Delivery::WrongLength(length) => write!(writer, "Content-Length: {length}\r\n")?,
        _ => write!(writer, "Content-Length: {}\r\n", reply.body.len())?,
    }
    writer.write_all(b"\r\n")
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        409 => "Conflict",
        413 => "Content Too Large",
        418 => "I'm a Teapot",
        425 => "Too Early",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Scripted",
    }
}

/// Returns the bytes as a gzip stream (RFC 1952) of stored blocks (RFC 1951, section 3.2.4): no smaller
/// than they were, and valid.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    // Magic, deflate, no flags, no time, no extra flags, unknown system.
    let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    // A stored block has a length of 16 bits.
    let block_bytes_max = usize::from(u16::MAX);
    let blocks: Vec<&[u8]> = if bytes.is_empty() {
        vec![bytes]
    } else {
        bytes.chunks(block_bytes_max).collect()
    };
    for (index, block) in blocks.iter().enumerate() {
        stream.push(u8::from(index + 1 == blocks.len()));
        let length = u16::try_from(block.len()).expect("chunks are cut to 16 bits");
        stream.extend_from_slice(&length.to_le_bytes());
        stream.extend_from_slice(&(!length).to_le_bytes());
        stream.extend_from_slice(block);
    }
    stream.extend_from_slice(&crc32(bytes).to_le_bytes());
    // RFC 1952, section 2.3.1: the length modulo 2^32.
    let length = (bytes.len() as u64 & u64::from(u32::MAX)) as u32;
    stream.extend_from_slice(&length.to_le_bytes());
    stream
}

/// The checksum of RFC 1952, section 8, bit by bit: its bodies are small.
fn crc32(bytes: &[u8]) -> u32 {
    let remainder = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            let carry = if crc & 1 == 1 { 0xedb8_8320 } else { 0 };
            (crc >> 1) ^ carry
        })
    });
    !remainder
}
