//! The page's files, as `build.rs` put them into the binary.

#[derive(Clone, Copy, Debug)]
pub(crate) struct PageAsset {
    name: &'static str,
    pub(crate) plain: &'static [u8],
    pub(crate) gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The name of the page itself.
const PAGE: &str = "index.html";
/// The name of the description of the HTTP API.
const OPENAPI: &str = "openapi.json";

impl PageAsset {
    pub(crate) fn page() -> Option<PageAsset> {
        PageAsset::named(PAGE)
    }

    /// The description of the HTTP API.
    pub(crate) fn openapi() -> Option<PageAsset> {
        PageAsset::named(OPENAPI)
    }

    /// A file by its name with the version before it. Under another version's name there is
    /// nothing: it would be kept for good.
    pub(crate) fn versioned(name: &str) -> Option<PageAsset> {
        PageAsset::named(name.strip_prefix(VERSION)?.strip_prefix('/')?)
            .filter(|asset| ![PAGE, OPENAPI].contains(&asset.name))
    }

    /// Changes whenever any file does.
    pub(crate) fn tag(&self) -> String {
        format!("\"{VERSION}\"")
    }

    /// By the end of its name.
    pub(crate) fn content_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, kind)| kind) {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("json") => "application/json",
            Some("svg") => "image/svg+xml",
            Some(_) | None => "text/plain; charset=utf-8",
        }
    }

    fn named(name: &str) -> Option<PageAsset> {
        ASSETS.iter().find(|asset| asset.name == name).copied()
    }
}
