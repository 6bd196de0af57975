"""Where do gradients neither vanish nor explode, and does the network train there? Two minutes on two cores."""

from gradstab import Choice, LogInteger, LogReal, Study

STUDY = Study(
    name="quickstart",
    question="At which init scale do tanh, ReLU and sigmoid networks of 2 to 32 layers keep their gradients and train?",
    prediction=(
        "tanh and ReLU have a band around their critical scales (1.0 and 1.41) that narrows as depth grows; "
        "sigmoid needs a scale near 10, far above what anybody starts from."
    ),
    space={
        "depth": LogInteger(2, 32),
        "init_scale": LogReal(0.5, 20),
        "activation": Choice(("tanh", "relu", "sigmoid")),
    },
    recipe={"width": 64, "steps": 150, "batch_size": 64, "learning_rate": 0.05, "momentum": 0.9},
    budget={"trials": 800},
)
