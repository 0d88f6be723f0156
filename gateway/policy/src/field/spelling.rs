//! Which spellings of a name are one person to some application.

use unicode_normalization::UnicodeNormalization as _;

/// A user's name as limits and bans compare it: `Ann`, `ann`, `ann ` and `änn` are one person to some application, and an
/// attacker must not get a fresh count by another spelling.
#[must_use]
pub fn folded(user: &str) -> String {
    if user
        .bytes()
        .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    {
        return user.trim().to_ascii_lowercase();
    }
    // Accents, widths and what nobody sees: databases compare `mía`, `ｍia` and `mia` as one, more often than not.
    let letters = user.nfkd().filter(|c| !is_accent(*c) && !invisible(*c));
    let mut plain = String::with_capacity(user.len());
    for letter in letters.flat_map(char::to_lowercase) {
        match letter {
            'ß' => plain.push_str("ss"),
            'ø' => plain.push('o'),
            'ł' => plain.push('l'),
            'đ' => plain.push('d'),
            'ħ' => plain.push('h'),
            'ı' => plain.push('i'),
            _ => plain.push(letter),
        }
    }
    plain.trim().nfc().collect()
}

/// Marks that databases look away from: those of Latin, Greek and Cyrillic letters, and the voice marks of kana. A vowel sign
/// of an Indic script is a letter.
fn is_accent(c: char) -> bool {
    matches!(u32::from(c), 0x300..=0x36F | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0xFE20..=0xFE2F | 0x3099..=0x309A)
}

/// Characters without a shape (Cc, and Default_Ignorable_Code_Point of Unicode 15).
fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
        0xAD | 0x34F | 0x61C | 0x115F..=0x1160 | 0x17B4..=0x17B5 | 0x180B..=0x180F | 0x200B..=0x200F | 0x202A..=0x202E
        | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF0..=0xFFFB | 0x1BCA0..=0x1BCA3
        | 0x1D173..=0x1D17A | 0xE0000..=0xE0FFF)
}
