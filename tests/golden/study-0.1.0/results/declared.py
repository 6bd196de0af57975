"""The golden study: 60 trials of the boundary sampler with a stop, run once by version 0.1.0 and kept."""

from pipeline.space import Choice, LogInteger, LogReal

from pipeline import Study

STUDY = Study(
    name="golden-boundary",
    question="Which init scales keep gradients at 2 to 8 layers?",
    space={
        "depth": LogInteger(2, 8),
        "init_scale": LogReal(0.5, 8.0),
        "activation": Choice(("tanh", "relu")),
    },
    recipe={"width": 32, "steps": 60, "probe_every": 20, "learning_rate": 0.1, "momentum": 0.9},
    sampler={"type": "boundary"},
    stop={"error": 0.05},
    budget={"trials": 60},
    tracking={"heat_maps": 0},
    seed=7,
)
