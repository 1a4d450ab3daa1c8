"""How fast texts are embedded, beside sentence-transformers."""
