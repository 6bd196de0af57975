"""Measuring the gradient along depth, or along time, in any `torch.nn.Module`."""
