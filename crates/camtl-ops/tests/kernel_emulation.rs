//! The CUDA kernels without a GPU: their unmodified sources run in an emulator of a
//! thread block and are compared with float64, and planted bugs must be noticed.

#[path = "emulator/compile.rs"]
mod compile;
#[path = "emulator/planted.rs"]
mod planted;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    time::{Duration, Instant},
};

use compile::Compiler;
use planted::PLANTED;

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("csrc/cuda")
}

#[test]
fn kernels_agree_with_float64_and_notice_planted_bugs() {
    let compiler = Compiler::new();
    let harness = compiler.harness(&kernels());
    let units = compiler.units(&kernels());

    let objects: Vec<PathBuf> = harness.iter().chain(units.values()).cloned().collect();
    let program = compiler.link("kernels", &objects);
    let output = Command::new(&program).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    eprintln!("{text}");
    assert!(
        output.status.success(),
        "the emulated kernels are wrong:\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let queue = Mutex::new(PLANTED.iter().enumerate().collect::<Vec<_>>());
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((number, bug)) = queue.lock().unwrap().pop() else {
                        return;
                    };
                    let tree = compiler.scratch(&format!("tree-{number}"));
                    compile::plant(&kernels(), &tree, bug.what, bug.file, bug.from, bug.to);
                    let object = compiler.unit(&tree, bug.unit);
                    // First, so that the linker takes its copy of a function that two units have.
                    let objects: Vec<PathBuf> = [&object]
                        .into_iter()
                        .chain(&harness)
                        .chain(
                            units
                                .iter()
                                .filter(|(unit, _)| **unit != bug.unit)
                                .map(|(_, object)| object),
                        )
                        .cloned()
                        .collect();
                    let program = compiler.link(&format!("planted-{number}"), &objects);
                    if passes(&program, bug.group) {
                        missed.lock().unwrap().push(bug.what);
                    }
                    let _ = fs::remove_file(program);
                    let _ = fs::remove_dir_all(tree);
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(
        missed.is_empty(),
        "planted bugs that no case noticed: {missed:#?}"
    );
    eprintln!("{} planted bugs noticed", PLANTED.len());
}

/// Whether the quick cases of the group pass. A run that hangs does not.
fn passes(program: &Path, group: &str) -> bool {
    let mut child = Command::new(program)
        .args(["--quick", group])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            assert_ne!(status.code(), Some(2), "no quick cases in group {group}");
            return status.success();
        }
        if start.elapsed() > Duration::from_secs(60) {
            let _ = child.kill();
            let _ = child.wait();
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
