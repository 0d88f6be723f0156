//! Writes small databases in MaxMind's format (version 2.0, 32-bit records, IPv6 tree) for tests.

#![expect(clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;

/// A database whose records are `(network, value)`, more specific ones last.
pub(crate) fn write(records: &[(&str, Value)]) -> Vec<u8> {
    let mut tree = vec![[None, None]];
    let mut data = Vec::new();
    for (network, value) in records {
        let offset = data.len();
        encode(value, 5, &mut data);
        let network: ipnet::IpNet = network.parse().unwrap_or_else(|_| panic!("{network}"));
        // IPv4 lives in ::/96.
        let (bits, length) = match network {
            ipnet::IpNet::V4(four) => (u128::from(four.network().to_bits()), four.prefix_len() + 96),
            ipnet::IpNet::V6(six) => (six.network().to_bits(), six.prefix_len()),
        };
        insert(&mut tree, bits, length, Some(Leaf::Data(offset)));
    }
    let nodes = tree.len();
    let mut file = Vec::new();
    for node in &tree {
        for record in node {
            let value = match record {
                None => nodes,
                Some(Leaf::Node(node)) => *node,
                Some(Leaf::Data(offset)) => nodes + 16 + offset,
            };
            file.extend(u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    let metadata = serde_json::json!({
        "binary_format_major_version": 2, "binary_format_minor_version": 0, "build_epoch": 1_800_000_000u64,
        "database_type": "Test", "description": {"en": "for tests"}, "ip_version": 6, "languages": ["en"],
        "node_count": nodes, "record_size": 32,
    });
    encode(&metadata, 5, &mut file);
    file
}

#[derive(Debug, Clone, Copy)]
enum Leaf {
    Node(usize),
    Data(usize),
}

type Node = [Option<Leaf>; 2];

fn insert(tree: &mut Vec<Node>, bits: u128, length: u8, leaf: Option<Leaf>) {
    let mut at = 0;
    for depth in 0..length {
        let side = usize::from(bits >> (127 - depth) & 1 == 1);
        if depth + 1 == length {
            tree[at][side] = leaf;
            return;
        }
        at = match tree[at][side] {
            Some(Leaf::Node(next)) => next,
            // What covered the whole covers both halves until one is replaced.
            covering => {
                tree.push([covering, covering]);
                let next = tree.len() - 1;
                tree[at][side] = Some(Leaf::Node(next));
                next
            }
        };
    }
}

/// `kind` is that of numbers: 5, 6 and 9 for 16, 32 and 64 bits. Readers want each field in its own.
fn encode(value: &Value, kind: u8, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => {
            head(2, text.len(), out);
            out.extend(text.as_bytes());
        }
        Value::Number(number) => {
            let number = number.as_u64().unwrap_or_default();
            let bytes: Vec<u8> = number.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect();
            head(kind, bytes.len(), out);
            out.extend(bytes);
        }
        Value::Object(map) => {
            head(7, map.len(), out);
            for (key, value) in map {
                encode(&Value::String(key.clone()), kind, out);
                let kind = match key.as_str() {
                    "build_epoch" => 9,
                    "node_count" | "autonomous_system_number" => 6,
                    _ => 5,
                };
                encode(value, kind, out);
            }
        }
        Value::Array(list) => {
            head(11, list.len(), out);
            for value in list {
                encode(value, kind, out);
            }
        }
        Value::Bool(truth) => head(14, usize::from(*truth), out),
        Value::Null => panic!("there is no null"),
    }
}

/// Control byte, with the second one of the extended types; sizes up to 284.
fn head(kind: u8, size: usize, out: &mut Vec<u8>) {
    let (short, more) = if size < 29 { (size, None) } else { (29, Some(size - 29)) };
    let short = u8::try_from(short).unwrap_or(0);
    match kind {
        1..=7 => out.push(kind << 5 | short),
        _ => out.extend([short, kind - 7]),
    }
    out.extend(more.map(|more| u8::try_from(more).unwrap_or_else(|_| panic!("too long"))));
}
