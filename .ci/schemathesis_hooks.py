# Schemathesis sends one request after the other: a RECV that waits as long as it may would be most of its time.
import schemathesis

SHORT_MS = 20


def shorten(request):
    wait_ms = request.get("wait_ms") if isinstance(request, dict) else None
    if isinstance(wait_ms, int) and not isinstance(wait_ms, bool) and SHORT_MS < wait_ms <= 20000:
        request["wait_ms"] = SHORT_MS


@schemathesis.hook
def before_call(context, case, kwargs):
    for request in case.body if isinstance(case.body, list) else [case.body]:
        shorten(request)
