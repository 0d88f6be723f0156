//! parityEven7bit, parityOdd7bit, parityZero7bit: the eighth bit set from the other seven, or cleared.

pub(super) fn even(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend(
        input
            .iter()
            .map(|b| if odd_ones(*b) { b | 0x80 } else { b & 0x7f }),
    );
    out != input
}

pub(super) fn odd(input: &[u8], out: &mut Vec<u8>) -> bool {
    out.extend(
        input
            .iter()
            .map(|b| if odd_ones(*b) { b & 0x7f } else { b | 0x80 }),
    );
    out != input
}

pub(super) fn zero(input: &[u8], out: &mut Vec<u8>) -> bool {
    if input.is_ascii() {
        return false;
    }
    out.extend(input.iter().map(|b| b & 0x7f));
    true
}

/// ModSecurity counts all eight bits, the one it is about to set included.
const fn odd_ones(byte: u8) -> bool {
    byte.count_ones() % 2 == 1
}
