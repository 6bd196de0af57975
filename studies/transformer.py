"""Why do pre-norm transformers need no warm-up, and post-norm ones do?"""

from gradstab import Choice, LogInteger, LogReal, Model, Study, TextBytes

STUDY = Study(
    name="transformer",
    question="Up to which learning rate do pre-norm and post-norm decoders train, by depth, init scale and warm-up?",
    prediction=(
        "The last norm of a pre-norm decoder divides by the length of the stream, which grows with depth, so the "
        "gradient at its last block falls as about the root of depth; in a post-norm decoder it stays (theorem 1 of "
        "Xiong et al. 2020). So a learning rate that suits shallow decoders moves the last blocks of a deep post-norm "
        "one too far before the first ones are moved at all: without warm-up the largest rate that trains falls by 2 "
        "or more from 2 to 12 blocks, and pre-norm's hardly depends on depth. R does not tell them apart: probes of 12 "
        "blocks before this study gave -.2 to .5 for both, because with a causal mask post-norm gradients do not grow "
        "towards the output as they do in an encoder. So |R| < 1 nearly everywhere, and training draws the region. "
        "Warm-up over the first half of the steps, at 12 blocks and init scale 1: post-norm's largest rate that trains "
        "rises by 1.5 or more, pre-norm's by less than 1.5. At 2 blocks it changes both by less than 1.5. The smallest "
        "rate that trains rises by about a third for both, because the rates of a warmed-up training add up to three "
        "quarters of the others'."
    ),
    # bytes of this text have an entropy of 3.26 nats; in a pilot, the first 49 trials of a run that was then ended, 16
    # decoders came below 3.1
    model=Model("transformer", settings={"heads": 4, "context": 16}, target_loss=3.1),
    data=TextBytes(context=16),
    space={
        "norm_place": Choice(("pre", "post")),
        "warmup_steps": Choice((0, 50)),
        "depth": LogInteger(2, 12),
        "init_scale": LogReal(0.3, 3),
        "learning_rate": LogReal(3e-4, 0.1),
    },
    recipe={"width": 32, "optimizer": "adam", "steps": 100, "batch_size": 8, "probe_every": 100, "probe_samples": 64},
    budget={"trials": 200},
)
