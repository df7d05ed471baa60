"""A reader per format of configuration files; all give the words of `model`."""
