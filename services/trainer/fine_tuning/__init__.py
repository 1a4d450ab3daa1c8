"""Fine-tuning a transformer with a linear head: the only place that imports torch and transformers."""
