"""How fast acquisition functions are and whether their picks are right, beside the libraries that have them."""
