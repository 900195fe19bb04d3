//! The reference of the spec, written from the definition itself.

use std::fmt::Write as _;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};

/// Fields that every block has, explained once.
const COMMON: [&str; 8] = [
    "imagePullPolicy",
    "imagePullSecrets",
    "env",
    "nodeSelector",
    "tolerations",
    "affinity",
    "podOverrides",
    "resources",
];

/// `docs/spec.md`: every field of the spec with its type, default, meaning and rules.
pub fn markdown(definition: &CustomResourceDefinition) -> String {
    let mut text = "# The spec of a MesosCloud\n\n\
        Written from the CustomResourceDefinition by `make docs`; every default stands in its schema.\n"
        .to_owned();
    let schema = definition
        .spec
        .versions
        .first()
        .and_then(|v| v.schema.as_ref()?.open_api_v3_schema.as_ref());
    let spec = schema.and_then(|s| s.properties.as_ref()?.get("spec"));
    let blocks = spec.and_then(|s| s.properties.as_ref());
    for (name, block) in blocks.into_iter().flatten() {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n## {name}\n\n{}\n\n",
            one_line(block.description.as_deref())
        );
        text.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
        rows(&mut text, "", block, &|field| !COMMON.contains(&field));
        text.push_str(&rules(block));
    }
    text.push_str("\n## In every block\n\n| field | type | meaning |\n|---|---|---|\n");
    let common = blocks.and_then(|b| b.values().next()?.properties.as_ref());
    for (name, field) in common
        .into_iter()
        .flatten()
        .filter(|(name, _)| COMMON.contains(&name.as_str()))
    {
        let _ = writeln!(
            text,
            "| `{name}` | {} | {} |",
            type_of(field),
            one_line(field.description.as_deref())
        );
    }
    if let Some(spec) = spec {
        text.push_str(&rules(spec));
    }
    text
}

fn rows(text: &mut String, path: &str, schema: &JSONSchemaProps, wanted: &dyn Fn(&str) -> bool) {
    for (name, field) in schema
        .properties
        .iter()
        .flatten()
        .filter(|(name, _)| wanted(name))
    {
        let full = format!("{path}{name}");
        if field.properties.is_some() {
            rows(text, &format!("{full}."), field, &|_| true);
            continue;
        }
        let default = field
            .default
            .as_ref()
            .map(|d| format!("`{}`", d.0))
            .unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| `{full}` | {} | {default} | {}{} |",
            type_of(field),
            one_line(field.description.as_deref()),
            messages(field).fold(String::new(), |all, message| all + " *Rule: " + message + ".*")
        );
    }
}

fn rules(schema: &JSONSchemaProps) -> String {
    messages(schema).fold(String::new(), |mut text, message| {
        // Writing to a String cannot fail.
        let _ = write!(text, "\nRule: {message}.\n");
        text
    })
}

fn messages(schema: &JSONSchemaProps) -> impl Iterator<Item = &str> {
    schema
        .x_kubernetes_validations
        .iter()
        .flatten()
        .filter_map(|rule| rule.message.as_deref())
}

fn type_of(schema: &JSONSchemaProps) -> String {
    let plain = schema.type_.as_deref().unwrap_or("any");
    match (plain, &schema.enum_, &schema.items) {
        (_, Some(words), _) => words
            .iter()
            .map(|w| format!("`{}`", w.0))
            .collect::<Vec<_>>()
            .join(", "),
        ("array", _, Some(JSONSchemaPropsOrArray::Schema(item))) => format!("list of {}", type_of(item)),
        _ => plain.to_owned(),
    }
}

fn one_line(text: Option<&str>) -> String {
    text.unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace('|', "\\|")
}
