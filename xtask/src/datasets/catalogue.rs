//! The table of data sets: official addresses, lengths and SHA-256 of what they serve.
//!
//! Lengths and hashes are those that the data-set loaders of Hugging Face and TensorFlow recorded for
//! the same addresses. The folder layout is that of the official downloads.

/// A collection that one command downloads, e.g. `glue`.
#[derive(Debug, Clone, Copy)]
pub struct Collection {
    /// The name on the command line.
    pub name: &'static str,
    /// What it is, for help.
    pub title: &'static str,
    /// Its folder under the data folder; the record of downloads is kept there.
    pub folder: &'static str,
    /// Its members.
    pub sets: &'static [DataSet],
}

/// One data set of a collection: a folder of files.
#[derive(Debug, Clone, Copy)]
pub struct DataSet {
    /// Its name, also for `--only`.
    pub name: &'static str,
    /// Its folder under the data folder.
    pub folder: &'static str,
    /// What to download.
    pub sources: &'static [Source],
    /// The files it consists of in the end.
    pub files: &'static [&'static str],
    /// How the files are made from what was downloaded.
    pub recipe: Recipe,
}

/// One file to download.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// The official address.
    pub url: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: &'static str,
}

/// How the files of a data set come from its sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recipe {
    /// The first source is a zip that holds the files under this folder.
    Zip(&'static str),
    /// Each source is one file, in the order of `files`.
    Plain,
    /// Each source is one gzip-packed file, in the order of `files`.
    Gzip,
    /// MRPC: training text, test text and the ids of the development rows.
    Mrpc,
}

impl Source {
    /// The file name at the end of the address.
    pub fn file_name(&self) -> &'static str {
        self.url.rsplit('/').next().unwrap_or(self.url)
    }
}

impl Collection {
    /// Looks a collection up by its name.
    pub fn named(name: &str) -> Option<&'static Self> {
        COLLECTIONS.iter().find(|c| c.name == name)
    }

    /// Bytes to download for all its sets.
    pub fn download_bytes(&self) -> u64 {
        self.sets
            .iter()
            .flat_map(|s| s.sources)
            .map(|s| s.bytes)
            .sum()
    }
}

const fn source(url: &'static str, bytes: u64, sha256: &'static str) -> Source {
    Source { url, bytes, sha256 }
}

macro_rules! zip_set {
    ($name:literal, $folder:literal, $inner:literal, $url:literal, $bytes:literal, $sha:literal, [$($file:literal),+]) => {
        DataSet {
            name: $name,
            folder: $folder,
            sources: &[source($url, $bytes, $sha)],
            files: &[$($file),+],
            recipe: Recipe::Zip($inner),
        }
    };
}

/// Every collection, in the order of the help text.
pub const COLLECTIONS: &[Collection] = &[
    Collection {
        name: "glue",
        title: "GLUE: nine tasks and the diagnostic set",
        folder: "glue",
        sets: GLUE,
    },
    Collection {
        name: "superglue",
        title: "SuperGLUE: eight tasks and AX-b, AX-g",
        folder: "superglue",
        sets: SUPERGLUE,
    },
    Collection {
        name: "mrqa",
        title: "MRQA 2019: six extractive QA sets, and SQuAD 1.1 and 2.0",
        folder: "mrqa",
        sets: MRQA,
    },
    Collection {
        name: "wnut17",
        title: "WNUT2017 named entities",
        folder: "ner",
        sets: WNUT17,
    },
    Collection {
        name: "snli",
        title: "SNLI 1.0",
        folder: "nli",
        sets: SNLI,
    },
    Collection {
        name: "scitail",
        title: "SciTail 1.1",
        folder: "nli",
        sets: SCITAIL,
    },
];

