//! Compares the documents with their subjects. `functions/README.md` has every route and trigger
//! with its row, `infra/RUNBOOK.md` every alarm, `infra/PARAMETERS.md` every parameter and
//! variable, `infra/NOTICES.md` every mailed event, `infra/INTEGRATE.md` the tested consumer. Files
//! and links named in them exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tollgate::domain::command::Command;
use tollgate::domain::event::Change;
use tollgate::views::domain_event::DomainEventDetail;
use tollgate_local::template::Template;

/// Documents with tables or links that are checked.
const DOCUMENTS: [&str; 10] = [
    "README.md",
    "functions/README.md",
    "shared/README.md",
    "infra/README.md",
    "infra/INTEGRATE.md",
    "infra/NOTICES.md",
    "infra/PARAMETERS.md",
    "infra/RUNBOOK.md",
    "infra/SCALE.md",
    "tests/simulator/README.md",
];

/// A list of names, and a match that does not compile when a variant has none.
macro_rules! names {
    ($list:ident, $type:ty { $($pattern:pat => $name:literal,)+ }) => {
        const $list: &[&str] = &[$($name),+];
        const _: fn(&$type) -> &'static str = |value| match value { $($pattern => $name),+ };
    };
}

names!(COMMANDS, Command {
    Command::Open => "Open",
    Command::Credit { .. } => "Credit",
    Command::AwaitPayment(_) => "AwaitPayment",
    Command::EndPayment { .. } => "EndPayment",
    Command::Grant { .. } => "Grant",
    Command::Create { .. } => "Create",
    Command::Start { .. } => "Start",
    Command::FailStart(_) => "FailStart",
    Command::Stop { .. } => "Stop",
    Command::Delete { .. } => "Delete",
    Command::OpenMeter(_) => "OpenMeter",
    Command::Hold { .. } => "Hold",
    Command::ExtendHold { .. } => "ExtendHold",
    Command::CaptureHold { .. } => "CaptureHold",
    Command::CaptureLate { .. } => "CaptureLate",
    Command::ReleaseHold { .. } => "ReleaseHold",
    Command::WithdrawGrant { .. } => "WithdrawGrant",
    Command::SetBudget { .. } => "SetBudget",
    Command::RemoveBudget { .. } => "RemoveBudget",
    Command::Suspend { .. } => "Suspend",
    Command::Resume { .. } => "Resume",
    Command::ConfirmDeletion { .. } => "ConfirmDeletion",
    Command::Close { .. } => "Close",
    Command::CloseByCustomer { .. } => "CloseByCustomer",
    Command::Reopen { .. } => "Reopen",
    Command::Erase { .. } => "Erase",
    Command::StartTrial { .. } => "StartTrial",
    Command::ChangeRefill(_) => "ChangeRefill",
    Command::FollowCards { .. } => "FollowCards",
    Command::RefillNow => "RefillNow",
    Command::RemoveCard { .. } => "RemoveCard",
    Command::BeginRefill { .. } => "BeginRefill",
    Command::AskCustomer { .. } => "AskCustomer",
    Command::FailRefill { .. } => "FailRefill",
    Command::ChooseRestartPolicy(_) => "ChooseRestartPolicy",
    Command::TakeBack { .. } => "TakeBack",
    Command::BeginRefund { .. } => "BeginRefund",
    Command::ConfirmRefund { .. } => "ConfirmRefund",
    Command::UndoRefund { .. } => "UndoRefund",
    Command::GiveBack { .. } => "GiveBack",
    Command::OpenDispute { .. } => "OpenDispute",
    Command::CloseDispute { .. } => "CloseDispute",
    Command::ChangeDispute { .. } => "ChangeDispute",
    Command::MoveDispute { .. } => "MoveDispute",
    Command::WarnOfFraud { .. } => "WarnOfFraud",
    Command::Freeze { .. } => "Freeze",
    Command::Unfreeze { .. } => "Unfreeze",
    Command::Correct { .. } => "Correct",
    Command::Import(_) => "Import",
});

/// A table of a document: the heading above it, and its lines by column.
struct Table {
    heading: String,
    lines: Vec<BTreeMap<String, String>>,
}

fn repository() -> PathBuf {
    tollgate_local::build::repository()
}

fn read(document: &str) -> String {
    let path = repository().join(document);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn tables(document: &str) -> Vec<Table> {
    let (mut tables, mut heading, mut columns) = (Vec::<Table>::new(), String::new(), Vec::new());
    for line in read(document).lines() {
        if let Some(title) = line.strip_prefix('#') {
            heading = title.trim_start_matches('#').trim().to_owned();
        }
        let Some(cells) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            columns.clear();
            continue;
        };
        let cells: Vec<String> = cells.split('|').map(|cell| cell.trim().to_owned()).collect();
        if columns.is_empty() {
            columns = cells;
            tables.push(Table { heading: heading.clone(), lines: Vec::new() });
        } else if !cells[0].starts_with("---") {
            assert_eq!(cells.len(), columns.len(), "{document}: {line}");
            let line = columns.iter().cloned().zip(cells).collect();
            tables.last_mut().unwrap().lines.push(line);
        }
    }
    tables
}

