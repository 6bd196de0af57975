"""Does clipping rescue exploding recurrences, and how long a memory do gradients reach?"""

from gradstab import Choice, DigitPixels, LogReal, Model, Study

STUDY = Study(
    name="rnn",
    question="At which recurrent scale do gradients survive 64 steps in three cells, and what does clipping change?",
    prediction=(
        "Vanilla: the rate per step is 1/2 ln chi_1 with the input's drive of .09 (Chen et al. 2018), -.78 at scale "
        ".5, -.18 at 1, +.14 at 2: gradients reach 1.3 and 5.6 steps back, and R = -1, 0, 1 over 64 steps at 1.27, "
        "1.38, 1.50, within 10 % (the theory has inputs that change at random, and pixels are alike). So the band is "
        "18 % wide. LSTM and GRU with forget bias 1: the gate alone gives ln sigmoid(1) = -.31 a step, a memory of 3 "
        "steps, hardly dependent on the scale below 1; their R passes +1 nowhere below scale 2. Clipping changes no R. "
        "It moves the upper edge of training by at most a factor 1.3 in the vanilla cell, since a saturating state "
        "cannot diverge, and the lower edge not at all."
    ),
    # guessing has 2.30 nats; in a pilot of 24 trials (seed 1) 10 were below 1.3 after 50 steps
    model=Model("rnn", settings={"features": 1, "input_scale": 0.3}, target_loss=1.3),
    data=DigitPixels(),
    space={
        "cell": Choice(("vanilla", "lstm", "gru")),
        "init_scale": LogReal(0.4, 4),
        "clip": Choice((False, True)),
        "clip_threshold": LogReal(0.03, 10),
    },
    recipe={
        "width": 48,
        "optimizer": "adam",
        "learning_rate": 0.01,
        "steps": 50,
        "batch_size": 64,
        "probe_every": 50,
        "probe_samples": 64,
    },
    budget={"trials": 200},
)