const GLUE: &[DataSet] = &[
    zip_set!(
        "CoLA",
        "glue/CoLA",
        "CoLA",
        "https://dl.fbaipublicfiles.com/glue/data/CoLA.zip",
        376_971,
        "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff",
        ["train.tsv", "dev.tsv", "test.tsv"]
    ),
    zip_set!(
        "SST-2",
        "glue/SST-2",
        "SST-2",
        "https://dl.fbaipublicfiles.com/glue/data/SST-2.zip",
        7_439_277,
        "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa",
        ["train.tsv", "dev.tsv", "test.tsv"]
    ),
    DataSet {
        name: "MRPC",
        folder: "glue/MRPC",
        sources: &[
            source(
                "https://dl.fbaipublicfiles.com/senteval/senteval_data/msr_paraphrase_train.txt",
                1_047_044,
                "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89",
            ),
            source(
                "https://dl.fbaipublicfiles.com/senteval/senteval_data/msr_paraphrase_test.txt",
                441_275,
                "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784",
            ),
            source(
                "https://dl.fbaipublicfiles.com/glue/data/mrpc_dev_ids.tsv",
                6_222,
                "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7",
            ),
        ],
        files: &["train.tsv", "dev.tsv", "test.tsv"],
        recipe: Recipe::Mrpc,
    },
    zip_set!(
        "STS-B",
        "glue/STS-B",
        "STS-B",
        "https://dl.fbaipublicfiles.com/glue/data/STS-B.zip",
        802_872,
        "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85",
        ["train.tsv", "dev.tsv", "test.tsv"]
    ),
    zip_set!(
        "QQP",
        "glue/QQP",
        "QQP",
        "https://dl.fbaipublicfiles.com/glue/data/QQP-clean.zip",
        41_696_084,
        "40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0",
        ["train.tsv", "dev.tsv", "test.tsv"]
    ),
    zip_set!(
        "MNLI",
        "glue/MNLI",
        "MNLI",
        "https://dl.fbaipublicfiles.com/glue/data/MNLI.zip",
        312_783_507,
        "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633",
        [
            "train.tsv",
            "dev_matched.tsv",
            "dev_mismatched.tsv",
            "test_matched.tsv",
            "test_mismatched.tsv"
        ]
    ),
    zip_set!(
        "QNLI",
        "glue/QNLI",
        "QNLI",
        "https://dl.fbaipublicfiles.com/glue/data/QNLIv2.zip",
        10_627_589,
        "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5",
        ["train.tsv", "dev.tsv", "test.tsv"]
    ),
    zip_set!(
        "RTE",
        "glue/RTE",
        "RTE",
        "https://dl.fbaipublicfiles.com/glue/data/RTE.zip",
        697_150,
        "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee",
        ["train.tsv", "dev.tsv", "test.tsv"]
    ),
    zip_set!(
        "WNLI",
        "glue/WNLI",
        "WNLI",
        "https://dl.fbaipublicfiles.com/glue/data/WNLI.zip",
        28_999,
        "ae0e8e4d16f4d46d4a0a566ec7ecceccfd3fbfaa4a7a4b4e02848c0f2561ac46",
        ["train.tsv", "dev.tsv", "test.tsv"]
    ),
    DataSet {
        name: "diagnostic",
        folder: "glue/diagnostic",
        sources: &[source(
            "https://dl.fbaipublicfiles.com/glue/data/AX.tsv",
            222_257,
            "0e13510b1bb14436ff7e2ee82338f0efb0133ecf2e73507a697dc210db3f05fd",
        )],
        files: &["diagnostic.tsv"],
        recipe: Recipe::Plain,
    },
];

const SUPERGLUE: &[DataSet] = &[
    zip_set!(
        "BoolQ",
        "superglue/BoolQ",
        "BoolQ",
        "https://dl.fbaipublicfiles.com/glue/superglue/data/v2/BoolQ.zip",
        4_118_001,
        "853fbe7922f70c59629f06a39e8d9ca440c3d740e760fd3b87a5ddf3dcba2436",
        ["train.jsonl", "val.jsonl", "test.jsonl"]
    ),
    zip_set!(
        "CB",
        "superglue/CB",
        "CB",
        "https://dl.fbaipublicfiles.com/glue/superglue/data/v2/CB.zip",
        75_482,
        "8d641383298d54554066ba1c93f56ae7410af75df621b90c63028806bbbbb535",
        ["train.jsonl", "val.jsonl", "test.jsonl"]
    ),
    zip_set!(
        "COPA",
        "superglue/COPA",
        "COPA",
        "https://dl.fbaipublicfiles.com/glue/superglue/data/v2/COPA.zip",
        43_986,
        "405906cddac74bc1e1ce8220f1107d1025b66a25ef10149d91b10bb30651125f",
        ["train.jsonl", "val.jsonl", "test.jsonl"]
    ),
    zip_set!(
        "MultiRC",
        "superglue/MultiRC",
        "MultiRC",
        "https://dl.fbaipublicfiles.com/glue/superglue/data/v2/MultiRC.zip",
        1_116_225,
        "b3cd440856e72eb166b2edcd37b798455f1ebd51f2c3de64c0c2a4e1971d2737",
        ["train.jsonl", "val.jsonl", "test.jsonl"]
    ),
    zip_set!(
        "ReCoRD",
        "superglue/ReCoRD",
        "ReCoRD",
        "https://dl.fbaipublicfiles.com/glue/superglue/data/v2/ReCoRD.zip",
        51_757_880,
        "30c7b651ab21b8bf8fab986495cd1084333010e040548f861b839eec0044ac18",
        ["train.jsonl", "val.jsonl", "test.jsonl"]
    ),
    zip_set!(
        "RTE",
        "superglue/RTE",
        "RTE",
        "https://dl.fbaipublicfiles.com/glue/superglue/data/v2/RTE.zip",
        750_920,
        "6310aab3f000424c9d0318a1ff20692e07c7f4aa15e8f17a5972ea0a35c398b9",
        ["train.jsonl", "val.jsonl", "test.jsonl"]
    ),
    zip_set!(
        "WiC",
        "superglue/WiC",
        "WiC",
        "https://dl.fbaipublicfiles.com/glue/superglue/data/v2/WiC.zip",
        396_213,
        "ee7e67f4ae9eafbf533780faa198e62167f3cda54256cdf261877be3c0e90900",
        ["train.jsonl", "val.jsonl", "test.jsonl"]
    ),
    zip_set!(
        "WSC",
        "superglue/WSC",
        "WSC",
        "https://dl.fbaipublicfiles.com/glue/superglue/data/v2/WSC.zip",
        32_751,
        "2ed6dfa94556b4a128ff0441efe365b2e883124e7e6aa00fb8d3a6cb1fd520a9",
        ["train.jsonl", "val.jsonl", "test.jsonl"]
    ),
    zip_set!(
        "AX-b",
        "superglue/AX-b",
        "AX-b",
        "https://dl.fbaipublicfiles.com/glue/superglue/data/v2/AX-b.zip",
        33_950,
        "43b45c55a273575c58a33cd68f10a971f83daa3aa223bfbc4077b92fbdf960b3",
        ["AX-b.jsonl"]
    ),
    zip_set!(
        "AX-g",
        "superglue/AX-g",
        "AX-g",
        "https://dl.fbaipublicfiles.com/glue/superglue/data/v2/AX-g.zip",
        10_413,
        "2d4e00d3a7d23d2c3787ee4c1382cc81a72cb05a76fc9d78d142949247ed61b9",
        ["AX-g.jsonl"]
    ),
];

