"""Flask's settings, and what the app keeps in one process although there are several."""

import ast
from collections.abc import Iterator

from bench.doctor.facts import Facts, FlaskApp, Rule
from bench.doctor.findings import Check, Evidence, Finding
from bench.doctor.sources import Sources

RANDOM = (
    "os.urandom", "secrets.token_hex", "secrets.token_bytes", "secrets.token_urlsafe",
    "uuid.uuid4", "random.random", "random.randbytes", "random.getrandbits", "random.choices",
)  # fmt: skip
KEY_NAMES = ("secret_key", "SECRET_KEY")
OF_THE_CLIENT = tuple(
    f"flask.request.{name}"
    for name in ("remote_addr", "access_route", "is_secure", "scheme", "host_url", "url_root")
)
PROXY_FIX = "ProxyFix"
HEADERS = ("x-forwarded-", "x-real-ip", "x_forwarded_", "x_real_ip")

DEBUG = Check(
    "debug-on",
    "warning",
    "Debug mode is on",
    "Errors are raised instead of answered with the app's own pages, templates are read again for"
    " each request, and the debugger runs any code that a visitor types where it is reached.",
    "https://flask.palletsprojects.com/en/stable/debugging/",
    "Remove app.debug = True and FLASK_DEBUG: the development server sets it by itself (--debug).",
)
TESTING = Check(
    "testing-on",
    "warning",
    "Testing mode is on",
    "Errors are raised through the app instead of handled, and extensions leave out their work"
    " (mail, limits, CSRF).",
    "https://flask.palletsprojects.com/en/stable/config/#TESTING",
    "Set TESTING in the tests only.",
)
RANDOM_KEY = Check(
    "secret-key-random",
    "error",
    "Every process has another secret key",
    "A session that one worker signed is refused by the next: users are logged out at random, and"
    " all of them at each restart.",
    "https://flask.palletsprojects.com/en/stable/config/#SECRET_KEY",
    "Make a key once (python -c 'import secrets; print(secrets.token_hex())') and read it from the"
    " environment.",
)
WEAK_KEY = Check(
    "secret-key-guessable",
    "warning",
    "The secret key can be guessed",
    "Whoever knows the key signs sessions as anybody. Keys of tutorials are the first that are"
    " tried, and short ones are found by trying.",
    "https://flask.palletsprojects.com/en/stable/config/#SECRET_KEY",
    "Make one (python -c 'import secrets; print(secrets.token_hex())') and read it from the"
    " environment.",
)
NO_KEY = Check(
    "secret-key-missing",
    "error",
    "Sessions without a secret key",
    "The first request that writes to the session raises a RuntimeError.",
    "https://flask.palletsprojects.com/en/stable/quickstart/#sessions",
    "Set SECRET_KEY; if it comes from the environment, give that with --env-file.",
)
PROXY = Check(
    "proxy-not-trusted",
    "warning",
    "Behind nginx the app takes the proxy for its client",
    "Without ProxyFix the client's address is that of nginx for all, and the scheme is http: limits"
    " by address lock everybody out, links and redirects are wrong.",
    "https://flask.palletsprojects.com/en/stable/deploying/proxy_fix/",
    "app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1), only behind a proxy"
    " that sets these headers.",
)
LIMITS = Check(
    "limits-per-process",
    "warning",
    "Each worker counts its limits alone",
    "Flask-Limiter counts in memory: a client gets the limit once per worker, and again after each"
    " restart.",
    "https://flask-limiter.readthedocs.io/en/stable/#configuring-a-storage-backend",
    "Give it a storage that workers share: storage_uri='redis://…'",
)
SOCKETIO = Check(
    "socketio-workers",
    "warning",
    "Socket.IO with several workers",
    "Requests of one client must reach the same process, and neither gunicorn nor uWSGI sees to"
    " that: clients get 400 and connect again and again.",
    "https://flask-socketio.readthedocs.io/en/latest/deployment.html",
    "WORKERS=1 per server, several servers behind a proxy that keeps clients apart (ip_hash), and a"
    " message queue between them.",
)


def _settings(facts: Facts) -> FlaskApp:
    return facts.imported.flask_app or FlaskApp()


def debug(facts: Facts) -> Iterator[Finding]:
    """Find ``app.debug``."""
    if _settings(facts).debug:
        yield Finding(DEBUG, "app.debug is true after the import", (Evidence("app.debug"),))


