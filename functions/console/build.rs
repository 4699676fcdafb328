//! Embeds the page's files in the binary. They are compressed here, and their path contains a
//! digest of all files, so that browsers can cache them forever.

use std::fmt::Write as _;
use std::fs;
use std::io::{Error, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// The pages themselves. Their links are rewritten.
const PAGES: [&str; 2] = ["index.html", "staff.html"];

/// The description of the HTTP API, and the name under which it is served.
const OPENAPI: (&str, &str) = ("../../infra/openapi.yaml", "openapi.json");

fn main() -> Result<(), Error> {
    println!("cargo::rerun-if-changed=assets");
    println!("cargo::rerun-if-changed={}", OPENAPI.0);
    let out = PathBuf::from(
        std::env::var_os("OUT_DIR").ok_or_else(|| Error::other("cargo sets OUT_DIR"))?,
    );
    let mut files = Vec::new();
    collect(Path::new("assets"), "", &mut files)?;
    files.push((OPENAPI.1.to_owned(), json(&fs::read_to_string(OPENAPI.0)?)?));
    files.sort();

    let mut digest = Sha256::new();
    for (name, content) in &files {
        digest.update(name);
        digest.update([0]);
        digest.update(content);
    }
    let version = URL_SAFE_NO_PAD.encode(digest.finalize().get(..12).unwrap_or_default());

    let mut table = format!(
        "/// The digest of all files.\nconst VERSION: &str = {version:?};\n\nconst ASSETS: &[PageAsset] = &[\n"
    );
    for (number, (name, content)) in files.iter().enumerate() {
        let is_page = PAGES.contains(&name.as_str());
        let content = if is_page { versioned(name, content, &version)? } else { content.clone() };
        let (plain, compressed) = (out.join(format!("{number}")), out.join(format!("{number}.gz")));
        fs::write(&plain, &content)?;
        fs::write(&compressed, gzip(&content)?)?;
        let _infallible = writeln!(
            table,
            "    PageAsset {{ name: {name:?}, plain: include_bytes!({plain:?}), gzip: include_bytes!({compressed:?}) }},"
        );
    }
    table.push_str("];\n");
    fs::write(out.join("assets.rs"), table)
}

/// Reads every file under a directory, with its relative path as the name.
fn collect(
    directory: &Path,
    prefix: &str,
    files: &mut Vec<(String, Vec<u8>)>,
) -> Result<(), Error> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry
            .file_name()
            .into_string()
            .map_err(|name| Error::other(format!("{name:?} is not UTF-8")))?;
        let name = format!("{prefix}{name}");
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else {
            files.push((name, fs::read(entry.path())?));
        }
    }
    Ok(())
}

/// Adds the version to the page's links. Imports of modules are relative and need none.
fn versioned(name: &str, page: &[u8], version: &str) -> Result<Vec<u8>, Error> {
    let page = str::from_utf8(page).map_err(|error| Error::other(format!("{name}: {error}")))?;
    Ok(page.replace("\"assets/", &format!("\"assets/{version}/")).into_bytes())
}

/// Converts YAML to JSON.
fn json(yaml: &str) -> Result<Vec<u8>, Error> {
    let documents = Yaml::load_from_str(yaml).map_err(Error::other)?;
    let document = documents.first().ok_or_else(|| Error::other("openapi.yaml is empty"))?;
    Ok(value(document)?.to_string().into_bytes())
}

fn value(yaml: &Yaml<'_>) -> Result<Value, Error> {
    Ok(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => Value::from(*value),
        Yaml::Value(Scalar::Integer(value)) => Value::from(*value),
        Yaml::Value(Scalar::String(value)) => Value::from(value.as_ref()),
        Yaml::Sequence(items) => Value::Array(items.iter().map(value).collect::<Result<_, _>>()?),
        Yaml::Mapping(entries) => {
            let entry = |(key, content): (&Yaml<'_>, &Yaml<'_>)| {
                let key = key.as_str().ok_or_else(|| Error::other(format!("{key:?} is no key")))?;
                Ok::<_, Error>((key.to_owned(), value(content)?))
            };
            Value::Object(entries.iter().map(entry).collect::<Result<_, _>>()?)
        }
        Yaml::Value(Scalar::FloatingPoint(_))
        | Yaml::Tagged(..)
        | Yaml::Representation(..)
        | Yaml::Alias(_)
        | Yaml::BadValue => return Err(Error::other(format!("openapi.yaml has {yaml:?}"))),
    })
}

fn gzip(content: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}
