//! The CUDA plugin's autograd functions without a GPU: its unmodified glue is linked
//! with emulated kernels, works on tensors in host memory, and is compared, outputs
//! and all gradients, with compositions of libtorch's operations in float64. Bugs planted
//! in the glue must be noticed.

#[path = "emulator/compile.rs"]
mod compile;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Mutex,
};

use compile::Compiler;

/// What, file of the glue, and the edit: the only occurrence of the first text becomes the second.
const PLANTED: &[(&str, &str, &str, &str)] = &[
    (
        "a replayed step keeps the first batch's layout",
        "layout.cc",
        "arrays.copy_(other.arrays, /*non_blocking=*/true);",
        "",
    ),
    (
        "a replayed step keeps the first batch's number of tasks",
        "layout.cc",
        "static_cast<int>(fixed ? fixed_tasks : largest_task + 1)",
        "static_cast<int>(largest_task + 1)",
    ),
    (
        "a replayed step keeps the first step's dropout",
        "seeds.h",
        "dropout.on, place}",
        "dropout.on, nullptr}",
    ),
    (
        "a replayed step leaves out segments",
        "layout.cc",
        "for (; num_segments < capacity; ++num_segments) {",
        "for (int64_t i = num_segments; i < capacity; ++i) {",
    ),
    (
        "a bias's gradient replaces what is there",
        "linear.cc",
        "place.add_(dbias);",
        "place.copy_(dbias);",
    ),
    (
        "a head's score is read as a class",
        "heads.cc",
        "key.first.insert(key.first.end(), regression, regression + offsets.size() - 1);",
        "key.first.resize(2 * offsets.size() - 1);",
    ),
];

#[test]
fn autograd_functions_over_emulated_kernels_agree_with_libtorch() {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("csrc/cuda");
    // The build script links to the folder of the libtorch in use.
    let lib = Path::new(env!("OUT_DIR"))
        .join("libtorch")
        .canonicalize()
        .expect("the build script's link to libtorch");
    let include = lib.parent().expect("libtorch's folder").join("include");

    let compiler = Compiler::new();
    let emulated: Vec<PathBuf> = compiler
        .machine(&kernels)
        .into_iter()
        .chain(compiler.units(&kernels).into_values())
        .collect();
    let run = |name: &str, tree: &Path| -> Output {
        let mut objects = vec![compiler.with_libtorch("glue_all.cpp", tree, &include)];
        objects.extend_from_slice(&emulated);
        let libraries = [
            format!("-L{}", lib.display()),
            "-ltorch_cpu".to_owned(),
            "-lc10".to_owned(),
            format!("-Wl,-rpath,{}", lib.display()),
        ];
        let program = compiler.link_with(name, &objects, &libraries);
        Command::new(&program).output().expect("the program starts")
    };
    let output = run("plugin", &kernels);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "the plugin's functions are wrong:\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.lines().filter(|line| line.starts_with("ok")).count() > 50,
        "{text}"
    );

    let queue = Mutex::new(PLANTED.iter().enumerate().collect::<Vec<_>>());
    let missed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some((number, (what, file, from, to))) = queue.lock().unwrap().pop() else {
                        return;
                    };
                    let folder = compiler.scratch(&format!("glue-{number}"));
                    let tree = compile::plant_in_glue(&kernels, &folder, what, file, from, to);
                    if run(&format!("planted-glue-{number}"), &tree)
                        .status
                        .success()
                    {
                        missed.lock().unwrap().push(what);
                    }
                    let _ = fs::remove_dir_all(folder);
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(
        missed.is_empty(),
        "planted bugs that no case noticed: {missed:#?}"
    );
}
