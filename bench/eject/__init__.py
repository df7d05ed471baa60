"""What production needs, made of the files that were measured, for an app of the user's."""
