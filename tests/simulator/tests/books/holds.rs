//! The books notice each thing that is wrong with a hold.

use serde_json::{Value, json};
use tollgate_simulator::captures::{AccountCaptures, SentCapture};
use tollgate_simulator::oracle::account::AccountBooks;
use tollgate_simulator::oracle::holds::HoldEnd;

use super::{HOUR, Tampered, broken, chains, opened_with, prices, row, started};

/// Rows of the fixture's account with holds, up to this number.
fn up_to(seq: usize) -> Tampered {
    Tampered::up_to("holds", seq)
}

#[test]
fn wrong_hold_is_noticed() {
    let made =
        |shares: Value| up_to(3).with([("/x/e/held/shares", shares.clone()), ("/s/h/0/f", shares)]);
    // The grant pays first.
    made(json!([[0, "5"]])).breaks("are held, not [(1, 2000000), (0, 3000000)]");
    made(json!([[0, "3"], [1, "2"]])).breaks("are held, not");
    made(json!([[1, "2"], [0, "10.000001"]])).breaks("12000001 are held, and 12000000 are free");
    made(json!([])).breaks("a hold of 0");
    let until = |expires_at: i64| {
        let expires_at = json!(expires_at);
        up_to(3).with([("/x/e/held/expires_at", expires_at.clone()), ("/s/h/0/x", expires_at)])
    };
    // The grant ends before the hold does.
    until(1_795_392_001).breaks("are held, not [(0, 5000000)]");
    until(1_795_341_780 + 86_401).breaks("a hold for 86401 seconds");
    until(1_795_341_780).breaks("a hold for 0 seconds");
    // It excludes one of the SKUs.
    up_to(3)
        .everywhere(r#""x":1795392000"#, r#""x":1795392000,"e":["tokens"]"#)
        .breaks("are held, not [(0, 5000000)]");
    let frozen = || up_to(3).with_state_before("f", json!({"s": "yes"}));
    frozen().breaks("hold while the account is frozen");
    for (path, value) in [
        ("/s/h/0/f", json!([[0, "5"]])),
        ("/s/h/0/x", json!(1_795_342_381)),
        ("/s/h/0/q", json!(2)),
        ("/s/h", json!([])),
    ] {
        up_to(3).with([(path, value)]).breaks("are open, and the state says");
    }
}

#[test]
fn wrong_extension_is_noticed() {
    let extended = |shares: Value| {
        up_to(5).with([("/x/e/hold_extended/shares", shares.clone()), ("/s/h/0/f", shares)])
    };
    extended(json!([[1, "0.5"], [0, "4"]])).breaks("a hold of 3500000 is extended with 4500000");
    extended(json!([[0, "3.5"]])).breaks("are held on, not");
    let later = |at: i64| {
        let expires_at = json!(at + 3_600);
        up_to(5).attribute("at", &at.to_string()).with([
            ("/t", json!(at)),
            ("/x/e/hold_extended/expires_at", expires_at.clone()),
            ("/s/h/0/x", expires_at),
        ])
    };
    assert_eq!(broken(&later(1_795_342_379).linked().rows), None);
    later(1_795_342_380).breaks("ended at 1795342380");
    up_to(5).with([("/x/e/hold_extended/hold", json!(2))]).breaks("hold 2 is not open");
}

#[test]
fn wrong_capture_is_noticed() {
    let line = |name: &str, value: Value| {
        up_to(4).with([(&format!("/x/e/hold_captured/lines/0/{name}"), value)])
    };
    line("p", json!("q")).breaks("a hold pays for another project");
    line("s", json!("x")).breaks("a hold pays for x, and is not for it");
    line("o", json!(1_795_338_000)).breaks("is not of the hour");
    line("f", json!("1")).breaks("is not of the hour");
    line("t", json!("1.4")).breaks("a capture costs 1400000");
    line("r", json!("1.1")).breaks("a capture has another price");
    // What is held pays first, and the grant of it before paid credit.
    line("h", json!([[0, "-1.5"]])).breaks("a capture is paid by [(0, -1500000)]");
    up_to(4).with([("/x/f", json!([[0, "-1.5", "0"]]))]).breaks("the row moves");
    let left = |left: Value| {
        up_to(4).with([("/x/e/hold_captured/left", left.clone()), ("/s/h/0/f", left)])
    };
    left(json!([[1, "0.5"], [0, "3.5"]])).breaks("it keeps");
    left(json!([[1, "2"], [0, "3"]])).breaks("it keeps");
    up_to(4)
        .with([("/x/e/hold_captured/left", Value::Null)])
        .breaks("are open, and the state says");
    // A hold ends once, and pays in its time.
    up_to(6).twice("7.5").breaks("hold 3 is not open");
    up_to(6)
        .attribute("at", "1795345500")
        .with([("/t", json!(1_795_345_500))])
        .breaks("a hold pays at 1795345500");
}

#[test]
fn wrong_end_of_a_hold_is_noticed() {
    up_to(8).twice("9").breaks("hold 7 is not open");
    up_to(8).with([("/x/e/hold_released/hold", json!(3))]).breaks("hold 3 is not open");
    up_to(11)
        .attribute("at", "1795342739")
        .with([("/t", json!(1_795_342_739))])
        .breaks("expires before its time");
    up_to(11).with([("/x/y", json!("command"))]).breaks("expires before its time");
    up_to(11).with([("/s/h", json!([{"q": 9, "x": 1_795_342_740_i64}]))]).breaks("are open");
    // Closing ends what is open.
    up_to(15)
        .with([("/s/h", json!([{"q": 14, "x": 1_795_343_520_i64, "f": [[0, "0.000001"]]}]))])
        .breaks("are open, and the state says");
}

#[test]
fn wrong_late_capture_is_noticed() {
    let late = || up_to(12);
    late().twice("2.8").breaks("hold 7 is captured late twice");
    late().with([("/x/e/captured_late/hold", json!(3))]).breaks("and was captured");
    late().with([("/x/e/captured_late/hold", json!(8))]).breaks("hold 8 was never made");
    late().with([("/x/e/captured_late/ends", json!("yes"))]).breaks("the hold was Released");
    late().with([("/x/e/captured_late/lines/0/a", json!("-0.2"))]).breaks("a capture costs 100000");
    up_to(16).with([("/x/e/captured_late/ends", json!("no"))]).breaks("the hold was Closed");
    // What has expired without a row is ended by its late capture.
    let mut open = up_to(9);
    open.rows.push(up_to(12).rows.pop().unwrap());
    open.attribute("balance", "8.9")
        .with([("/x/e/captured_late/hold", json!(9))])
        .breaks("the hold was Expired");
}

#[test]
fn wrong_cut_of_a_hold_is_noticed() {
    let refund = |left: Value| {
        up_to(10).with([
            ("/x/h", json!([{"q": 9, "f": left.clone()}])),
            ("/s/h", json!([{"q": 9, "x": 1_795_342_740_i64, "f": left}])),
        ])
    };
    refund(json!([[0, "2"]])).breaks("is left of holds, not {9: [(0, 3000000)]}");
    refund(json!([[0, "4"]])).breaks("is left of holds, not {9: [(0, 3000000)]}");
    up_to(10).with([("/x/h", json!([]))]).breaks("is left of holds");
    // What is released takes nothing from others.
    up_to(8).with([("/x/h", json!([{"q": 3}]))]).breaks("is left of holds, not {}");
}

/// A state with paid credit and a hold of the row before it.
fn holding(paid: &str, seq: u64, expires_at: i64, held: &str) -> Value {
    json!({"c": paid, "h": [{"q": seq, "x": expires_at, "f": [[0, held]]}]})
}

fn held_row(at: i64, balance: &str, expires_at: i64, held: &str, state: &Value) -> Value {
    let shares = json!([[0, held]]);
    let change =
        json!({"project": "p", "skus": ["tokens"], "expires_at": expires_at, "shares": shares});
    row("hold", at, "0", balance, &json!({"e": {"held": change}}), state)
}

#[test]
fn newest_hold_is_cut_first() {
    let (at, expires_at) = (HOUR, HOUR + 600);
    let hold = |seq: u64, held: &str| json!({"q": seq, "x": expires_at, "f": [[0, held]]});
    let both = json!({"c": "10", "h": [hold(2, "4"), hold(3, "5")]});
    let rows = |cuts: Value, left: Value| {
        let mut rows = opened_with("10");
        rows.push(held_row(at, "10", expires_at, "4", &holding("10", 2, expires_at, "4")));
        rows.push(held_row(at, "10", expires_at, "5", &both));
        let event = json!({"e": {"corrected": {}}, "f": [[0, "-7", "0"]], "h": cuts});
        rows.push(row("correction", at, "-7", "3", &event, &json!({"c": "3", "h": left})));
        Tampered { rows }
    };
    let empty = json!({"q": 3, "x": expires_at});
    let right = rows(json!([{"q": 3}, {"q": 2, "f": [[0, "3"]]}]), json!([hold(2, "3"), empty]));
    assert_eq!(broken(&right.linked().rows), None);
    rows(json!([{"q": 3, "f": [[0, "3"]]}, {"q": 2}]), json!([hold(2, "0"), hold(3, "3")]))
        .breaks("is left of holds");
}

#[test]
fn eleventh_hold_is_noticed() {
    let rows = |count: u64| {
        let mut rows = opened_with("100");
        let hold = |seq: u64| json!({"q": seq, "x": HOUR + 600, "f": [[0, "1"]]});
        for seq in 2..2 + count {
            let holds: Vec<Value> = (2..=seq).map(hold).collect();
            let state = json!({"c": "100", "h": holds});
            rows.push(held_row(HOUR, "100", HOUR + 600, "1", &state));
        }
        Tampered { rows }
    };
    assert_eq!(broken(&rows(10).linked().rows), None);
    rows(11).breaks("a hold beside 10 others");
}

/// A machine at a dollar an hour, and a hold that leaves so much for its next hour.
fn running(held: &str, expires_at: i64) -> Vec<Value> {
    let mut rows = opened_with("10");
    let (period, billed) = (
        json!({"f": HOUR, "t": HOUR + 3_600, "u": "1"}),
        json!({"k": {"instance": 1}, "r": "1", "q": 2}),
    );
    let with = |mut state: Value| {
        (state["p"], state["b"]) = (period.clone(), billed.clone());
        state
    };
    let line = json!(["a", "1", 3_600, "-1", 0]);
    let start = json!({"e": started("a", "vm100", &line, HOUR + 3_600), "f": [[0, "-1"]]});
    rows.push(row("started", HOUR, "-1", "9", &start, &with(json!({"c": "9"}))));
    let state = with(holding("9", 3, expires_at, held));
    rows.push(held_row(HOUR + 60, "9", expires_at, held, &state));
    rows
}

#[test]
fn time_is_not_paid_with_what_is_held() {
    let hour = |held: &str, expires_at: i64| {
        let mut rows = running(held, expires_at);
        let (from, through) = (HOUR + 3_600, HOUR + 7_200);
        let usage = json!({"f": from, "t": through, "l": [["a", "1", 3_600, "-1", 0]]});
        let mut state = holding("8", 3, expires_at, held);
        state["p"] = json!({"f": from, "t": through, "u": "1"});
        state["b"] = json!({"k": {"instance": 1}, "r": "1", "q": 2});
        let event = json!({"e": {"u": usage}, "f": [[0, "-1"]]});
        rows.push(row("usage", from, "-1", "8", &event, &state));
        Tampered { rows }
    };
    assert_eq!(broken(&hour("8", HOUR + 7_200).linked().rows), None);
    hour("8.1", HOUR + 7_200).breaks("the credit does not pay a");
    hour("8", HOUR + 3_600).breaks("hold 3 has expired and still keeps credit");
}

#[test]
fn suspension_leaves_what_is_held() {
    let suspended = |floor: Option<&str>, expires_at: i64| {
        let mut rows = running("9", expires_at);
        let (at, delete_at) = (HOUR + 3_600, HOUR + 3_600 + 3 * 86_400);
        let warn_at = delete_at - 86_400;
        let change = json!({"as_of": at, "reason": "credit", "delete_at": delete_at,
            "warn_at": warn_at, "lines": []});
        let mut state = holding("9", 3, expires_at, "9");
        state["s"] = json!({"suspended": {"o": at, "x": delete_at, "w": warn_at}});
        if let Some(floor) = floor {
            state["s"]["suspended"]["l"] = json!(floor);
        }
        rows.push(row("suspended", at, "0", "9", &json!({"e": {"suspended": change}}), &state));
        Tampered { rows }
    };
    assert_eq!(broken(&suspended(None, HOUR + 7_200).linked().rows), None);
    suspended(Some("9"), HOUR + 7_200).breaks("the account is Suspended");
    // By then the hold keeps nothing.
    suspended(None, HOUR + 3_600).breaks("hold 3 has expired and still keeps credit");
}

/// The captures of the fixture, as they were sent and answered.
fn captures() -> AccountCaptures {
    let sent = |hold: &str, key: Option<&str>, quantity: &str, body: Value, answer: Value| {
        let mut body = body;
        body["usage"] = json!([{"sku": "call", "quantity": quantity}]);
        let mut answer = answer;
        answer["id"] = json!(hold);
        let amount = answer["captured"].clone();
        answer["lines"] =
            json!([{"sku": "call", "quantity": quantity, "rate": "1.00", "amount": amount}]);
        let key = key.map(str::to_owned);
        SentCapture { hold: hold.to_owned(), key, body, answer: Some(answer) }
    };
    let answer = |status: &str, captured: &str, held: &str, balance: &str, available: &str| {
        json!({"status": status, "captured": captured, "held": held, "balance": balance,
            "available": available})
    };
    let (part, last) = (json!({"final": false}), json!({}));
    let of_part = answer("open", "1.50", "3.50", "10.50", "7.00");
    let of_last = answer("captured", "1.50", "0.00", "9.00", "9.00");
    let late = |balance: &str| answer("captured", "0.10", "0.00", balance, balance);
    let of_closed = answer("captured", "1.00", "0.00", "1.80", "1.80");
    let captures = vec![
        sent("hold-3", Some("key-2"), "1.5", part, of_part),
        sent("hold-3", None, "1.5", last.clone(), of_last),
        sent("hold-7", None, "0.1", last.clone(), late("2.90")),
        sent("hold-9", None, "0.1", last.clone(), late("2.80")),
        sent("hold-14", None, "1", last, of_closed),
    ];
    let shown = json!({"id": "hold-3", "project": "p", "skus": ["call", "tokens"],
        "amount": "5.00", "status": "open"});
    AccountCaptures { captures, shown: vec![shown] }
}

#[test]
fn answers_of_captures_are_those_of_rows() {
    let (mut books, rows) = (AccountBooks::default(), chains().remove("holds").unwrap());
    for row in &rows {
        books.add(row, &prices(&Value::Null)).unwrap();
    }
    let check = |change: &dyn Fn(&mut AccountCaptures)| {
        let mut captures = captures();
        change(&mut captures);
        books.holds.check_answers(&captures)
    };
    assert_eq!(check(&|_| {}), Ok(()));
    // Nobody needs to hear of a capture.
    assert_eq!(check(&|sent| sent.captures[1].answer = None), Ok(()));
    // Another request is answered by the capture that ended the hold.
    let again = |sent: &mut AccountCaptures, place: usize| {
        let again = SentCapture { key: Some("k-3".to_owned()), ..sent.captures[place].clone() };
        sent.captures.push(again);
    };
    assert_eq!(check(&|sent| again(sent, 1)), Ok(()));
    assert_eq!(check(&|sent| again(sent, 2)), Ok(()));

    let noticed = |rule: &str, change: &dyn Fn(&mut AccountCaptures)| {
        let why = check(change).expect_err(rule);
        assert!(why.contains(rule), "{why}, not: {rule}");
    };
    // A part has a row of its own.
    noticed("no row bills", &|sent| again(sent, 0));
    for (path, value) in [
        ("/captured", json!("1.51")),
        ("/held", json!("3.00")),
        ("/balance", json!("10.00")),
        ("/available", json!("10.50")),
        ("/status", json!("captured")),
        ("/lines", json!([])),
        ("/lines/0/quantity", json!("1.6")),
        ("/lines/0/rate", json!("1.10")),
    ] {
        noticed("no row bills", &|sent| {
            let answer = sent.captures[0].answer.as_mut().unwrap();
            *answer.pointer_mut(path).unwrap() = value.clone();
        });
    }
    noticed("captures what nobody sent", &|sent| _ = sent.captures.remove(1));
    noticed("captures what nobody sent", &|sent| sent.captures[0].body["final"] = json!(true));
    noticed("captures what nobody sent", &|sent| {
        sent.captures[2].body["usage"][0]["quantity"] = json!("0.2");
    });
    for (name, value) in [
        ("id", json!("hold-4")),
        ("amount", json!("5.01")),
        ("skus", json!(["call"])),
        ("project", json!("q")),
        ("status", json!("released")),
    ] {
        let change = |sent: &mut AccountCaptures| sent.shown[0][name] = value.clone();
        assert!(check(&change).is_err(), "{name}");
    }
}

#[test]
fn hold_is_shown_as_it_ended() {
    for (end, shown) in [
        (HoldEnd::Open, ["open", "expired"]),
        (HoldEnd::Captured, ["open", "captured"]),
        (HoldEnd::Released, ["open", "released"]),
        (HoldEnd::Expired, ["open", "expired"]),
    ] {
        for status in ["open", "captured", "released", "expired"] {
            let may_be = end.may_be_shown_as(status);
            assert_eq!(may_be, shown.contains(&status), "{end:?} as {status}");
        }
    }
}
