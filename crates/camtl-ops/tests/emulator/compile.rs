//! Compiles the kernels and the emulator with the host's C++ compiler, once per
//! content: objects carry the hash of everything they were made from.

use std::{
    collections::BTreeMap,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
};

/// The launchers, each one translation unit.
pub(crate) const UNITS: &[&str] = &[
    "adamw",
    "attention_backward",
    "attention_forward",
    "dropout",
    "embedding",
    "film",
    "gelu_bias",
    "heads",
    "layer_norm",
    "segment_sum",
];

const HARNESS: &[&str] = &[
    "cases/adamw.cpp",
    "cases/attention.cpp",
    "cases/embedding.cpp",
    "cases/film.cpp",
    "cases/heads.cpp",
    "cases/layer_norm.cpp",
    "machine/fiber.cpp",
    "machine/machine.cpp",
    "main.cpp",
];

/// Sources of one kernel tree: path below it, and text.
pub(crate) type Tree = BTreeMap<PathBuf, String>;

pub(crate) struct Compiler {
    program: String,
    emulator: PathBuf,
    cache: PathBuf,
    emulator_headers: u64,
}

impl Compiler {
    pub(crate) fn new() -> Self {
        let emulator = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emulator");
        let program = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let version = Command::new(&program)
            .arg("--version")
            .output()
            .unwrap_or_else(|e| panic!("cannot run the C++ compiler `{program}` (set CXX): {e}"));
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernel-emulation");
        fs::create_dir_all(&cache).unwrap();
        let headers: Tree = read_tree(&emulator)
            .into_iter()
            .filter(|(path, _)| path.extension().is_some_and(|e| e == "h" || e == "cuh"))
            .collect();
        Compiler {
            program,
            emulator_headers: hash_of(&(version.stdout, headers)),
            emulator,
            cache,
        }
    }

    /// Path of a scratch folder below the cache.
    #[allow(dead_code)]
    pub(crate) fn scratch(&self, name: &str) -> PathBuf {
        self.cache.join(name)
    }

    /// The objects of the emulator and of the cases.
    #[allow(dead_code)]
    pub(crate) fn harness(&self, kernels: &Path) -> Vec<PathBuf> {
        let headers = headers(&read_tree(kernels));
        let jobs: Vec<Job> = HARNESS
            .iter()
            .map(|file| Job::new(self.emulator.join(file), kernels, hash_of(&headers)))
            .collect();
        self.compile(&jobs)
    }

    /// The objects of the emulated machine alone.
    #[allow(dead_code)] // Each test that includes this file uses a part of it.
    pub(crate) fn machine(&self, kernels: &Path) -> Vec<PathBuf> {
        let headers = hash_of(&headers(&read_tree(kernels)));
        let jobs: Vec<Job> = ["machine/fiber.cpp", "machine/machine.cpp"]
            .iter()
            .map(|file| Job::new(self.emulator.join(file), kernels, headers))
            .collect();
        self.compile(&jobs)
    }

    /// The object of a file of the emulator that includes the plugin's glue and libtorch.
    #[allow(dead_code)]
    pub(crate) fn with_libtorch(&self, file: &str, kernels: &Path, include: &Path) -> PathBuf {
        let glue = hash_of(&(
            headers(&read_tree(kernels)),
            read_tree(&kernels.join("plugin")),
            ABOVE.map(|header| fs::read_to_string(kernels.join("..").join(header)).unwrap()),
            read_tree(&self.emulator),
        ));
        let mut job = Job::new(self.emulator.join(file), kernels, glue);
        for folder in [include.to_owned(), include.join("torch/csrc/api/include")] {
            job.flags
                .extend(["-isystem".to_owned(), folder.display().to_string()]);
        }
        self.compile(&[job]).remove(0)
    }

    /// The object of one launcher of the kernel tree at `kernels`.
    #[allow(dead_code)]
    pub(crate) fn unit(&self, kernels: &Path, unit: &str) -> PathBuf {
        let headers = headers(&read_tree(kernels));
        let job = Job::new(
            kernels.join(format!("{unit}.cu")),
            kernels,
            hash_of(&headers),
        );
        self.compile(&[job]).remove(0)
    }

