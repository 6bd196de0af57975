"""The edge of critical_lines that is too sharp for it: deep GELU networks, looked at closely."""

from gradstab import LogReal, Study

STUDY = Study(
    name="gelu_jump",
    question="How sharply do gradients of a GELU network of 50 layers turn from vanishing to exploding?",
    prediction=(
        "Infinitely wide networks jump between two fixed lengths: R goes from -1 to +1 between 1.4638 and 1.4754. At "
        "width 256 each network jumps at a scale of its own, about 1 % apart, so that the median's band is 1 to 3 % "
        "wide and single networks near it do one or the other. (Said after a first look at 12 seeds at 6 scales.)"
    ),
    space={"init_scale": LogReal(1.38, 1.6)},
    recipe={
        "activation": "gelu",
        "depth": 50,
        "width": 256,
        "bias_scale": 0.05,
        "steps": 0,
        "probe_samples": 128,
    },
    budget={"trials": 384},
)
