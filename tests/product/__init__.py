"""What proves the machinery of the generated project; test_product.py runs it in a bake."""
