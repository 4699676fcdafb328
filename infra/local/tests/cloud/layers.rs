//! Imports of the library go one way: from a module only to the modules below it, and between two
//! files only in one direction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The modules, lowest first. `lib.rs` and `main.rs` are above them.
const LAYERS: [&str; 4] = ["runtime", "template", "aws", "control"];

/// Files by their module, such as `aws::queues::api`. The root is the empty name.
type Sources = BTreeMap<String, String>;

/// The imports of each module.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn imports_go_one_way() {
    let mut sources = Sources::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "", &mut sources);
    sources.remove("main");
    assert!(sources.contains_key("aws::queues::api"), "the sources are not found");
    let imports = imports(&sources);
    assert_eq!(upward(&imports), Vec::<String>::new());
    assert_eq!(cycle(&imports), None);
}

#[test]
fn circles_and_upward_imports_are_found() {
    let of = |files: &[(&str, &str)]| {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        imports(&files.iter().map(own).collect())
    };
    let upward_import =
        of(&[("runtime::clock", "use crate::aws::queues::Queues;"), ("aws::queues", "")]);
    assert_eq!(upward(&upward_import), ["runtime::clock imports aws::queues"]);
    let of_the_root = of(&[("aws::queues", "use crate::Cloud;"), ("", "pub use aws::queues;")]);
    assert_eq!(upward(&of_the_root), ["aws::queues imports lib.rs"]);
    let by_braces = of(&[
        ("aws::queues", "mod api;\nuse crate::aws::{self, lambda::{Lambda, process}};"),
        ("aws::queues::api", "use super::Messages;"),
        ("aws::lambda::process", "fn f() { crate::aws::queues::api::handle() }"),
    ]);
    assert_eq!(
        cycle(&by_braces).unwrap(),
        ["aws::lambda::process", "aws::queues::api", "aws::queues", "aws::lambda::process"]
    );
    let of_a_child = of(&[
        ("aws::queues", "mod api;\nfn f() { api::handle() }"),
        ("aws::queues::api", "use crate::aws::queues::Queues;"),
    ]);
    assert!(cycle(&of_a_child).is_some());
    let in_comments_and_tests = of(&[
        ("runtime::clock", "//! See crate::aws::queues.\n#[cfg(test)]\nuse crate::aws::queues;"),
        ("aws::queues", "use crate::runtime::clock;"),
    ]);
    assert_eq!((upward(&in_comments_and_tests), cycle(&in_comments_and_tests)), (vec![], None));
}

fn read(directory: &Path, module: &str, sources: &mut Sources) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let own = match (module, name) {
            ("", "lib") => String::new(),
            ("", name) => name.to_owned(),
            (module, name) => format!("{module}::{name}"),
        };
        if path.is_dir() {
            read(&path, &own, sources);
        } else {
            sources.insert(own, std::fs::read_to_string(&path).unwrap());
        }
    }
}

fn imports(sources: &Sources) -> Imports {
    let of =
        |(module, text): (&String, &String)| (module.clone(), imports_of(module, text, sources));
    sources.iter().map(of).collect()
}

/// The modules that a file names: by `crate::`, by `super::`, or as a child of its own.
fn imports_of(module: &str, text: &str, sources: &Sources) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n").replace("pub(super)", "");
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        expand("", &code[at + "crate::".len()..], &mut paths);
    }
    let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    for (at, _) in code.match_indices("super::") {
        expand(parent, &code[at + "super::".len()..], &mut paths);
    }
    let children = code.lines().filter_map(|line| {
        let (_, name) = line.trim().strip_suffix(';')?.rsplit_once("mod ")?;
        Some(name)
    });
    for child in children {
        let named = |(at, _): (usize, &str)| !code[..at].ends_with([':', '_']);
        if code.match_indices(&format!("{child}::")).any(named) {
            paths.push(join(module, child));
        }
    }
    let mut imported: BTreeSet<String> =
        paths.iter().map(|path| module_of(path, sources)).collect();
    imported.remove(module);
    imported
}

/// The paths that `text` begins with: one, or several in braces.
fn expand(base: &str, text: &str, paths: &mut Vec<String>) {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    if !name.is_empty() {
        let path = if name == "self" { base.to_owned() } else { join(base, name) };
        match rest.strip_prefix("::") {
            Some(rest) => expand(&path, rest, paths),
            None => paths.push(path),
        }
    } else if let Some(inside) = rest.strip_prefix('{') {
        let mut depth = 0_u32;
        let mut start = 0;
        for (at, letter) in inside.char_indices() {
            match letter {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    let item = inside[start..at].trim();
                    if !item.is_empty() {
                        expand(base, item, paths);
                    }
                    start = at + 1;
                    if letter == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    } else {
        paths.push(base.to_owned());
    }
}

fn join(base: &str, name: &str) -> String {
    if base.is_empty() { name.to_owned() } else { format!("{base}::{name}") }
}

/// The file that a path is in: the longest beginning of it that is a module.
fn module_of(path: &str, sources: &Sources) -> String {
    let mut module = path;
    while !sources.contains_key(module) && !module.is_empty() {
        module = module.rsplit_once("::").map_or("", |(parent, _)| parent);
    }
    module.to_owned()
}

fn upward(imports: &Imports) -> Vec<String> {
    let height = |module: &str| {
        let layer = module.split("::").next().unwrap_or_default();
        LAYERS.iter().position(|own| *own == layer).unwrap_or(LAYERS.len())
    };
    let arrows = imports.iter().flat_map(|(from, to)| to.iter().map(move |to| (from, to)));
    arrows
        .filter(|(from, to)| height(from) < height(to))
        .map(|(from, to)| {
            format!("{from} imports {}", if to.is_empty() { "lib.rs" } else { to.as_str() })
        })
        .collect()
}

/// One cycle of imports, from a module back to itself.
fn cycle(imports: &Imports) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    imports.keys().find_map(|module| visit(module, imports, &mut Vec::new(), &mut done))
}

fn visit(
    module: &str,
    imports: &Imports,
    way: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(first) = way.iter().position(|own| own == module) {
        way.push(module.to_owned());
        return Some(way.split_off(first));
    }
    if done.contains(module) {
        return None;
    }
    way.push(module.to_owned());
    let next = imports.get(module).into_iter().flatten();
    let found = next.into_iter().find_map(|next| visit(next, imports, way, done));
    if found.is_none() {
        way.pop();
        done.insert(module.to_owned());
    }
    found
}
