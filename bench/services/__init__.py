"""What a target needs beside itself: the slow API, a Postgres, nginx."""
