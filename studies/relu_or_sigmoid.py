"""Questions 2 and 3: is ReLU more likely to explode, and how fast does it vanish when weights are small?"""

from gradstab import Choice, LogInteger, LogReal, Study

STUDY = Study(
    name="relu_or_sigmoid",
    question="Does ReLU explode sooner than tanh or sigmoid, and how fast does it vanish when weights are small?",
    prediction=(
        "On the absolute scale ReLU's threshold, 1.41, is above tanh's (1) and far below sigmoid's (10.15). On the "
        "scale relative to each threshold they are alike until they train: past it ReLU grows by sigma_w / sqrt 2 a "
        "layer and diverges, while tanh and sigmoid stay finite. Below it ReLU's gradients shrink by sigma_w / sqrt 2 "
        "a layer, whatever the depth."
    ),
    space={
        "activation": Choice(("relu", "tanh", "sigmoid")),
        "relative_init_scale": LogReal(0.3, 4),
        "depth": LogInteger(4, 40),
    },
    recipe={"width": 96, "steps": 100, "batch_size": 64, "learning_rate": 0.05},
    budget={"trials": 900},
)
