//! `cargo xtask setup` from a folder of stand-in wheels: install, repeat, resume, adopt, refuse.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use support::{sha256, stderr, tree, xtask, zip_of};
use tempfile::TempDir;

/// Name, version and files of a wheel.
type Wheel<'a> = (&'a str, &'a str, &'a [(&'a str, &'a [u8])]);

/// A workspace root with a list of wheels, and a folder that serves them to pip.
struct Root {
    dir: TempDir,
}

impl Root {
    fn new() -> Self {
        let root = Self {
            dir: TempDir::new().expect("a folder"),
        };
        for folder in ["xtask", "third_party", "wheels"] {
            fs::create_dir(root.path(folder)).expect("a folder");
        }
        script(&root.path("python"), STAND_IN);
        root.serve(&[
            (
                "torch",
                "2.11.0",
                &[
                    ("torch/lib/libtorch_cpu.so", b"cpu"),
                    ("torch/lib/libc10.so", b"c10"),
                    ("torch/lib/libtorch_cuda.so", b"left out"),
                    ("torch/lib/libtorch.so", b"replaced"),
                    ("torch/include/ATen/ATen.h", b"// ATen"),
                    ("torch/__init__.py", b"left out"),
                ],
            ),
            (
                "nvidia-cuda-cupti",
                "13.0.85",
                &[("nvidia/cu13/lib/libcupti.so.13", b"cupti")],
            ),
            (
                "nvidia-cuda-runtime",
                "13.0.96",
                &[("nvidia/cu13/lib/libcudart.so.13", b"cudart")],
            ),
        ]);
        root
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes wheels and the list that pins them.
    fn serve(&self, wheels: &[Wheel<'_>]) {
        let mut list = String::new();
        for (name, version, files) in wheels {
            let stem = format!("{}-{version}", name.replace('-', "_"));
            let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
            let info = format!("{stem}.dist-info");
            let (at, wheel, record) = (
                format!("{info}/METADATA"),
                format!("{info}/WHEEL"),
                format!("{info}/RECORD"),
            );
            let mut entries = files.to_vec();
            entries.push((&at, metadata.as_bytes()));
            entries.push((
                &wheel,
                b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            ));
            entries.push((&record, b""));
            let bytes = zip_of(&entries);
            fs::write(
                self.path("wheels").join(format!("{stem}-py3-none-any.whl")),
                &bytes,
            )
            .expect("a wheel");
            list.push_str(&format!(
                "{name}=={version} --hash=sha256:{}\n",
                sha256(&bytes)
            ));
        }
        fs::write(self.path("third_party/libtorch-cpu.txt"), list).expect("the list");
    }

    /// Set-up with the stand-in for Python and pip, which is quick.
    fn command(&self) -> Command {
        let mut command = self.command_with_real_pip();
        command.env("PYTHON", self.path("python"));
        command
    }

    /// Set-up with the machine's own Python, which takes the wheels from the folder.
    fn command_with_real_pip(&self) -> Command {
        let mut command = xtask(self.dir.path());
        command
            .arg("setup")
            .env("CARGO_MANIFEST_DIR", self.path("xtask"))
            .env("PIP_NO_INDEX", "1")
            .env("PIP_FIND_LINKS", self.path("wheels"))
            .env("PIP_CONFIG_FILE", "/dev/null")
            .env_remove("PIP_INDEX_URL");
        command
    }

    fn setup(&self) -> Output {
        self.command().output().expect("started")
    }

    fn check_installed(&self) {
        let folder = self.path(".libtorch");
        let names = tree(&folder);
        let files: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|n| !n.ends_with('/'))
            .collect();
        assert_eq!(
            files,
            [
                "build-version",
                "include/ATen/ATen.h",
                "lib/libc10.so",
                "lib/libcudart.so.13",
                "lib/libcupti.so.13",
                "lib/libtorch.so",
                "lib/libtorch_cpu.so",
                "lock.txt",
            ]
        );
        assert_eq!(
            fs::read_to_string(folder.join("build-version")).expect("a file"),
            "2.11.0"
        );
        let script = fs::read_to_string(folder.join("lib/libtorch.so")).expect("a file");
        assert_eq!(script, "/* GNU ld script */ INPUT(libtorch_cpu.so)\n");
    }
}

/// Answers what set-up asks of Python and pip: versions, and `download -r LIST -d FOLDER`.
const STAND_IN: &str = r#"#!/bin/sh
case "$*" in
  *version_info*) echo 3.11.7; exit 0 ;;
  "-m pip --version") echo "pip 23.2.1 from here"; exit 0 ;;
