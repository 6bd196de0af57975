"""The declaration: study, space, recipe, criterion, sampler and data, read from a file and checked."""
