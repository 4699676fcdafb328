//! Which route a request takes.
//!
//! The most specific wins: a full match, then one with a greedy `{proxy+}`, then `$default`; among
//! full matches, earlier fixed segments beat parameters, and a method beats `ANY`.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::template::wiring::Route;

/// A route with the values of its parameters.
#[derive(Clone, Debug)]
pub(super) struct Matched<'a> {
    pub(super) route: &'a Route,
    pub(super) parameters: BTreeMap<String, String>,
}

/// How specific a match is, from the first segment on; less is more specific.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Segment {
    Fixed,
    Parameter,
    Greedy,
}

pub(super) fn find<'a>(routes: &'a [Route], method: &str, path: &str) -> Option<Matched<'a>> {
    let fitting = routes.iter().filter(|route| route.path != "$default");
    let fitting = fitting.filter(|route| route.method == method || route.method == "ANY");
    let found = fitting.filter_map(|route| {
        let (segments, parameters) = matches(&route.path, path)?;
        let is_greedy = segments.contains(&Segment::Greedy);
        Some(((is_greedy, segments, route.method == "ANY"), Matched { route, parameters }))
    });
    let best = found.min_by(|(left, _), (right, _)| left.cmp(right)).map(|(_, matched)| matched);
    best.or_else(|| {
        let default = routes.iter().find(|route| route.path == "$default")?;
        Some(Matched { route: default, parameters: BTreeMap::new() })
    })
}

fn matches(pattern: &str, path: &str) -> Option<(Vec<Segment>, BTreeMap<String, String>)> {
    let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut segments = Vec::new();
    let mut parameters = BTreeMap::new();
    let mut rest = path.strip_prefix('/')?.split('/');
    for wanted in pattern.strip_prefix('/')?.split('/') {
        let name = wanted.strip_prefix('{').and_then(|wanted| wanted.strip_suffix('}'));
        if let Some(name) = name.and_then(|name| name.strip_suffix('+')) {
            let tail = rest.by_ref().collect::<Vec<_>>().join("/");
            if tail.is_empty() {
                return None;
            }
            parameters.insert(name.to_owned(), decode(&tail));
            segments.push(Segment::Greedy);
            continue;
        }
        let given = rest.next()?;
        match name {
            Some(_) if given.is_empty() => return None,
            Some(name) => {
                parameters.insert(name.to_owned(), decode(given));
                segments.push(Segment::Parameter);
            }
            None if wanted == given => segments.push(Segment::Fixed),
            None => return None,
        }
    }
    rest.next().is_none().then_some((segments, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::wiring::RouteAuthorizer;

    #[test]
    fn the_most_specific_route_wins() {
        let route = |key: &str| {
            let (method, path) = key.split_once(' ').unwrap_or(("ANY", key));
            let (method, path) = (method.to_owned(), path.to_owned());
            Route {
                method,
                path,
                function: String::new(),
                authorizer: RouteAuthorizer::None,
                timeout_ms: 1,
            }
        };
        let routes: Vec<Route> = [
            "GET /things",
            "ANY /things",
            "GET /things/{thing}",
            "GET /things/new",
            "GET /things/{thing}/parts/{part}",
            "ANY /things/{rest+}",
            "$default",
        ]
        .map(route)
        .into();
        let check = |method: &str, path: &str, key: &str, parameters: &[(&str, &str)]| {
            let matched = find(&routes, method, path).unwrap();
            assert_eq!(matched.route.key(), key, "{method} {path}");
            let found: Vec<_> = matched
                .parameters
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            assert_eq!(found, parameters, "{method} {path}");
        };
        check("GET", "/things", "GET /things", &[]);
        check("PUT", "/things", "ANY /things", &[]);
        check("GET", "/things/new", "GET /things/new", &[]);
        check("GET", "/things/a%20b", "GET /things/{thing}", &[("thing", "a b")]);
        check(
            "GET",
            "/things/1/parts/2",
            "GET /things/{thing}/parts/{part}",
            &[("part", "2"), ("thing", "1")],
        );
        check("PUT", "/things/1", "ANY /things/{rest+}", &[("rest", "1")]);
        check("GET", "/things/1/2/3", "ANY /things/{rest+}", &[("rest", "1/2/3")]);
        check("GET", "/things/", "$default", &[]);
        check("GET", "/other", "$default", &[]);
        assert!(find(&routes[..6], "GET", "/other").is_none());
    }
}
