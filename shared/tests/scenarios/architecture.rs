//! The layout is the architecture: imports between the layers of `shared/src` go one way, and no
//! files import each other in a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The imports that each module may have. A module may always import itself.
const LAYERS: [(&str, &[&str]); 7] = [
    ("domain", &[]),
    ("views", &["domain"]),
    ("store", &["domain", "views"]),
    ("runtime", &["domain", "views", "store"]),
    ("stripe", &["domain", "runtime"]),
    ("payments", &["domain", "views", "store", "runtime", "stripe"]),
    ("http", &["domain", "views", "store", "runtime", "stripe", "payments"]),
];

/// The only circular import. The two files hold one recursive type: an error from Stripe holds its
/// payment, and a payment holds its last error.
const RECURSIVE: (&str, &str) = ("stripe::error", "stripe::objects");

#[test]
fn no_room_imports_a_room_above_it() {
    let allowed: BTreeMap<_, _> = LAYERS.into_iter().collect();
    let mut upward = Vec::new();
    for (file, imports) in imports_by_module() {
        let Some(may_import) = allowed.get(layer(&file)) else { continue };
        for import in imports {
            if layer(&import) != layer(&file) && !may_import.contains(&layer(&import)) {
                upward.push(format!("{file} imports {import}"));
            }
        }
    }
    assert!(upward.is_empty(), "these imports go up:\n{}", upward.join("\n"));
}

#[test]
fn paths_are_found_in_use_lines_and_in_code() {
    let file = "//! crate::a\n#![allow(x)]\nuse crate::b::{C, d::E};\npub(super) fn f(x: &super::g::H) \
                -> crate::i::J {}\nuse super::super::k;\n#[cfg(test)]\nuse crate::l;";
    let found = paths_used("layer::place::file", file);
    let expected = ["b::C", "b::d::E", "layer::k", "layer::place::g::H", "i::J"];
    assert_eq!(BTreeSet::from_iter(&found), BTreeSet::from_iter(&expected.map(str::to_owned)));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut imports = imports_by_module();
    let removed = imports.get_mut(RECURSIVE.0).is_some_and(|found| found.remove(RECURSIVE.1));
    assert!(removed, "{RECURSIVE:?} is no longer needed");
    for start in imports.keys() {
        if let Some(cycle) = way_back(&imports, start) {
            panic!("a cycle of imports: {}", cycle.join(" -> "));
        }
    }
}

#[test]
fn every_file_is_in_a_room() {
    let layers: BTreeSet<_> = LAYERS.into_iter().map(|(layer, _)| layer).collect();
    for module in imports_by_module().keys() {
        assert!(layers.contains(layer(module)), "{module} is in no layer");
    }
}

/// [`Rate`](tollgate::domain::money::Rate) reads stored totals, which may be larger than any price.
#[test]
fn request_bodies_name_no_unchecked_rate() {
    let functions = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions");
    let mut seen = 0;
    for file in files_below(&functions) {
        let text = fs::read_to_string(&file).unwrap();
        for body in text.split("Deserialize)]").skip(1) {
            let body = body.split("\n}").next().unwrap_or(body);
            seen += 1;
            for unchecked in [": Rate", "<Rate", ": Price,", "<Price>"] {
                assert!(!body.contains(unchecked), "{}: {unchecked}{body}", file.display());
            }
        }
    }
    assert!(seen > 15, "{seen}");
}

/// A search for a type's name finds that type alone. Types of the same name in different crates are
/// legal Rust, and readers mistake one for the other.
#[test]
fn no_two_public_types_have_one_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for folder in ["functions", "infra", "shared", "tests"] {
        for file in files_below(&root.join(folder)) {
            let text = fs::read_to_string(&file).unwrap();
            for name in public_types(&text) {
                places.entry(name).or_default().push(file.display().to_string());
            }
        }
    }
    assert!(places.len() > 300, "{}", places.len());
    places.retain(|_, files| files.len() > 1);
    assert!(places.is_empty(), "names of several public types: {places:#?}");
}

#[test]
fn public_types_are_found_in_declarations_and_macros() {
    let file = "pub struct A(u8);\n    pub enum B<T> {\npub(crate) struct C;\npub trait D: E {}\n\
                pub type F = A;\n/// pub struct G\npub fn h() {}\nids! {\n    /// K, 9;\n    \
                I, 255;\n    J, 64;\n}\nvec! {\n    L, 1;\n}\n";
    assert_eq!(public_types(file), ["A", "B", "D", "F", "I", "J"]);
}

