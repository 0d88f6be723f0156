//! Which bytes a transformation acts on. A value without them is left as it is, and the plan does not even call it:
//! for ordinary values one test of a bitmap stands for a whole pipeline.

use crate::{bytes::ByteSet, transform::Transform};

/// Without one of these bytes `transform` changes nothing. Larger than needed is safe, smaller is not.
pub(super) fn triggers(transform: Transform) -> ByteSet {
    use Transform as T;
    match transform {
        T::None => ByteSet::EMPTY,
        T::Base64Decode
        | T::Base64DecodeExt
        | T::Base64Encode
        | T::HexDecode
        | T::HexEncode
        | T::Length
        | T::Md5
        | T::Sha1
        | T::UrlEncode
        | T::ParityEven7bit
        | T::ParityOdd7bit
        | T::ParityZero7bit => ByteSet::ALL,
        // A run without a capital letter is not decoded.
        T::Base64Embedded | T::Lowercase => range(b'A', b'Z'),
        T::Uppercase => range(b'a', b'z'),
        T::CmdLine => range(b'A', b'Z')
            .union(space())
            .union(ByteSet::of(b"\\\"'^,;")),
        T::CompressWhitespace | T::RemoveWhitespace | T::Trim | T::TrimLeft | T::TrimRight => {
            space()
        }
        T::CssDecode | T::EscapeSeqDecode | T::JsDecode | T::UnicodeEscapeDecode => {
            ByteSet::of(b"\\")
        }
        T::FoldWidth => range(0xe2, 0xf0).union(ByteSet::of(b"\xca")),
        T::HtmlEntityDecode => ByteSet::of(b"&"),
        T::NormalizePath | T::NormalizePathWin => ByteSet::of(b"/\\."),
        T::RemoveComments | T::RemoveCommentsChar | T::ReplaceComments => ByteSet::of(b"/*-#<>!"),
        T::RemoveNulls | T::ReplaceNulls => ByteSet::of(b"\0"),
        T::SqlHexDecode => ByteSet::of(b"xX"),
        T::UrlDecode | T::UrlDecodeUni => ByteSet::of(b"%+"),
        // Two NUL bytes in a row are an "overlong" pair to it.
        T::Utf8ToUnicode => range(0x80, 0xFF).union(ByteSet::of(b"\0")),
    }
}

/// Whether `transform` makes nothing but what its input has: it moves bytes, leaves some out, makes them lower-case, and
/// adds at most what `added` says. What comes out is never longer than the input.
pub(super) fn only_moves(transform: Transform) -> bool {
    use Transform as T;
    match transform {
        T::None
        | T::Lowercase
        | T::CmdLine
        | T::CompressWhitespace
        | T::NormalizePath
        | T::NormalizePathWin
        | T::RemoveCommentsChar
        | T::RemoveNulls
        | T::RemoveWhitespace
        | T::ReplaceComments
        | T::ReplaceNulls
        | T::Trim
        | T::TrimLeft
        | T::TrimRight => true,
        // One byte longer at times: it copies a terminator.
        T::RemoveComments
        | T::Base64Decode
        | T::Base64DecodeExt
        | T::Base64Embedded
        | T::Base64Encode
        | T::CssDecode
        | T::EscapeSeqDecode
        | T::FoldWidth
        | T::HexDecode
        | T::HexEncode
        | T::HtmlEntityDecode
        | T::JsDecode
        | T::Length
        | T::Md5
        | T::ParityEven7bit
        | T::ParityOdd7bit
        | T::ParityZero7bit
        | T::Sha1
        | T::SqlHexDecode
        | T::UnicodeEscapeDecode
        | T::UrlDecode
        | T::UrlDecodeUni
        | T::UrlEncode
        | T::Utf8ToUnicode => false,
        // Makes the capitals that others act on.
        T::Uppercase => false,
    }
}

/// The bytes that one which `only_moves` adds to a value that holds one of some others.
pub(super) fn added(transform: Transform) -> Option<(ByteSet, ByteSet)> {
    use Transform as T;
    let blank = ByteSet::of(b" ");
    match transform {
        T::CmdLine => Some((space().union(ByteSet::of(b",;")), blank)),
        T::CompressWhitespace => Some((space(), blank)),
        T::ReplaceNulls => Some((ByteSet::of(b"\0"), blank)),
        T::ReplaceComments => Some((ByteSet::of(b"/"), blank)),
        T::NormalizePathWin => Some((ByteSet::of(b"\\"), ByteSet::of(b"/"))),
        _ => None,
    }
}

fn range(first: u8, last: u8) -> ByteSet {
    let mut set = ByteSet::EMPTY;
    set.insert_range(first, last);
    set
}

/// White space as any of the transformations understands it: ASCII, NUL, and the no-break space in both encodings.
fn space() -> ByteSet {
    ByteSet::of(b"\0 \t\n\x0b\x0c\r\x85\xa0\xc2")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn without_a_trigger_nothing_changes(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            for transform in Transform::all() {
                let triggers = triggers(transform);
                let quiet: Vec<u8> = bytes.iter().copied().filter(|&byte| !triggers.contains(byte)).collect();
                let mut out = Vec::new();
                prop_assert!(quiet.is_empty() || !transform.apply(&quiet, &mut out), "{transform:?} {quiet:?}");
            }
        }

        #[test]
        fn what_only_moves_makes_nothing_new(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(&b" /*\\.,;-#<!>\0\t\xc2\xa0aA"[..])], 0..40),
        ) {
            for transform in Transform::all().filter(|transform| only_moves(*transform)) {
                let mut out = Vec::new();
                if transform.apply(&bytes, &mut out) {
                    let own = ByteSet::of(&bytes);
                    let more = added(transform).filter(|(by, _)| by.intersects(own));
                    let all = more.map_or(own, |(_, more)| own.union(more)).lowercase();
                    prop_assert!(out.len() <= bytes.len(), "{transform:?} {bytes:?}");
                    prop_assert!(ByteSet::of(&out).lowercase().is_within(all), "{transform:?} {bytes:?} {out:?}");
                }
            }
        }
    }
}
