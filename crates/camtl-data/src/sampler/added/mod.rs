//! A sampler added as a user of the crate would: one file and one line of the list.

use crate::sampler::kind::samplers;
use crate::sampler::uniform;

mod in_turn;

samplers! {
    /// A list with a kind that the crate does not have.
    enum Config {
        "uniform" => uniform::Uniform,
        "in-turn" => in_turn::InTurn,
    }
}

#[test]
fn a_sampler_is_added_by_one_file_and_one_line_of_the_list() {
    let read = |text: &str| toml::from_str::<Config>(text).map_err(|error| error.to_string());
    let config = read("kind = \"in-turn\"\nsteps = 2").unwrap();
    assert_eq!(config, Config::InTurn(in_turn::InTurn { steps: 2 }));
    assert_eq!(read(&toml::to_string(&config).unwrap()).unwrap(), config);
    let error = read("kind = \"uniform\"\nsteps = 2").unwrap_err();
    assert!(
        error.contains("`uniform` has no option `steps`; its options are: none"),
        "{error}"
    );
    let error = read("kind = \"in-turn\"\nstep = 2").unwrap_err();
    assert!(
        error.contains("unknown field `step`, expected `steps`"),
        "{error}"
    );
    let error = read("kind = \"in-turn\"\nsteps = 0").unwrap_err();
    assert!(error.contains("steps = 0; expected at least 1"), "{error}");

    let tasks = ["a", "b"].map(|name| crate::sampler::TaskInfo {
        name: name.into(),
        train_size: 5,
        num_outputs: 2,
        regression: false,
    });
    let build = || {
        let setup = config.setup(&tasks, 2, 1.0, 12).unwrap();
        config.kind().build(setup).unwrap()
    };
    let mut nobody = |_: &[crate::sampler::ExampleRef]| Err("not asked".into());
    let mut sampler = build();
    let mut tasks_of = |sampler: &mut Box<dyn crate::sampler::Sampler>| {
        sampler.next_batch(&mut nobody).unwrap().examples[0].task
    };
    let order: Vec<u32> = (0..5).map(|_| tasks_of(&mut sampler)).collect();
    assert_eq!(order, [0, 0, 1, 1, 0]);
    assert_eq!((sampler.name(), sampler.steps_per_epoch()), ("in-turn", 5));
    let mut resumed = build();
    resumed.restore(&sampler.state()).unwrap();
    assert_eq!(tasks_of(&mut resumed), 0);
    assert_eq!(resumed.usage().steps(), 6);
}
