"""Replies that are sent while the function writes them, with trailers; and the trace context that goes in."""
import json
import socket
import unittest

from agent import SCALE, Agent, Connection

PAUSE = SCALE  # seconds between two pieces: longer than the test needs to look in between
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Stream:
    """One streamed call, its chunks read as they come, with the trailers that http.client throws away."""

    def __init__(self, agent, name, event=b"", **headers):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(60 * min(SCALE, 4))
        self.s.connect(agent.socket)
        extra = "".join("%s: %s\r\n" % (k.replace("_", "-"), v) for k, v in headers.items())
        self.s.sendall(("POST /2023-03-30/functions/%s/invocations HTTP/1.1\r\nHost: x\r\nX-Fcnode-Response-Mode: stream\r\n"
                        "%sContent-Length: %d\r\n\r\n" % (name, extra, len(event))).encode() + event)
        self.file = self.s.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = self.fields()

    def fields(self):
        out = {}
        while (line := self.file.readline().strip()):
            name, value = line.decode().split(":", 1)
            out[name.lower()] = value.strip()
        return out

    def chunk(self):
        """The next one; b"" at the end, with the trailers read."""
        n = int(self.file.readline(), 16)
        data = self.file.read(n)
        if n == 0:
            self.trailers = self.fields()
        else:
            self.file.readline()
        return data

    def rest(self):
        out = []
        while data := self.chunk():
            out.append(data)
        return b"".join(out)

    def close(self):
        self.file.close()
        self.s.close()


