"""What runs in the app's own interpreter: nothing here is imported by this program itself."""
