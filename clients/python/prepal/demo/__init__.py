"""The demonstration: real text from any machine, active learning beside random selection, fine-tuning at the end."""
