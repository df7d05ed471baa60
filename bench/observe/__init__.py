"""What a trial costs and goes through: its processes, their sockets, the kernel, the noise."""
