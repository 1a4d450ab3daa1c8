"""PRepAL: active learning on text over pretrained representations."""
