"""How small must the branches of a residual stack be, and does normalisation make that question go away?"""

from gradstab import Choice, LogInteger, LogReal, Model, Study

STUDY = Study(
    name="residual",
    question="Which scale of the branches keeps gradients through 2 to 64 blocks, and does it fall as 1/sqrt(L)?",
    prediction=(
        "Without normalisation each ReLU block multiplies squared gradients by 1 + s^2/2, so R = 1 at s = 2.70 for 4 "
        "blocks, 1.36 for 8, .85 for 16, .57 for 32 and .39 for 64, within 10 %: the slope of ln s over ln L is -.56 "
        "from 16 to 64 blocks, and nears -1/2. R is never below 0, so small branches are never the trouble. With layer "
        "normalisation before the branch R stays below 1/2 log10(L) = .9 at every s. Training fails before R = 1 "
        "without normalisation, because the stream and with it the logits grow like the gradients: at 70 to 100 % of "
        "those scales. With normalisation it fails nowhere."
    ),
    model=Model("residual", settings={"norm_place": "pre"}),
    space={
        "depth": LogInteger(2, 64),
        "residual_scale": LogReal(0.05, 4),
        "norm": Choice(("none", "layer")),
    },
    recipe={
        "activation": "relu",
        "width": 64,
        "steps": 100,
        "batch_size": 64,
        "learning_rate": 0.02,
        "probe_every": 25,
    },
    budget={"trials": 500},
)