def testing(facts: Facts) -> Iterator[Finding]:
    """Find ``app.testing``."""
    if _settings(facts).testing:
        yield Finding(TESTING, "app.testing is true after the import", (Evidence("app.testing"),))


def random_keys(sources: Sources) -> Iterator[Evidence]:
    """Yield where a key may be made anew by each process: a second import tells."""
    for source in sources:
        for node in ast.walk(source.tree):
            value = _key_value(node)
            calls = (
                [each for each in ast.walk(value) if isinstance(each, ast.Call)] if value else []
            )
            if any(source.reader.resolve(each.func) in RANDOM for each in calls):
                yield source.evidence(getattr(node, "lineno", 0) or calls[0].lineno)


def _key_value(node: ast.AST) -> ast.expr | None:
    """Return what is given to something that is called like the key."""
    if isinstance(node, ast.keyword):
        return node.value if node.arg in KEY_NAMES else None
    if isinstance(node, ast.Assign):
        for target in node.targets:
            name = target.slice if isinstance(target, ast.Subscript) else target
            said = {getattr(name, part, None) for part in ("value", "attr", "id")}
            if any(key in said for key in KEY_NAMES):
                return node.value
    return None


def random_key(facts: Facts) -> Iterator[Finding]:
    """Compare the keys of two processes."""
    secret = _settings(facts).secret
    if secret and facts.key_of_another and secret.hash != facts.key_of_another:
        places = tuple(random_keys(facts.sources))
        message = "two imports of the app made two keys"
        yield Finding(RANDOM_KEY, message, places or (Evidence("app.secret_key"),))


def weak_key(facts: Facts) -> Iterator[Finding]:
    """Find a key that is short, or in every tutorial."""
    secret = _settings(facts).secret
    if secret and (secret.public or secret.short):
        why = "it stands in tutorials" if secret.public else "it has less than 16 bytes"
        yield Finding(WEAK_KEY, why, (Evidence("app.secret_key (not shown)"),))


def no_key(facts: Facts) -> Iterator[Finding]:
    """Find the use of sessions where there is none."""
    app = facts.imported.flask_app
    if app is None or app.secret or not app.signs_sessions:
        return
    uses = [source.evidence(line) for source, _, line in facts.sources.imports("flask.session")]
    uses += [use.evidence for use in facts.sources.calls("flask.flash")]
    if uses:
        yield Finding(NO_KEY, "app.secret_key is not set, and the session is used", tuple(uses[:3]))


def proxy(facts: Facts) -> Iterator[Finding]:
    """Find what is asked of the client where a proxy stands between."""
    behind = [each.name for each in facts.deployments if each.proxy]
    if not behind or facts.imported.flask_app is None:
        return
    if PROXY_FIX in facts.imported.flask_app.middleware:
        return
    asked = [
        source.evidence(line)
        for source in facts.sources
        if not any(header in source.text.lower() for header in HEADERS)  # it asks for itself
        for name, line in source.reader.attributes
        if name in OF_THE_CLIENT
    ]
    if asked:
        message = f"under {', '.join(behind)} this is about nginx"
        yield Finding(PROXY, message, tuple(asked))


def limits(facts: Facts) -> Iterator[Finding]:
    """Find limits in memory."""
    if _settings(facts).limiter_in_memory and facts.workers > 1:
        message = f"{facts.workers} workers: {facts.workers} times the limit"
        yield Finding(LIMITS, message, (Evidence("Limiter(storage_uri='memory://')"),))


def socketio(facts: Facts) -> Iterator[Finding]:
    """Find Socket.IO where there are several workers."""
    if _settings(facts).socketio and facts.workers > 1:
        message = f"{facts.workers} workers behind one port"
        yield Finding(SOCKETIO, message, (Evidence("app.extensions['socketio']"),))


RULES: tuple[Rule, ...] = (
    Rule(DEBUG, debug, gevent_only=False),
    Rule(TESTING, testing, gevent_only=False),
    Rule(RANDOM_KEY, random_key, gevent_only=False),
    Rule(WEAK_KEY, weak_key, gevent_only=False),
    Rule(NO_KEY, no_key, gevent_only=False),
    Rule(PROXY, proxy, gevent_only=False),
    Rule(LIMITS, limits, gevent_only=False),
    Rule(SOCKETIO, socketio, gevent_only=False),
)