esac
while [ $# -gt 0 ]; do
  case "$1" in -r) list=$2 ;; -d) folder=$2 ;; esac
  shift
done
stem=$(sed 's/ .*//; s/==/@/; s/-/_/g; s/@/-/' "$list")
cp "$PIP_FIND_LINKS/$stem"-*.whl "$folder" 2>/dev/null && exit 0
echo "ERROR: No matching distribution found for $stem" >&2
exit 1
"#;

fn script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, text).expect("a script");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("executable");
}

fn succeeded(output: &Output, expected: &str) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    assert!(stderr(output).contains(expected), "{}", stderr(output));
    assert!(
        output.stdout.is_empty(),
        "standard output is not for set-up"
    );
}

fn failed(output: &Output, expected: &[&str]) {
    assert_eq!(output.status.code(), Some(1), "{}", stderr(output));
    for text in expected.iter().chain(&["hint: "]) {
        assert!(stderr(output).contains(text), "{text}: {}", stderr(output));
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}

#[test]
fn pip_itself_fetches_and_checks_the_wheels() {
    let root = Root::new();
    let setup = || root.command_with_real_pip().output().expect("started");
    succeeded(&setup(), "installed in .libtorch");
    root.check_installed();
    let list = root.path("third_party/libtorch-cpu.txt");
    fs::write(
        &list,
        format!("torch==2.11.0 --hash=sha256:{}\n", "0".repeat(64)),
    )
    .expect("the list");
    failed(
        &setup(),
        &["torch==2.11.0", "another SHA-256", &"0".repeat(64)],
    );
    fs::write(
        &list,
        format!("absent==1.0 --hash=sha256:{}\n", "0".repeat(64)),
    )
    .expect("the list");
    failed(&setup(), &["absent==1.0", "does not have it"]);
    assert_eq!(read(&root.path(".libtorch/lib/libtorch_cpu.so")), "cpu");
}

#[test]
fn it_installs_once_and_then_has_nothing_to_do() {
    let root = Root::new();
    succeeded(&root.setup(), "installed in .libtorch");
    root.check_installed();
    assert_eq!(tree(&root.path(".cache/wheels")), ["libtorch.lock"]);
    // Nothing is asked of pip any more, not even whether there is a Python.
    let again = root
        .command()
        .env("PYTHON", "/nonexistent")
        .output()
        .expect("started");
    succeeded(&again, "ready in .libtorch");
}

#[test]
fn two_at_once_do_the_work_once() {
    let root = Root::new();
    let children: Vec<_> = (0..3)
        .map(|_| {
            root.command()
                .stderr(std::process::Stdio::piped())
                .spawn()
                .expect("started")
        })
        .collect();
    let texts: Vec<String> = children
        .into_iter()
        .map(|c| stderr(&c.wait_with_output().expect("ended")))
        .collect();
    root.check_installed();
    assert_eq!(
        texts
            .iter()
            .filter(|t| t.contains("installed in .libtorch"))
            .count(),
        1,
        "{texts:?}"
    );
    assert_eq!(
        texts
            .iter()
            .filter(|t| t.contains("ready in .libtorch"))
            .count(),
        2,
        "{texts:?}"
    );
}

#[test]
fn an_interrupted_set_up_goes_on_with_the_wheels_it_has() {
    let root = Root::new();
    // The last wheel cannot be had, so the first two stay.
    let missing = root.path("wheels/nvidia_cuda_runtime-13.0.96-py3-none-any.whl");
    let bytes = fs::read(&missing).expect("the wheel");
    fs::remove_file(&missing).expect("removed");
    failed(&root.setup(), &["nvidia-cuda-runtime==13.0.96"]);
    assert!(!root.path(".libtorch").exists());
    let kept = tree(&root.path(".cache/wheels"));
    assert_eq!(
        kept.iter().filter(|n| n.ends_with(".whl")).count(),
        2,
        "{kept:?}"
    );
    // Now only the last one can be had.
    fs::remove_file(root.path("wheels/torch-2.11.0-py3-none-any.whl")).expect("removed");
    fs::remove_file(root.path("wheels/nvidia_cuda_cupti-13.0.85-py3-none-any.whl"))
        .expect("removed");
    fs::write(&missing, bytes).expect("the wheel");
    succeeded(&root.setup(), "installed in .libtorch");
    root.check_installed();
}

#[test]
fn a_folder_unpacked_by_hand_is_kept_if_it_is_the_same_and_replaced_if_not() {
    let root = Root::new();
    succeeded(&root.setup(), "installed");
    fs::remove_file(root.path(".libtorch/lock.txt")).expect("removed");
    let inode = |p: &str| {
        fs::metadata(root.path(p))
            .and_then(|m| m.modified())
            .expect("a time")
    };
    let before = inode(".libtorch/lib/libtorch_cpu.so");
    succeeded(&root.setup(), "holds exactly the pinned files");
    assert_eq!(inode(".libtorch/lib/libtorch_cpu.so"), before);
    root.check_installed();
    // One byte differs.
    fs::remove_file(root.path(".libtorch/lock.txt")).expect("removed");
    fs::write(root.path(".libtorch/lib/libc10.so"), b"c11").expect("a file");
    succeeded(&root.setup(), "installed in .libtorch");
    assert_eq!(read(&root.path(".libtorch/lib/libc10.so")), "c10");
    // A missing library is mended although the lock is right.
    fs::remove_file(root.path(".libtorch/lib/libtorch_cpu.so")).expect("removed");
    succeeded(&root.setup(), "installed in .libtorch");
    root.check_installed();
    let left: Vec<_> = tree(root.dir.path())
        .into_iter()
        .filter(|n| n.contains("old-") || n.contains(".tmp"))
        .collect();
    assert_eq!(left, [""; 0]);
}

#[test]
fn a_wheel_with_another_hash_is_refused_and_the_old_folder_stays() {
    let root = Root::new();
    succeeded(&root.setup(), "installed");
    let list = root.path("third_party/libtorch-cpu.txt");
    let wheel = root.path("wheels/torch-2.11.0-py3-none-any.whl");
    let mut bytes = fs::read(&wheel).expect("the wheel");
    bytes.push(0);
    fs::write(&wheel, bytes).expect("the wheel");
    fs::write(&list, format!("# changed\n{}", read(&list))).expect("the list");
    let output = root.setup();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("has the SHA-256"),
        "{}",
        stderr(&output)
    );
    assert_eq!(read(&root.path(".libtorch/lib/libtorch_cpu.so")), "cpu");
}

