"""One label at a time: record it, refit, select the next; and Select again without new labels."""