class Streaming(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent("--max-reply-bytes", "1M")

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def stream(self, name, *args, **headers):
        s = Stream(self.a, name, *args, **headers)
        self.addCleanup(s.close)
        return s

    def test_the_first_piece_comes_while_the_function_still_runs(self):
        a = self.a
        a.shell("sh", "echo one; sleep %s; echo two" % PAUSE)
        a.python("py", "import time\ndef handler(event, context):\n    yield 'one\\n'\n    time.sleep(%s)\n    yield b'two\\n'\n" % PAUSE)
        a.create("js", {"index.js": "exports.handler = async function* () {\n  yield 'one\\n';\n"
                                    "  await new Promise((go) => setTimeout(go, %s * 1000));\n  yield Buffer.from('two\\n');\n};" % PAUSE}, "nodejs", memorySize=256)
        for name in "sh", "py", "js":
            with self.subTest(name):
                s = self.stream(name, x_fc_log_type="Tail")
                self.assertEqual((s.status, s.headers["transfer-encoding"]), (200, "chunked"))
                self.assertIn("x-fc-instance-id", s.headers)
                self.assertNotIn("x-fcnode-outcome", s.headers)
                self.assertEqual(s.chunk(), b"one\n")
                running = a.request("GET", "/2023-03-30/functions/%s/instances" % name).json()["instances"]
                self.assertEqual(len(running), 1, "its first piece came only when it had ended")
                self.assertEqual(s.rest(), b"two\n")
                self.assertEqual(s.trailers["x-fcnode-outcome"], "ok")
                self.assertLessEqual({"x-fc-log-result", "x-fcnode-billed-duration", "x-fcnode-timeline"}, set(s.trailers))
                self.assertLessEqual(set(s.trailers), {x.strip().lower() for x in s.headers["trailer"].split(",")})

    def test_larger_than_what_is_kept(self):
        self.a.shell("big", "head -c 30000000 /dev/zero")
        self.assertEqual(self.a.invoke("big").outcome, "reply_too_large")
        s = self.stream("big")
        self.assertEqual(s.rest(), bytes(30000000))
        self.assertEqual(s.trailers["x-fcnode-outcome"], "ok")

    def test_who_reads_slowly_holds_the_function_up_and_nothing_else(self):
        """A function that could write without end writes what pipes and buffers hold, until its time is up."""
        self.a.shell("endless", "exec cat /dev/zero", timeout=1 + SCALE)
        s = self.stream("endless")
        s.chunk()
        held = []
        while self.a.request("GET", "/2023-03-30/functions/endless/instances").json()["instances"]:
            held.append(self.a.metric("fcnode_http_reply_bytes"))
        self.assertLess(max(held), 2 << 20)
        s.rest()
        self.assertEqual((s.trailers["x-fcnode-outcome"], s.trailers["x-fc-error-type"]), ("timeout", "UnhandledInvocationError"))
        self.assertEqual(json.loads(s.trailers["x-fcnode-error"])["errorType"], "Sandbox.Timeout")
        self.assertEqual(self.a.metric("fcnode_http_reply_bytes"), 0)

    def test_errors_before_and_after_the_first_piece(self):
        a = self.a
        a.python("early", "def handler(event, context):\n    raise ValueError('early')\n    yield 'x'\n")
        a.python("late", "def handler(event, context):\n    yield 'x'\n    raise ValueError('lät\\n')\n")
        c = Connection(a.socket)
        self.addCleanup(c.close)
        c.request("POST", "/2023-03-30/functions/early/invocations", b"", {"X-Fcnode-Response-Mode": "stream"})
        r = c.getresponse()
        self.assertEqual((r.status, r.headers["X-Fc-Error-Type"]), (200, "UnhandledInvocationError"))
        self.assertEqual(json.loads(r.read())["errorMessage"], "early")
        s = self.stream("late")
        self.assertEqual(s.rest(), b"x")
        self.assertEqual((s.trailers["x-fcnode-outcome"], s.trailers["x-fc-error-type"]), ("function_error", "UnhandledInvocationError"))
        self.assertEqual(json.loads(s.trailers["x-fcnode-error"]), {"errorMessage": "lät\n", "errorType": "ValueError"})
        self.assertEqual(a.invoke("late").json()["errorType"], "ValueError")

    def test_fcctl(self):
        a = self.a
        a.python("ctl", "def handler(event, context):\n    yield b'one'\n    if event:\n        raise ValueError('no more')\n")
        r = a.fcctl("invoke", "ctl")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, b"one", b""))
        r = a.fcctl("invoke", "--event", "x", "ctl")
        self.assertEqual((r.returncode, r.stdout), (a.fcctl("invoke", "--event", "x", "-o", "/dev/null", "ctl").returncode, b"one"))
        self.assertRegex(r.stderr.decode(), r"^fcctl: function error \(function_error\): ValueError: no more \(request [-0-9a-f]+\)\n$")
        self.assertNotEqual(r.returncode, 0)

    def test_not_asked_for(self):
        self.a.python("pieces", "def handler(event, context):\n    return iter(['a', b'b', {'c': 1}])\n")
        r = self.a.invoke("pieces")
        self.assertEqual((r.body, r.headers["Content-Length"]), (b'ab{"c": 1}', "10"))
        r = self.a.invoke("pieces", x_fcnode_response_mode="slowly")
        self.assertEqual((r.status, r.code), (400, "InvalidArgument"))

    def test_who_hangs_up(self):
        self.a.shell("endless2", "exec cat /dev/zero")
        s = self.stream("endless2")
        s.chunk()
        request = s.headers["x-fc-request-id"]
        s.close()
        while not (records := self.a.usage(requestId=request)):
            pass
        self.assertEqual([r["outcome"] for r in records], ["client_gone"])
        self.assertEqual(self.a.metric("fcnode_http_reply_bytes"), 0)

    def test_an_agent_that_stops(self):
        a = Agent("--drain-timeout", "100ms")
        self.addCleanup(a.close)
        a.shell("waits", "echo one; exec sleep 1000")
        s = Stream(a, "waits")
        self.addCleanup(s.close)
        self.assertEqual(s.chunk(), b"one\n")
        self.assertEqual(a.stop(), 0)
        self.assertEqual(s.rest(), b"")
        self.assertEqual(s.trailers["x-fcnode-outcome"], "shutdown")
        self.assertEqual(json.loads(s.trailers["x-fcnode-error"])["Code"], "ServiceUnavailable")

    def test_trace_context(self):
        a = self.a
        a.python("trace", "def handler(event, context):\n    return [context.traceparent, context.tracestate]\n")
        a.create("tracejs", {"index.js": "exports.handler = async (e, c) => [c.traceparent, c.tracestate];"}, "nodejs", memorySize=256)
        for name in "trace", "tracejs":
            with self.subTest(name):
                self.assertEqual(a.invoke(name, traceparent=TRACE, tracestate="a=1").json(), [TRACE, "a=1"])
        a.shell("tracesh", 'echo "$TRACEPARENT $TRACESTATE $FC_REQUEST_ID"; test "$FC_DEADLINE_MS" -gt "$(date +%s000)"')
        r = a.invoke("tracesh", traceparent=TRACE, tracestate="a=1")
        self.assertEqual((r.outcome, r.body.decode()), ("ok", "%s a=1 %s\n" % (TRACE, r.headers["X-Fc-Request-Id"])))
        self.assertEqual(a.invoke("trace", traceparent=TRACE[:-1], tracestate="a=1").json(), [None, None])
        self.assertEqual(a.invoke("trace", traceparent="01" + TRACE[2:] + "-more").json(), [TRACE, None])


if __name__ == "__main__":
    unittest.main()
