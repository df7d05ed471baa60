"""The tutorial's gevent.pywsgi server. It patches after the app is imported, as there: too late."""

import os

from app import app
from gevent import monkey
from gevent.pywsgi import WSGIServer

monkey.patch_all()

host, _, port = os.environ["BIND"].rpartition(":")
WSGIServer((host, int(port)), app).serve_forever()
