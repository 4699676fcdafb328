//! The page's files, embedded by `build.rs`.

#[derive(Clone, Copy, Debug)]
pub(crate) struct PageAsset {
    name: &'static str,
    pub(crate) plain: &'static [u8],
    pub(crate) gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The name of the Billing page itself.
const PAGE: &str = "index.html";
/// The name of the staff page itself.
const STAFF_PAGE: &str = "staff.html";
/// The name of the API description.
const OPENAPI: &str = "openapi.json";

impl PageAsset {
    pub(crate) fn page() -> Option<PageAsset> {
        PageAsset::named(PAGE)
    }

    pub(crate) fn staff_page() -> Option<PageAsset> {
        PageAsset::named(STAFF_PAGE)
    }

    /// The API description.
    pub(crate) fn openapi() -> Option<PageAsset> {
        PageAsset::named(OPENAPI)
    }

    /// Finds a file by version and name. Other versions are not found, because browsers would cache
    /// the answer forever.
    pub(crate) fn versioned(name: &str) -> Option<PageAsset> {
        PageAsset::named(name.strip_prefix(VERSION)?.strip_prefix('/')?)
            .filter(|asset| ![PAGE, STAFF_PAGE, OPENAPI].contains(&asset.name))
    }

    /// The entity tag. It changes whenever any file changes.
    pub(crate) fn tag(&self) -> String {
        format!("\"{VERSION}\"")
    }

    /// The content type, by file extension.
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