/// The names of the public types that a file declares, those of the macro `ids!` included.
fn public_types(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut in_ids = false;
    for line in text.lines() {
        match line {
            "ids! {" => in_ids = true,
            "}" => in_ids = false,
            _ => {}
        }
        let line = line.trim_start();
        let declared = ["struct ", "enum ", "trait ", "type ", "union "]
            .iter()
            .find_map(|keyword| line.strip_prefix("pub ")?.strip_prefix(keyword));
        let is_listed = in_ids && !line.starts_with("///");
        let listed = is_listed.then(|| line.strip_suffix(';')?.split_once(", ")).flatten();
        // A macro's own `$name` is no name.
        let declared = declared.map(|rest| {
            rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next()
        });
        let name = declared.flatten().or(listed.map(|(name, _)| name));
        names.extend(name.filter(|name| !name.is_empty()).map(str::to_owned));
    }
    names
}

fn layer(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

/// The shortest way from a module back to itself, if there is one.
fn way_back(imports: &BTreeMap<String, BTreeSet<String>>, start: &str) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = (!ways.is_empty()).then(|| ways.remove(0)) {
        for next in imports.get(way.last()?).into_iter().flatten() {
            let longer = way.iter().chain([next]).cloned().collect();
            if next == start {
                return Some(longer);
            }
            if seen.insert(next) {
                ways.push(longer);
            }
        }
    }
    None
}

/// Every module of `shared/src` with the modules that it names. A module and its own
/// children count as one place: they are not listed as imports of each other.
fn imports_by_module() -> BTreeMap<String, BTreeSet<String>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let modules: BTreeMap<String, String> = files_below(&source)
        .into_iter()
        .filter_map(|file| {
            let name = file.strip_prefix(&source).unwrap().with_extension("");
            let name = name.to_str().unwrap().replace('/', "::");
            (name != "lib").then(|| (name, fs::read_to_string(&file).unwrap()))
        })
        .collect();
    let names: BTreeSet<_> = modules.keys().cloned().collect();
    let imports = |name: &String, text: &String| {
        let found = paths_used(name, text).into_iter().filter_map(|path| module_of(&path, &names));
        let found = found.filter(|import| !is_same_place(name, import)).collect();
        (name.clone(), found)
    };
    modules.iter().map(|(name, text)| imports(name, text)).collect()
}

fn is_same_place(one: &str, other: &str) -> bool {
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    long == short || long.starts_with(&format!("{short}::"))
}

/// The deepest module that a path leads to.
fn module_of(path: &str, names: &BTreeSet<String>) -> Option<String> {
    let parts: Vec<_> = path.split("::").collect();
    (1..=parts.len()).rev().map(|end| parts[..end].join("::")).find(|name| names.contains(name))
}

/// Every path inside the crate that a file names, in `use` lines and elsewhere. Comments and tests
/// at its end are left out.
fn paths_used(module: &str, text: &str) -> Vec<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or(text);
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join(" ");
    let paths = code.split(';').flat_map(|statement| match statement.split_once("use ") {
        Some((before, tree)) if is_whole_item(before) => {
            leaves(tree.trim()).into_iter().chain(inline_paths(before)).collect()
        }
        Some(_) | None => inline_paths(statement),
    });
    paths.filter_map(|path| path_in_crate(module, &path)).collect()
}

/// Whether what stands before a `use` leaves it a statement of its own.
fn is_whole_item(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with(['}', ']', ')']) || before.ends_with("pub")
}

/// The paths that begin with `crate::` or `super::`.
fn inline_paths(code: &str) -> Vec<String> {
    let words = code.split(|character: char| {
        !character.is_alphanumeric() && character != '_' && character != ':'
    });
    let paths = words.filter(|word| word.starts_with("crate::") || word.starts_with("super::"));
    paths.map(|path| path.trim_end_matches(':').to_owned()).collect()
}

/// The path from the root of the crate, if it leads there.
fn path_in_crate(module: &str, path: &str) -> Option<String> {
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    let path = path.strip_prefix("super::")?;
    path_in_crate(parent, path).or_else(|| Some(format!("{parent}::{path}")))
}

/// `a::{b, c::{d}}` as `a::b`, `a::c::d`.
fn leaves(tree: &str) -> Vec<String> {
    let Some((head, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap_or(tree).trim().to_owned()];
    };
    let inner = rest.trim_end().strip_suffix('}').unwrap_or(rest);
    let (mut depth, mut parts, mut part) = (0_i32, Vec::new(), String::new());
    for character in inner.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if character == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part));
        } else {
            part.push(character);
        }
    }
    parts.push(part);
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(leaves).map(|leaf| format!("{}{leaf}", head.trim())).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
