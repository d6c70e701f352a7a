"""Information ports: what a product is, where its data comes from, who uses it, how good it is."""
