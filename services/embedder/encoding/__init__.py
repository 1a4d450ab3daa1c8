"""From texts to tokens to vectors: tokenizers, pooling, and the engines that run a backbone."""
