"""How deep can a tanh network be and still train, against the depth scale xi_c of theory?"""

from gradstab import Choice, LogInteger, Study

STUDY = Study(
    name="trainable_depth",
    question="Up to which depth do tanh networks with sigma_b^2 = .05 train in 200 plain SGD steps?",
    prediction=(
        "Up to about 6 xi_c on both sides of criticality at sigma_w^2 = 1.76: accuracy falls through one half at 22 "
        "layers for sigma_w^2 = 1, 47 for 1.3, 48 for 3.4 and 42 for 4, give or take a quarter; near criticality 96 "
        "layers train."
    ),
    space={
        # sigma_w^2 = .7, 1, 1.3, 1.76, 2.4, 3, 3.4, 4, 5
        "init_scale": Choice((0.83666, 1.0, 1.140175, 1.32665, 1.549193, 1.732051, 1.843909, 2.0, 2.236068)),
        "depth": LogInteger(6, 96),
    },
    recipe={
        "activation": "tanh",
        "bias_scale": 0.223607,
        "width": 100,
        "steps": 200,
        "batch_size": 100,
        "learning_rate": 0.01,
        "probe_every": 50,
    },
    criterion={"responses": ["T"]},
    budget={"trials": 396},
)
