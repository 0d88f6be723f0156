//! The JSON Schema of a policy, from the types that read it: editors complete and check what the loader would.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::checks::{KINDS, SUMMARIES, Spec};
use crate::spec::{Document, Generic};

/// The schema of a whole policy (draft 2020-12), indented.
#[must_use]
pub fn schema() -> String {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let kinds = Spec::schemas(&mut generator);
    let generic = generator.subschema_for::<Generic>();
    let mut root = generator.into_root_schema_for::<Document>().to_value();
    let definitions = root.get_mut("$defs").and_then(Value::as_object_mut);
    let mut definitions = definitions.map(std::mem::take).unwrap_or_default();
    let generic = taken(&mut definitions, generic.as_value());
    let shared = generic
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let mut branches = Vec::new();
    for ((word, schema), summary) in kinds.iter().zip(SUMMARIES) {
        let own = taken(&mut definitions, schema.as_value());
        branches.push(json!({
            "if": { "properties": { "check": { "const": word } }, "required": ["check"] },
            "then": kind(own, &shared, summary),
        }));
    }
    let check = json!({
        "type": "object",
        "required": ["check"],
        "properties": { "check": { "enum": KINDS, "description": "Kind of check." } },
        "allOf": branches,
    });
    definitions.insert("Check".to_owned(), check);
    let checks = root
        .pointer_mut("/properties/checks")
        .and_then(Value::as_object_mut);
    if let Some(checks) = checks {
        checks.insert(
            "additionalProperties".to_owned(),
            json!({ "$ref": "#/$defs/Check" }),
        );
    }
    if let Some(root) = root.as_object_mut() {
        root.insert("$defs".to_owned(), Value::Object(definitions));
    }
    serde_json::to_string_pretty(&root).unwrap_or_default()
}

/// The keys of one kind and those that every check has, and no others.
fn kind(mut own: Map<String, Value>, shared: &Map<String, Value>, summary: &str) -> Value {
    let properties = own.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = properties.as_object_mut() {
        properties.extend(shared.clone());
    }
    own.insert(
        "description".to_owned(),
        Value::String(summary.trim().to_owned()),
    );
    own.remove("title");
    own.insert("additionalProperties".to_owned(), Value::Bool(false));
    Value::Object(own)
}

/// What a schema is or refers to; a definition that is only used here leaves the others.
fn taken(definitions: &mut Map<String, Value>, schema: &Value) -> Map<String, Value> {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let name = reference.and_then(|reference| reference.strip_prefix("#/$defs/"));
    let found = name.and_then(|name| definitions.remove(name));
    let found = found.unwrap_or_else(|| schema.clone());
    found.as_object().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests;
