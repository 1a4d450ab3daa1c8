"""The services of PRepAL."""
