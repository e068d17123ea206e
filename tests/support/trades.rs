//! Messages of a trade stream, encoded once, for what measures how fast they are read.

/// The bytes of one message.
pub const MESSAGE_BYTES: usize = 200;

/// Returns the WebSocket frames of so many trades of an exchange, as a server sends them.
pub fn trade_frames(messages: usize) -> Vec<u8> {
    let mut frames = Vec::with_capacity(messages * (MESSAGE_BYTES + 4));
    for number in 0..messages {
        let head = format!(
            r#"{{"e":"trade","E":{},"s":"BTCUSDT","t":{},"p":"{}.{:02}","q":"0.{:05}","T":{},"m":{},"M":true,"x":""#,
            1_767_225_600_000_usize + number,
            4_000_000_000_usize + number,
            90_000 + number % 1000,
            number % 100,
            number % 99_999,
            1_767_225_600_000_usize + number,
            number % 2 == 0,
        );
        let pad = "x".repeat(MESSAGE_BYTES - head.len() - 2);
        // RFC 6455 section 5.2: a final text frame with a length of 16 bits.
        frames.extend([0x81, 126]);
        frames.extend((MESSAGE_BYTES as u16).to_be_bytes());
        frames.extend(head.as_bytes());
        frames.extend(pad.as_bytes());
        frames.extend(b"\"}");
    }
    frames
}
