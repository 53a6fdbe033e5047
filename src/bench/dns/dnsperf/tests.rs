use super::*;

const GOOD: &str = "\
DNS Performance Testing Tool
Version 2.10.0

[Status] Testing complete (time limit)

Statistics:

  Queries sent:         294756
  Queries completed:    294756 (100.00%)
  Queries lost:         0 (0.00%)

  Response codes:       NOERROR 294756 (100.00%)
  Average packet size:  request 22, response 69
  Run time (s):         2.000060
  Queries per second:   147373.578793

  Average Latency (s):  0.000166 (min 0.000008, max 0.003795)
  Latency StdDev (s):   0.000136
";

#[test]
fn what_it_prints_is_read() {
    let run = parse(GOOD).unwrap();
    assert_eq!((run.rate, run.sent, run.lost, run.wrong), (147373.578793, 294_756, 0, 0));
    assert!((run.latency - 0.166).abs() < 1e-9, "{run:?}");
}

#[test]
fn only_good_answers_count() {
    let mixed = GOOD.replace("NOERROR 294756 (100.00%)", "NOERROR 73689 (25.00%), REFUSED 221067 (75.00%)");
    let run = parse(&mixed).unwrap();
    assert_eq!(run.wrong, 221_067);
    assert!((run.rate - 147373.578793 / 4.0).abs() < 1e-6, "{run:?}");
}

#[test]
fn what_is_lost_is_told() {
    let some = GOOD
        .replace("completed:    294756 (100.00%)", "completed:    294750 (99.99%)")
        .replace("lost:         0", "lost:         6")
        .replace("NOERROR 294756", "NOERROR 294750");
    assert_eq!(parse(&some).unwrap().lost, 6);
}

/// What it printed of a server that nobody ran.
#[test]
fn a_server_that_answers_nothing_has_no_rate() {
    let none = GOOD
        .replace("completed:    294756 (100.00%)", "completed:    0 (0.00%)")
        .replace("lost:         0", "lost:         294756")
        .replace("NOERROR 294756 (100.00%)", "")
        .replace("147373.578793", "0.000000");
    let why = parse(&none).unwrap_err();
    assert!(why.starts_with("nothing was answered"), "{why}");
}

#[test]
fn anything_missing_twice_or_unlike_itself_is_refused() {
    for line in GOOD.lines().skip_while(|line| *line != "Statistics:").filter(|line| line.contains(':')) {
        // Not used, and so not missed.
        if ["Average packet", "Run time", "Latency StdDev"].iter().any(|key| line.contains(key)) {
            continue;
        }
        assert!(parse(&GOOD.replace(line, "")).is_err(), "without {line:?}");
        assert!(parse(&GOOD.replace(line, &format!("{line}\n{line}"))).is_err() || line == "Statistics:");
    }
    assert!(parse("").is_err());
    assert!(parse(&GOOD.replace("147373.578793", "many")).is_err());
    assert!(parse(&GOOD.replace("147373.578793", "nan")).is_err());
    assert!(parse(&GOOD.replace("NOERROR 294756", "NOERROR 5")).is_err());
    assert!(parse(&GOOD.replace("lost:         0", "lost:         9")).is_err());
}
