"""What is looked for in the configuration: a check and a pure function each, in one list."""

from bench.doctor.configuration.model import Rule
from bench.doctor.configuration.rules import (
    across,
    gunicorn,
    machine,
    nginx,
    supervisors,
    uwsgi,
    uwsgi_gevent,
)

RULES: tuple[Rule, ...] = (
    *uwsgi.RULES,
    *uwsgi_gevent.RULES,
    *gunicorn.RULES,
    *nginx.RULES,
    *supervisors.RULES,
    *across.RULES,
    *machine.RULES,
)
