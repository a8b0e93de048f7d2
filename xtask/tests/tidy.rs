//! The repository itself is tidy.

#[test]
fn every_file_keeps_the_rules() {
    let problems = xtask::tidy::check(&xtask::workspace::root()).expect("the files can be read");
    let list: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "\n{}\n", list.join("\n"));
}
