"""The init scales at which the end-to-end gradient ratio R is -1, 0 and +1 decade, from measured trials."""

from gradstab import Choice, LogReal, Study

STUDY = Study(
    name="critical_lines",
    question="At which init scale is R = -1, 0, +1 for tanh, ReLU, sigmoid and GELU networks of 5, 10, 20, 50 layers?",
    prediction=(
        "Where the product of chi_1 along the lengths passed says, within 4 %: ReLU sqrt(2) 10^(+-1/(L-1)); R = 0 "
        "falls with depth to 1.12 for tanh and to 10.15 for sigmoid, and jumps near 1.465 for GELU at L = 50, where "
        "finite width smears the jump and the band is wider than theory's .8 %."
    ),
    space={
        "activation": Choice(("tanh", "relu", "sigmoid", "gelu")),
        "depth": Choice((5, 10, 20, 50)),
        "relative_init_scale": LogReal(0.3, 5.5),
    },
    recipe={"width": 256, "bias_scale": 0.05, "steps": 0, "probe_samples": 128},
    budget={"trials": 2048},
)
