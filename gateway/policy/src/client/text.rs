//! An address as text, on the stack. The general formatter takes a thousand instructions for four numbers, and every
//! request has an address to be written twice.

use std::fmt::{self, Write};
use std::net::IpAddr;

/// The longest form of IPv6, with four numbers at its end.
const LONGEST: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct AddressText {
    bytes: [u8; LONGEST],
    length: usize,
}

impl AddressText {
    /// What `Display` of the address gives.
    #[must_use]
    pub fn new(address: IpAddr) -> Self {
        let mut text = Self {
            bytes: [0; LONGEST],
            length: 0,
        };
        // The longest address fits.
        let _ = match address {
            IpAddr::V4(address) => {
                let [a, b, c, d] = address.octets();
                text.number(a);
                for number in [b, c, d] {
                    text.push(b'.');
                    text.number(number);
                }
                Ok(())
            }
            IpAddr::V6(address) => write!(text, "{address}"),
        };
        text
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    fn number(&mut self, number: u8) {
        if number > 99 {
            self.push(b'0' + number / 100);
        }
        if number > 9 {
            self.push(b'0' + number / 10 % 10);
        }
        self.push(b'0' + number % 10);
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }
}

impl Write for AddressText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.push(byte));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn says_what_the_general_formatter_says(address in any::<IpAddr>()) {
            let text = AddressText::new(address);
            prop_assert_eq!(text.as_str(), address.to_string());
        }
    }

    #[test]
    fn has_room_for_the_longest() {
        for text in [
            "255.255.255.255",
            "::ffff:255.255.255.255",
            "1111:2222:3333:4444:5555:6666:7777:8888",
        ] {
            let address = text.parse::<IpAddr>();
            assert_eq!(
                address.map(|address| AddressText::new(address).as_str().to_owned()),
                Ok(text.to_owned())
            );
        }
    }
}
