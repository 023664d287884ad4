"""The words: values, errors, ports and the few pure rules that every room shares. Standard library only."""