macro_rules! mrqa_set {
    ($name:literal, $folder:literal, $file:literal, $train:literal, $train_sha:literal, $dev:literal, $dev_sha:literal) => {
        DataSet {
            name: $name,
            folder: $folder,
            sources: &[
                source(
                    concat!(
                        "https://s3.us-east-2.amazonaws.com/mrqa/release/v2/train/",
                        $file,
                        ".jsonl.gz"
                    ),
                    $train,
                    $train_sha,
                ),
                source(
                    concat!(
                        "https://s3.us-east-2.amazonaws.com/mrqa/release/v2/dev/",
                        $file,
                        ".jsonl.gz"
                    ),
                    $dev,
                    $dev_sha,
                ),
            ],
            files: &["train.jsonl", "dev.jsonl"],
            recipe: Recipe::Gzip,
        }
    };
}

const MRQA: &[DataSet] = &[
    mrqa_set!(
        "SQuAD-MRQA",
        "mrqa/SQuAD-MRQA",
        "SQuAD",
        27_621_835,
        "b094703b9c6f740cc2dfd70b3201b833553fcec0c8a522f22c2c6ff82ce2cc78",
        3_474_262,
        "5afa4b088adf297fc29374ddf2d44d974b8837380e2554e62edf258fee5c32ee"
    ),
    mrqa_set!(
        "NewsQA",
        "mrqa/NewsQA",
        "NewsQA",
        56_451_248,
        "f1ccbf2d259ce1094aacde21a53592894248e5778814205dac94f0b086dbe968",
        3_142_984,
        "66bfb10cab2029bbc7d1afaece20c35fac341b1c179d15b70fde22a207f096ae"
    ),
    mrqa_set!(
        "TriviaQA",
        "mrqa/TriviaQA",
        "TriviaQA-web",
        356_784_923,
        "61fad6884370408282ad3ed0b5f25a9e932d9a724b6929ea03ea5344ff0cd3f7",
        44_971_198,
        "faf8add436de5a5fa81071a4e7190850d7e9a20acc811439e8a127ba8ec25640"
    ),
    mrqa_set!(
        "SearchQA",
        "mrqa/SearchQA",
        "SearchQA",
        641_332_495,
        "32cda932667b7b65ab3079a8271d4e5726b4b989d0b862b25c77eb03a661b609",
        92_526_612,
        "c84d2cc02cac5aa9d576ce1cd22900e9d75fe8a37bc795901c36cae6ef9e5ff0"
    ),
    mrqa_set!(
        "HotpotQA",
        "mrqa/HotpotQA",
        "HotpotQA",
        107_394_872,
        "3a94712c073dc9f29d88ac149faa01ef9c7c089f97ee25d9cbac39387550825d",
        10_029_807,
        "43bb9291525d8b59229ba327b67cca42f0a9c23798c455f6fbe813e9979cca84"
    ),
    mrqa_set!(
        "NaturalQuestions",
        "mrqa/NaturalQuestions",
        "NaturalQuestionsShort",
        116_612_493,
        "6cdac324664b94b60be3203a077bf361d0bfa68a17af9b71def1186a6958a68c",
        10_424_248,
        "2ba8b2181b520f81b49d62c0e4a23819f33d5dec0e8cf4a623edcda0feb73530"
    ),
    DataSet {
        name: "SQuAD",
        folder: "mrqa/SQuAD",
        sources: &[
            source(
                "https://rajpurkar.github.io/SQuAD-explorer/dataset/train-v1.1.json",
                30_288_272,
                "3527663986b8295af4f7fcdff1ba1ff3f72d07d61a20f487cb238a6ef92fd955",
            ),
            source(
                "https://rajpurkar.github.io/SQuAD-explorer/dataset/dev-v1.1.json",
                4_854_279,
                "95aa6a52d5d6a735563366753ca50492a658031da74f301ac5238b03966972c9",
            ),
        ],
        files: &["train-v1.1.json", "dev-v1.1.json"],
        recipe: Recipe::Plain,
    },
    DataSet {
        name: "SQuAD2",
        folder: "mrqa/SQuAD2",
        sources: &[
            source(
                "https://rajpurkar.github.io/SQuAD-explorer/dataset/train-v2.0.json",
                42_123_633,
                "68dcfbb971bd3e96d5b46c7177b16c1a4e7d4bdef19fb204502738552dede002",
            ),
            source(
                "https://rajpurkar.github.io/SQuAD-explorer/dataset/dev-v2.0.json",
                4_370_528,
                "80a5225e94905956a6446d296ca1093975c4d3b3260f1d6c8f68bc2ab77182d8",
            ),
        ],
        files: &["train-v2.0.json", "dev-v2.0.json"],
        recipe: Recipe::Plain,
    },
];