/// The texts between backticks.
fn code(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The code in a column of all tables that have it.
fn column(document: &str, name: &str) -> BTreeSet<String> {
    let found: BTreeSet<String> = tables(document)
        .iter()
        .flat_map(|table| &table.lines)
        .filter_map(|line| line.get(name))
        .flat_map(|cell| code(cell))
        .collect();
    assert!(!found.is_empty(), "{document} has no column {name:?}");
    found
}

fn assert_same<T: Ord + std::fmt::Debug>(documented: &BTreeSet<T>, real: &BTreeSet<T>) {
    let missing: Vec<_> = real.difference(documented).collect();
    let unknown: Vec<_> = documented.difference(real).collect();
    assert!(missing.is_empty(), "not documented: {missing:#?}");
    assert!(unknown.is_empty(), "documented, and not there: {unknown:#?}");
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn template() -> Value {
    Template::of_this_repository().unwrap().document().clone()
}

/// Resources of the template of one type.
fn resources<'t>(template: &'t Value, of_type: &str) -> Vec<(&'t String, &'t Value)> {
    let all = template["Resources"].as_object().unwrap().iter();
    let found: Vec<_> = all.filter(|(_, resource)| resource["Type"] == of_type).collect();
    assert!(!found.is_empty(), "no {of_type}");
    found
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

/// Every route and trigger of the template, with its function.
fn wired() -> BTreeSet<(String, String)> {
    let template = template();
    let mut wired = BTreeSet::new();
    for (_, function) in resources(&template, "AWS::Serverless::Function") {
        let name = text(&function["Metadata"]["BuildProperties"]["Binary"]);
        for event in function["Properties"]["Events"].as_object().into_iter().flatten() {
            let (kind, properties) = (&event.1["Type"], &event.1["Properties"]);
            let triggers = match kind.as_str().unwrap() {
                "HttpApi" => {
                    vec![format!("{} {}", text(&properties["Method"]), text(&properties["Path"]))]
                }
                "ScheduleV2" => {
                    vec![format!("schedule `{}`", text(&properties["ScheduleExpression"]))]
                }
                "SQS" => vec![format!("queue `{}`", text(&properties["Queue"]["Fn::GetAtt"][0]))],
                "DynamoDB" => {
                    vec![format!("stream `{}`", text(&properties["Stream"]["Fn::GetAtt"][0]))]
                }
                "EventBridgeRule" => {
                    let types = properties["Pattern"]["detail-type"].as_array().unwrap().iter();
                    types.map(|kind| format!("bus `{}`", text(kind))).collect()
                }
                other => panic!("the documents do not know triggers of type {other}"),
            };
            wired.extend(triggers.into_iter().map(|trigger| (trigger, name.clone())));
        }
    }
    for (name, _) in resources(&template, "AWS::CloudFormation::CustomResource") {
        wired.insert((format!("custom resource `{name}`"), "deployment-check".to_owned()));
    }
    wired
}

/// Every route and trigger of `functions/README.md`, with the function that its line names, or else
/// the heading.
fn described() -> BTreeSet<(String, String)> {
    let mut described = BTreeSet::new();
    for table in tables("functions/README.md") {
        for line in &table.lines {
            let function = line.get("function").unwrap_or(&table.heading);
            let names = code(function);
            let routes = line.get("route").map(|cell| code(cell)).unwrap_or_default();
            let triggers = line.get("trigger").into_iter().flat_map(|cell| cell.split(", "));
            let triggers = triggers.filter(|trigger| !trigger.is_empty()).map(str::to_owned);
            for trigger in routes.into_iter().chain(triggers) {
                described.insert((trigger, names[0].clone()));
            }
        }
    }
    described
}

#[test]
fn functions_readme_has_each_route_and_trigger() {
    assert_same(&described(), &wired());
}

#[test]
fn functions_readme_has_each_command_row_and_event() {
    assert_same(&column("functions/README.md", "command"), &set(COMMANDS));
    let kinds = Change::names().map(str::to_owned).collect();
    assert_same(&column("functions/README.md", "row"), &kinds);
    let events = set(DomainEventDetail::NAMES);
    assert_same(&column("functions/README.md", "events"), &events);
}

#[test]
fn files_that_decide_exist() {
    let domain = repository().join("shared/src/domain");
    for file in column("functions/README.md", "decided in") {
        assert!(domain.join(&file).is_file(), "there is no shared/src/domain/{file}");
    }
}

/// A path in a document starts at the repository, at the document's folder, or at `shared/src`.
#[test]
fn main_files_of_functions_have_less_than_thirty_lines() {
    for function in std::fs::read_dir(repository().join("functions")).unwrap() {
        let main = function.unwrap().path().join("src/main.rs");
        let Ok(text) = std::fs::read_to_string(&main) else { continue };
        assert!(text.lines().count() < 30, "{}", main.display());
    }
}

#[test]
fn paths_in_documents_exist() {
    let mut checked = 0;
    for document in DOCUMENTS {
        let folder = repository().join(document).parent().unwrap().to_owned();
        let roots = [repository(), folder, repository().join("shared/src")];
        let prose = read(document);
        let prose = prose.split("```").step_by(2).flat_map(code);
        let is_path = |text: &String| {
            let has_ending = [".rs", ".yaml", ".md"].iter().any(|ending| text.ends_with(ending));
            text.contains('/') && has_ending && !text.contains(['<', ' '])
        };
        for path in prose.filter(is_path) {
            // The column next to the commands has its own root.
            let is_decision = path.starts_with("decide/") || path.starts_with("settle/");
            let is_there = roots.iter().any(|root| root.join(&path).is_file());
            assert!(is_decision || is_there, "{document} names {path}");
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} paths were found");
}

#[test]
fn runbook_has_each_alarm() {
    let template = template();
    let alarms = resources(&template, "AWS::CloudWatch::Alarm").into_iter().map(|(_, alarm)| {
        let name = text(&alarm["Properties"]["AlarmName"]["Fn::Sub"]);
        name.strip_prefix("tollgate-${Stage}-").unwrap().to_owned()
    });
    assert_same(&column("infra/RUNBOOK.md", "alarm"), &alarms.collect());
}

#[test]
fn parameters_has_each_parameter_with_its_default() {
    let template = template();
    let mut expected: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (name, parameter) in template["Parameters"].as_object().unwrap() {
        #[allow(clippy::wildcard_enum_match_arm, reason = "every other kind of value is a default")]
        let default = match &parameter["Default"] {
            Value::Null => Some("required".to_owned()),
            Value::String(empty) if empty.is_empty() => None,
            Value::String(default) => Some(default.clone()),
            default => Some(default.to_string()),
        };
        expected.insert(name.clone(), default);
    }
    let mut described = BTreeMap::new();
    for line in tables("infra/PARAMETERS.md").iter().flat_map(|table| &table.lines) {
        let Some(name) = line.get("parameter") else { continue };
        let default = &line["default"];
        let default =
            if default == "required" { Some(default.clone()) } else { code(default).pop() };
        for name in code(name) {
            described.insert(name, default.clone());
        }
    }
    assert_eq!(described, expected);
}

#[test]
fn parameters_has_each_variable_that_the_template_sets() {
    let template = template();
    let functions = resources(&template, "AWS::Serverless::Function");
    let own = functions.iter().map(|(_, function)| &function["Properties"]["Environment"]);
    let all = own.chain([&template["Globals"]["Function"]["Environment"]]);
    let set: BTreeSet<String> = all
        .filter_map(|environment| environment["Variables"].as_object())
        .flat_map(|variables| variables.keys().cloned())
        .collect();
    let described = column("infra/PARAMETERS.md", "variable");
    let missing: Vec<_> = set.difference(&described).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn notices_has_each_event_that_is_mailed() {
    let template = template();
    let pattern = &template["Resources"]["NoticeRule"]["Properties"]["EventPattern"];
    let mailed = pattern["detail-type"].as_array().unwrap().iter().map(text);
    assert_same(&column("infra/NOTICES.md", "event"), &mailed.collect());
}

#[test]
fn integrate_shows_the_consumer_that_is_tested() {
    let consumer = include_str!("consumer.rs");
    let (_, consumer) = consumer.split_once("\n\n").unwrap();
    let consumer = consumer.replace("pub(crate) ", "pub ");
    let shown = read("infra/INTEGRATE.md");
    assert!(shown.contains(&format!("```rust\n{consumer}```\n")), "infra/INTEGRATE.md differs");
}

#[test]
fn links_lead_to_files_and_headings() {
    for document in DOCUMENTS {
        let text = read(document);
        let folder = repository().join(document).parent().unwrap().to_owned();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let path =
                if file.is_empty() { repository().join(document) } else { folder.join(file) };
            assert!(path.exists(), "{document} links to {link}");
            assert!(
                heading.is_empty() || has_heading(&path, heading),
                "{document} links to {link}"
            );
        }
    }
}

/// Whether a document has a heading with this address, which is its text as GitHub writes it.
fn has_heading(document: &Path, address: &str) -> bool {
    let address_of = |title: &str| -> String {
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
    };
    let text = std::fs::read_to_string(document).unwrap();
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles.map(|line| address_of(line.trim_start_matches('#'))).any(|title| title == address)
}
