"""What a product's files must say alike. Each check is a function from a `Folder` to diagnostics."""
