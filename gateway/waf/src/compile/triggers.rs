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
        T::CssDecode | T::EscapeSeqDecode | T::JsDecode => ByteSet::of(b"\\"),
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
    }
}
