//! WebSocket messages (RFC 6455) that come back: one at a time on each connection.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use bytes::Buf as _;
use tokio::io::AsyncWriteExt as _;

use crate::tally::Tally;
use crate::wire::{Answer, Dial, Wire};
use crate::work::Work;

/// A message that came back.
const ECHO: Answer = Answer {
    status: 200,
    open: true,
    told_when: false,
};

pub(crate) async fn run(dial: Arc<Dial>, work: Arc<Work>, tally: Arc<Tally>, message: usize) {
    let frame = masked(message);
    while !work.over() {
        let talked = talk(&dial, &work, &tally, &frame).await;
        if let Err(fault) = talked {
            tally.broke(&fault);
            return;
        }
    }
}

async fn talk(dial: &Dial, work: &Work, tally: &Tally, frame: &[u8]) -> io::Result<()> {
    let mut wire = Wire::new(dial.connect().await?);
    tally.connected();
    let request = work.requests().first();
    let request = request.ok_or(io::ErrorKind::InvalidInput)?;
    wire.stream.write_all(request).await?;
    let head = wire.head().await?;
    if head.status != 101 {
        return Err(io::Error::other(format!("{} instead of 101", head.status)));
    }
    while let Some(turn) = work.next().await {
        let sent = Instant::now();
        wire.stream.write_all(frame).await?;
        wire.stream.flush().await?;
        let length = length(&mut wire).await?;
        wire.fill(length).await?;
        wire.buffer.advance(length);
        tally.answer(&ECHO, turn.due, sent);
    }
    Ok(())
}

/// Reads a frame's head: how long its data is. Nothing longer than 64 KiB is sent here.
async fn length(wire: &mut Wire) -> io::Result<usize> {
    wire.fill(2).await?;
    let _kind = wire.buffer.get_u8();
    match wire.buffer.get_u8() & 0x7f {
        126 => {
            wire.fill(2).await?;
            Ok(usize::from(wire.buffer.get_u16()))
        }
        127 => Err(io::ErrorKind::InvalidData.into()),
        short => Ok(usize::from(short)),
    }
}

/// A binary frame, masked as clients must.
fn masked(length: usize) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x82];
    match u8::try_from(length) {
        Ok(short) if short < 126 => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 126);
            let wide = u16::try_from(length).unwrap_or(u16::MAX);
            frame.extend_from_slice(&wide.to_be_bytes());
        }
    }
    let length = length.min(usize::from(u16::MAX));
    frame.extend_from_slice(&MASK);
    frame.extend(
        (0..length)
            .zip(MASK.into_iter().cycle())
            .map(|(_, mask)| mask ^ 0x61),
    );
    frame
}
