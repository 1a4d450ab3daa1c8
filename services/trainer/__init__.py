"""The trainer: fine-tuning jobs that survive the end of any process."""
