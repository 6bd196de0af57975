"""Question 1: can gradients explode at all with a sigmoid, whose slope is at most 1/4?"""

from gradstab import LogInteger, LogReal, Study

STUDY = Study(
    name="sigmoid_explodes",
    question="Can gradients explode in a sigmoid network, and how large must its weights be?",
    prediction=(
        "Yes, above sigma_w = 10.15, ten times Glorot scale, once networks are deep; at 50 layers one decade is lost "
        "or won at 9.3 and 11.3. At sigma_w = 1 the gradient norm shrinks by .236 a layer."
    ),
    space={"init_scale": LogReal(0.8, 40), "depth": LogInteger(4, 50)},
    recipe={"activation": "sigmoid", "width": 256, "steps": 0},
    budget={"trials": 800},
)
