"""Reports: a run goes in, text comes out; only the command line writes it anywhere."""
