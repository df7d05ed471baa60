"""Child processes: started in a session of their own, ready by probe, never left behind."""
