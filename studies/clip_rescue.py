"""Question 4: does clipping cure explosion, and what does it do for vanishing? Judged by training alone."""

from gradstab import Choice, LogInteger, LogReal, Study

STUDY = Study(
    name="clip_rescue",
    question="Which ReLU networks that start too large does clipping by global norm save, and which too small?",
    prediction=(
        "Without clipping networks diverge once R at the start passes about +1 to +2 decades. With it none diverges up "
        "to 1.8 at 20 layers, and those within about 25 % of the threshold train; further up they stay finite and do "
        "not learn. Below the threshold clipping changes nothing: the lower edge of training is the same with and "
        "without. Thresholds well below 1 move the upper edge most, and below .1 slow training down."
    ),
    space={
        "init_scale": LogReal(0.9, 3),
        "depth": LogInteger(4, 32),
        "clip": Choice((False, True)),
        "clip_threshold": LogReal(0.03, 10),
    },
    recipe={"activation": "relu", "width": 96, "steps": 200, "batch_size": 96, "learning_rate": 0.1, "probe_every": 25},
    criterion={"responses": ["T"]},
    budget={"trials": 800},
)