const WNUT17: &[DataSet] = &[DataSet {
    name: "wnut17",
    folder: "ner/wnut17",
    sources: &[
        source(
            "https://raw.githubusercontent.com/leondz/emerging_entities_17/master/wnut17train.conll",
            493_781,
            "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5",
        ),
        source(
            "https://raw.githubusercontent.com/leondz/emerging_entities_17/master/emerging.dev.conll",
            114_749,
            "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8",
        ),
        source(
            "https://raw.githubusercontent.com/leondz/emerging_entities_17/master/emerging.test.annotated",
            192_425,
            "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0",
        ),
    ],
    files: &[
        "wnut17train.conll",
        "emerging.dev.conll",
        "emerging.test.annotated",
    ],
    recipe: Recipe::Plain,
}];

const SNLI: &[DataSet] = &[zip_set!(
    "SNLI",
    "nli/SNLI",
    "snli_1.0",
    "https://nlp.stanford.edu/projects/snli/snli_1.0.zip",
    94_550_081,
    "afb3d70a5af5d8de0d9d81e2637e0fb8c22d1235c2749d83125ca43dab0dbd3e",
    [
        "snli_1.0_train.jsonl",
        "snli_1.0_dev.jsonl",
        "snli_1.0_test.jsonl"
    ]
)];

const SCITAIL: &[DataSet] = &[zip_set!(
    "SciTail",
    "nli/SciTail",
    "SciTailV1.1/tsv_format",
    "https://ai2-public-datasets.s3.amazonaws.com/scitail/SciTailV1.1.zip",
    14_174_621,
    "3fccd37350a94ca280b75998568df85fc2fc62843a3198d644fcbf858e6943d5",
    [
        "scitail_1.0_train.tsv",
        "scitail_1.0_dev.tsv",
        "scitail_1.0_test.tsv"
    ]
)];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_table_is_consistent() {
        let mut folders = BTreeSet::new();
        for collection in COLLECTIONS {
            assert!(
                Collection::named(collection.name).is_some_and(|c| c.title == collection.title)
            );
            for set in collection.sets {
                assert!(folders.insert(set.folder), "{} twice", set.folder);
                assert!(set.folder.starts_with(collection.folder), "{}", set.folder);
                assert!(!set.files.is_empty());
                for source in set.sources {
                    assert!(source.url.starts_with("https://"), "{}", source.url);
                    assert!(crate::hash::is_sha256(source.sha256), "{}", source.url);
                    assert!(source.bytes > 0);
                }
                match set.recipe {
                    Recipe::Zip(_) => assert_eq!(set.sources.len(), 1),
                    Recipe::Plain | Recipe::Gzip => assert_eq!(set.sources.len(), set.files.len()),
                    Recipe::Mrpc => assert_eq!(set.sources.len(), 3),
                }
            }
        }
        assert_eq!(Collection::named("glue").map(|c| c.sets.len()), Some(10));
    }
}
