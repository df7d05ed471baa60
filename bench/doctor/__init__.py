"""What will not work under gevent, or in production: found in an app, and in its server's files."""
