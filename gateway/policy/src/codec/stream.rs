//! Decoders in a row, each behind a meter. Nothing here keeps more than a window per coding: 32 KiB for gzip and deflate,
//! 8 MiB for zstd, 16 MiB for br.

use std::cell::Cell;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};

use super::{Bounds, Coding, Codings, Fault, Opened};

/// Output that needs no excuse: short texts of one repeated byte compress a thousandfold.
const FREE: usize = 64 << 10;
/// Expansion of a layer that is only a step to the next one. Without it, gzip in gzip costs a million bytes of work a byte.
const STEP_RATIO: usize = 100;
/// RFC 9659: what a browser must be able to open.
const ZSTD_WINDOW_LOG: u32 = 23;
/// One read of the last decoder.
const PIECE: usize = 16 << 10;

/// Opens `input` into `out`, which is emptied first and never grows past `bounds.output`. Without codings it is a copy.
///
/// # Errors
/// See [`Fault`]; `out` then holds what had been opened until there.
pub fn open(
    codings: &Codings,
    input: &[u8],
    bounds: Bounds,
    out: &mut Vec<u8>,
) -> Result<Opened, Fault> {
    out.clear();
    if input.is_empty() {
        return Ok(Opened::Whole);
    }
    let expanded = Cell::new(false);
    let meter = |ratio: usize| Meter {
        left: input.len().saturating_mul(ratio).max(FREE),
        expanded: &expanded,
    };
    let mut source: Box<dyn BufRead + '_> = Box::new(input);
    let mut layers = codings.outwards();
    while let Some(coding) = layers.next() {
        let last = layers.len() == 0;
        let decoder = decoder(coding, source).map_err(|_| Fault::Corrupt)?;
        let ratio = if last {
            bounds.ratio
        } else {
            STEP_RATIO.min(bounds.ratio)
        };
        source = Box::new(BufReader::with_capacity(
            PIECE,
            Metered {
                decoder,
                meter: meter(ratio),
            },
        ));
    }
    let result = drain(&mut *source, bounds.output, out);
    match result {
        _ if expanded.get() => Err(Fault::Expansion),
        Ok(opened) => Ok(opened),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(Opened::Cut),
        Err(_) => Err(Fault::Corrupt),
    }
}

fn drain(source: &mut dyn BufRead, most: usize, out: &mut Vec<u8>) -> io::Result<Opened> {
    loop {
        let piece = source.fill_buf()?;
        if piece.is_empty() {
            return Ok(Opened::Whole);
        }
        let room = most.saturating_sub(out.len());
        let taken = piece.get(..room).unwrap_or(piece);
        out.extend_from_slice(taken);
        let (taken, length) = (taken.len(), piece.len());
        if taken < length {
            return Ok(Opened::Full);
        }
        source.consume(taken);
    }
}

fn decoder<'i>(
    coding: Coding,
    mut source: Box<dyn BufRead + 'i>,
) -> io::Result<Box<dyn Read + 'i>> {
    Ok(match coding {
        Coding::Gzip => Box::new(MultiGzDecoder::new(source)),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
        Coding::Deflate => {
            // A bare stream that begins like this would have set bits that every encoder leaves clear.
            let zlib = source
                .fill_buf()?
                .first()
                .is_some_and(|byte| byte & 15 == 8);
            Box::new(Pump::new(source, Decompress::new(zlib)))
        }
        Coding::Brotli => {
            let alloc = StandardAlloc::default;
            let state = BrotliState::new_strict(alloc(), alloc(), alloc());
            Box::new(Pump::new(source, Box::new(state)))
        }
    })
}

/// Ends a decoder that has written more than it may.
struct Metered<'m, R> {
    decoder: R,
    meter: Meter<'m>,
}

struct Meter<'m> {
    left: usize,
    expanded: &'m Cell<bool>,
}

impl<R: Read> Read for Metered<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.decoder.read(buffer)?;
        match self.meter.left.checked_sub(length) {
            Some(left) => self.meter.left = left,
            None => {
                self.meter.expanded.set(true);
                return Err(ErrorKind::InvalidData.into());
            }
        }
        Ok(length)
    }
}

/// A decoder that works from slice to slice.
trait Machine {
    /// Bytes taken, bytes written, whether this was the end.
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize, bool)>;
}

/// Feeds a machine, and notices what the readers of its crate forgive: input that ends early or goes on after the end.
struct Pump<'i, M> {
    source: Box<dyn BufRead + 'i>,
    machine: M,
    ended: bool,
}

impl<'i, M: Machine> Pump<'i, M> {
    fn new(source: Box<dyn BufRead + 'i>, machine: M) -> Self {
        Self {
            source,
            machine,
            ended: false,
        }
    }
}

impl<M: Machine> Read for Pump<'_, M> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.source.fill_buf()?;
            if self.ended {
                return if input.is_empty() {
                    Ok(0)
                } else {
                    Err(ErrorKind::InvalidData.into())
                };
            }
            let (taken, written, ended) = self.machine.step(input, buffer)?;
            if taken == 0 && written == 0 && !ended {
                // Without input this is where the message ends; with input it would be for ever.
                return Err(if input.is_empty() {
                    ErrorKind::UnexpectedEof.into()
                } else {
                    ErrorKind::InvalidData.into()
                });
            }
            self.source.consume(taken);
            self.ended = ended;
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

impl Machine for Decompress {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        let (before_in, before_out) = (self.total_in(), self.total_out());
        let status = self
            .decompress(input, output, FlushDecompress::None)
            .map_err(|_| ErrorKind::InvalidData)?;
        let moved = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        Ok((
            moved(self.total_in(), before_in),
            moved(self.total_out(), before_out),
            status == Status::StreamEnd,
        ))
    }
}

impl Machine for Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>> {
    fn step(&mut self, input: &[u8], output: &mut [u8]) -> io::Result<(usize, usize, bool)> {
        let (mut left, mut taken) = (input.len(), 0);
        let (mut room, mut written, mut total) = (output.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut left,
            &mut taken,
            input,
            &mut room,
            &mut written,
            output,
            &mut total,
            self,
        );
        match result {
            BrotliResult::ResultFailure => Err(ErrorKind::InvalidData.into()),
            BrotliResult::ResultSuccess => Ok((taken, written, true)),
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {
                Ok((taken, written, false))
            }
        }
    }
}
