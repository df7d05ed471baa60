"""What a stop, a reload, a killed and a recycled worker cost the requests of a constant load."""