#[test]
fn a_list_that_lacks_a_library_is_noticed_before_anything_is_placed() {
    let root = Root::new();
    root.serve(&[("torch", "2.11.0", &[("torch/lib/libtorch_cpu.so", b"cpu")])]);
    failed(
        &root.setup(),
        &["lack", "lib/libcudart.so.13", "third_party"],
    );
    assert!(!root.path(".libtorch").exists() && !root.path(".libtorch.tmp").exists());
    fs::write(root.path("third_party/libtorch-cpu.txt"), "torch\n").expect("the list");
    let output = root.setup();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("libtorch-cpu.txt, line 1: expected"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn no_python_and_no_pip_are_named_with_the_remedy() {
    let root = Root::new();
    let output = root
        .command()
        .env("PYTHON", "/nonexistent/python")
        .output()
        .expect("started");
    failed(&output, &["/nonexistent/python", "PYTHON is set"]);
    let fake = root.path("python-without-pip");
    let text = "#!/bin/sh\ncase \"$*\" in *version_info*) echo 3.12.1;; *) echo 'No module named pip' >&2; exit 1;; esac\n";
    script(&fake, text);
    let output = root
        .command()
        .env("PYTHON", &fake)
        .output()
        .expect("started");
    failed(
        &output,
        &[
            "Python 3.12.1",
            "has no pip",
            "No module named pip",
            "ensurepip",
        ],
    );
    assert!(!root.path(".libtorch").exists());
}

#[test]
fn the_users_own_libtorch_wins() {
    let root = Root::new();
    let own = root.path("own");
    for folder in ["lib", "include"] {
        fs::create_dir_all(own.join(folder)).expect("a folder");
    }
    let output = root
        .command()
        .env("LIBTORCH", &own)
        .output()
        .expect("started");
    succeeded(&output, "because it is set: nothing to set up");
    let output = root
        .command()
        .env("LIBTORCH_USE_PYTORCH", "1")
        .output()
        .expect("started");
    succeeded(&output, "LIBTORCH_USE_PYTORCH is set");
    let output = root
        .command()
        .env("LIBTORCH", root.path("nowhere"))
        .output()
        .expect("started");
    failed(&output, &["nowhere has no lib/ and include/"]);
    assert!(!root.path(".libtorch").exists());
    // What cargo itself sets from .cargo/config.toml is not the user's choice.
    let output = root
        .command()
        .env("LIBTORCH", root.path(".libtorch"))
        .output()
        .expect("started");
    succeeded(&output, "installed in .libtorch");
}