    /// The objects of all launchers, by unit.
    pub(crate) fn units(&self, kernels: &Path) -> BTreeMap<&'static str, PathBuf> {
        let headers = hash_of(&headers(&read_tree(kernels)));
        let jobs: Vec<Job> = UNITS
            .iter()
            .map(|unit| Job::new(kernels.join(format!("{unit}.cu")), kernels, headers))
            .collect();
        UNITS.iter().copied().zip(self.compile(&jobs)).collect()
    }

    /// Links objects to a program.
    #[allow(dead_code)]
    pub(crate) fn link(&self, name: &str, objects: &[PathBuf]) -> PathBuf {
        self.link_with(name, objects, &[])
    }

    /// Links objects and libraries to a program.
    pub(crate) fn link_with(
        &self,
        name: &str,
        objects: &[PathBuf],
        libraries: &[String],
    ) -> PathBuf {
        let program = self.cache.join(name);
        let partial = self.cache.join(format!("{name}.{}", std::process::id()));
        run(Command::new(&self.program)
            .args(objects)
            .args(libraries)
            .arg("-o")
            .arg(&partial));
        fs::rename(&partial, &program).unwrap();
        program
    }

    /// Compiles what is not in the cache, two at a time.
    fn compile(&self, jobs: &[Job]) -> Vec<PathBuf> {
        let objects: Vec<PathBuf> = jobs.iter().map(|job| self.object(job)).collect();
        let queue = Mutex::new(jobs.iter().zip(&objects).collect::<Vec<_>>());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        let Some((job, object)) = queue.lock().unwrap().pop() else {
                            return;
                        };
                        self.compile_one(job, object);
                    }
                });
            }
        });
        objects
    }

    fn object(&self, job: &Job) -> PathBuf {
        let text = fs::read_to_string(&job.source).unwrap();
        let stem = job.source.file_stem().unwrap().to_str().unwrap();
        let hash = hash_of(&(text, job.headers, self.emulator_headers, FLAGS, &job.flags));
        self.cache.join(format!("{stem}-{hash:016x}.o"))
    }

    fn compile_one(&self, job: &Job, object: &Path) {
        if object.exists() {
            return;
        }
        // Two test runs may share the cache: each writes its own file and renames it.
        let partial = object.with_extension(format!("{}.o", std::process::id()));
        run(Command::new(&self.program)
            .args(FLAGS)
            .args(&job.flags)
            .arg("-I")
            .arg(&self.emulator)
            .arg("-I")
            .arg(&job.kernels)
            .args(["-x", "c++", "-c"])
            .arg(&job.source)
            .arg("-o")
            .arg(&partial));
        fs::rename(&partial, object).unwrap();
    }
}

/// A copy of the tree at `kernels` in `folder` with one bug: in `file`, the only occurrence of `from`
/// becomes `to`.
pub(crate) fn plant(kernels: &Path, folder: &Path, what: &str, file: &str, from: &str, to: &str) {
    let _ = fs::remove_dir_all(folder);
    for (path, text) in read_tree(kernels) {
        let text = if path == Path::new(file) {
            assert_eq!(
                text.matches(from).count(),
                1,
                "bug `{what}`: its text must occur once in {file}"
            );
            text.replace(from, to)
        } else {
            text
        };
        let target = folder.join(path);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::write(target, text).unwrap();
    }
}

/// Headers above the kernels' folder that the plugin's glue includes.
const ABOVE: [&str; 2] = ["gradient_view.h", "operations.h"];

/// [`plant`], with what the plugin's glue includes from above the tree.
#[allow(dead_code)]
pub(crate) fn plant_in_glue(
    kernels: &Path,
    folder: &Path,
    what: &str,
    file: &str,
    from: &str,
    to: &str,
) -> PathBuf {
    let tree = folder.join("cuda");
    // No edit of the kernels, and one of the glue beside them.
    plant(kernels, &tree, what, "", from, to);
    let glue = "plugin";
    plant(&kernels.join(glue), &tree.join(glue), what, file, from, to);
    for header in ABOVE {
        fs::copy(kernels.join("..").join(header), folder.join(header)).unwrap();
    }
    tree
}

/// The kernels' text is compiled as it is: `platform.cuh` comes from the emulator.
const FLAGS: &[&str] = &["-std=c++17", "-O1", "-w", "-ffp-contract=off"];

struct Job {
    source: PathBuf,
    kernels: PathBuf,
    headers: u64,
    flags: Vec<String>,
}

impl Job {
    fn new(source: PathBuf, kernels: &Path, headers: u64) -> Self {
        Job {
            source,
            kernels: kernels.to_owned(),
            headers,
            flags: Vec::new(),
        }
    }
}

fn headers(tree: &Tree) -> Tree {
    tree.iter()
        .filter(|(path, _)| path.extension().is_some_and(|e| e != "cu"))
        .map(|(path, text)| (path.clone(), text.clone()))
        .collect()
}

/// Every source below `folder`.
pub(crate) fn read_tree(folder: &Path) -> Tree {
    fn visit(root: &Path, folder: &Path, tree: &mut Tree) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // The plugin's libtorch glue is not part of the kernels.
                if path.file_name().is_none_or(|n| n != "plugin") {
                    visit(root, &path, tree);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                tree.insert(path.strip_prefix(root).unwrap().to_owned(), text);
            }
        }
    }
    let mut tree = Tree::new();
    visit(folder, folder, &mut tree);
    tree
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("cannot run {command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
