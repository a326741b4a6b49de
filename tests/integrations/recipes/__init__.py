"""The recipes of docs/recipes.rst, which shows these files; the tests run them."""
