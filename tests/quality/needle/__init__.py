"""The needle laboratory: what each choice of tokens costs the shipped model in answers."""
