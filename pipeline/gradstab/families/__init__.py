"""Networks that come with gradstab, one file each: `build` returns a fresh module, `loss` one number a sample."""
