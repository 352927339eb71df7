"""Custom runtimes: a web server inside, spoken to through sockets of its sandbox's network."""
import json
import os
import unittest

from agent import LONG, Agent, Connection

# http.server of Python: answers as the last part of the handler says, tells what it got
PYTHON = '''#!/usr/bin/python3
import http.server, json, os, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self, status, body, **headers):
        self.send_response(status)
        for k, v in headers.items():
            self.send_header(k.replace('_', '-'), v)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        event = self.rfile.read(int(self.headers['Content-Length']))
        what = self.headers.get('x-fc-function-handler', '').partition('=')[2]
        print('got', self.path, flush=True)
        if self.path == '/initialize':
            open('/tmp/ready', 'w').write(what)
            return self.answer(500 if what == 'badinit' else 200, b'not today' if what == 'badinit' else b'')
        globals()['do_' + (what or 'echo')](self, event)
    def do_GET(self):
        print('got', self.path, flush=True)
        if os.path.exists('/tmp/slowstop'):
            time.sleep(1000)
        self.answer(200, b'')
def do_echo(h, event):
    h.answer(200, json.dumps({'path': h.path, 'event': event.decode(), 'headers': {k.lower(): v for k, v in h.headers.items()},
                              'initialised': os.path.exists('/tmp/ready')}).encode())
def do_size(h, event): h.answer(200, event * 2)
def do_fail(h, event): h.answer(500, b'it went wrong')
def do_status(h, event): h.answer(200, json.dumps({'errorMessage': 'mine', 'errorType': 'Mine'}).encode(), x_fc_status='404')
def do_fine(h, event): h.answer(500, b'a page', x_fc_status='200')
def do_head(h, event): h.answer(200, b'', x_a='a' * 9000)
def do_never(h, event): time.sleep(1000)
def do_hangup(h, event): h.connection.shutdown(2)
def do_junk(h, event): h.wfile.write(b'hello\\r\\n\\r\\n'); h.wfile.flush(); h.connection.shutdown(2)
def do_exit(h, event): os._exit(3)
def do_continue(h, event): h.wfile.write(b'HTTP/1.1 100 Continue\\r\\n\\r\\n'); h.answer(200, b'after 100')
def do_eof(h, event): h.wfile.write(b'HTTP/1.0 200 OK\\r\\n\\r\\nto the end'); h.wfile.flush(); h.connection.shutdown(1)
def do_short(h, event): h.wfile.write(b'HTTP/1.1 200 OK\\r\\nContent-Length: 100\\r\\n\\r\\nshort'); h.wfile.flush(); h.connection.shutdown(2)
def do_binary(h, event): h.answer(500, bytes(range(256)))
def do_slowstop(h, event): open('/tmp/slowstop', 'w'); h.answer(200, b'replied')
def do_chunks(h, event):
    h.send_response(200); h.send_header('Transfer-Encoding', 'chunked'); h.end_headers()
    for i in range(100):
        h.wfile.write(b'%x\\r\\n%s\\r\\n' % (len(event), event))
    h.wfile.write(b'0\\r\\nX-Trailer: x\\r\\n\\r\\n')
address = os.environ.get('ADDRESS', '0.0.0.0')
http.server.ThreadingHTTPServer((address, int(os.environ['FC_SERVER_PORT'])), Handler).serve_forever()
'''
NODE = '''
const http = require('http');
setTimeout(() => http.createServer((q, r) => {
  const parts = [];
  q.on('data', (p) => parts.push(p)).on('end', () => r.end(JSON.stringify([q.method, q.url, Buffer.concat(parts).toString(), q.headers['x-fc-request-id']])));
}).listen(Number(process.env.FC_SERVER_PORT), '127.0.0.1'), Number(process.env.LATE || 0));
'''
# answers any request with what it got; ?answer=STATUS is another status, ?die ends it
SITE = '''#!/usr/bin/python3
import http.server, json, os, urllib.parse
class Handler(http.server.BaseHTTPRequestHandler):
    def any(self):
        url = urllib.parse.urlsplit(self.path)
        query = urllib.parse.parse_qs(url.query, keep_blank_values=True)
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        if 'die' in query:
            os._exit(4)
        self.send_response(int(query.get('answer', ['201'])[0]))
        for name, value in (('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2'), ('Content-Type', 'text/x-site'), ('X-Fc-Request-Id', 'forged'),
                            ('Keep-Alive', 'x'), ('X-Site', 'yes')):
            self.send_header(name, value)
        self.end_headers()
        if self.command != 'HEAD' and 'empty' not in query:
            self.wfile.write(json.dumps([self.command, self.path, body.decode(), [[k.lower(), v] for k, v in self.headers.items()]]).encode())
    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_PURGE = any
http.server.HTTPServer(('', int(os.environ['FC_SERVER_PORT'])), Handler).serve_forever()
'''
FUNCTIONS = "/2023-03-30/functions"


class Custom(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent("--max-reply-bytes", "2M")

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def server(self, name, what="", files=None, runtime="custom", **fields):
        r = self.a.create(name, files or {"bootstrap": PYTHON}, runtime, "h=" + what, **fields)
        self.assertEqual(r.status, 200, r.body)
        return r

    def test_python(self):
        self.server("echo", customRuntimeConfig={"port": 8123}, environmentVariables={"ADDRESS": "127.0.0.1"})
        r = self.a.invoke("echo", b"an event", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        self.assertEqual((r.status, r.outcome), (200, "ok"), r.body)
        got = r.json()
        self.assertEqual((got["path"], got["event"], got["initialised"]), ("/invoke", "an event", False))
        h = got["headers"]
        for name, value in {"x-fc-request-id": r.headers["X-Fc-Request-Id"], "x-fc-control-path": "/invoke", "x-fc-function-name": "echo",
                            "x-fc-function-handler": "h=", "x-fc-function-memory": "128", "x-fc-function-timeout": str(LONG),
                            "x-fc-account-id": "default", "x-fc-version-id": "LATEST", "x-fc-qualifier": "LATEST", "x-fc-retry-count": "0",
                            "content-type": "application/octet-stream", "connection": "close", "host": "127.0.0.1:8123",
                            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}.items():
            self.assertEqual(h.get(name), value, name)
        self.assertFalse({"expect", "accept", "user-agent"} & set(h))
        timeline = json.loads(r.headers["X-Fcnode-Timeline"])
        self.assertGreater(timeline["init"], 0)

    def test_node_that_is_late(self):
        self.server("node", files={"server.js": NODE}, runtime="custom.debian12", memorySize=256,
                    customRuntimeConfig={"command": ["node"], "args": ["server.js"]}, environmentVariables={"LATE": "700"})
        r = self.a.invoke("node", b"ev")
        self.assertEqual((r.outcome, r.body and r.json()), ("ok", ["POST", "/invoke", "ev", r.headers["X-Fc-Request-Id"]]))
        got = self.a.request("GET", FUNCTIONS + "/node").json()
        self.assertEqual((got["runtime"], got["customRuntimeConfig"]),
                         ("custom.debian12", {"command": ["node"], "args": ["server.js"], "port": 9000}))

    def test_initializer_and_pre_stop(self):
        life = {"initializer": {"handler": "init", "timeout": LONG}, "preStop": {"handler": "stop", "timeout": 1}}
        self.server("life", instanceLifecycleConfig=life)
        r = self.a.invoke("life")
        self.assertEqual((r.outcome, r.json()["initialised"]), ("ok", True))
        lines = [x for x in self.a.log_of(r).body.decode().splitlines() if x.startswith("got ")]
        self.assertEqual(lines, ["got /initialize", "got /invoke", "got /pre-stop"])
        self.assertEqual(self.a.request("GET", FUNCTIONS + "/life").json()["instanceLifecycleConfig"], life)
        self.server("slowstop", "slowstop", instanceLifecycleConfig=life)
        r = self.a.invoke("slowstop")
        self.assertEqual((r.outcome, r.body), ("ok", b"replied"))
        self.server("badinit", "badinit", instanceLifecycleConfig=life)
        r = self.a.invoke("badinit")
        self.assertEqual((r.outcome, r.json()["errorMessage"]), ("init_error", "the initializer answered with HTTP status 500: not today"))

    def test_answers(self):
        event = os.urandom(8 << 10)
        for what, outcome, body in (("size", "ok", event * 2), ("fine", "ok", b"a page"), ("continue", "ok", b"after 100"),
                                    ("eof", "ok", b"to the end"), ("chunks", "ok", event * 100)):
            with self.subTest(what):
                self.server(what, what)
                r = self.a.invoke(what, event)
                self.assertEqual((r.outcome, r.body), (outcome, body))
        s = self.a.invoke("chunks", event, x_fcnode_response_mode="stream")
        self.assertEqual((s.status, s.body), (200, event * 100))
        big = os.urandom(2 << 20)
        self.assertEqual(self.a.invoke("size", big).outcome, "reply_too_large")

    def test_errors(self):
        for what, outcome, kind, text in (
                ("fail", "function_error", "Function.Error", "HTTP status 500: it went wrong"), ("status", "function_error", "Mine", "mine"),
                ("binary", "function_error", "Function.Error", "HTTP status 500"), ("head", "protocol", "Runtime.ProtocolError", "8192 bytes"),
                ("hangup", "protocol", "Runtime.ProtocolError", "without an answer"), ("junk", "protocol", "Runtime.ProtocolError", ""),
                ("short", "protocol", "Runtime.ProtocolError", ""), ("exit", "exit", "Runtime.ExitError", "exit status 3"),
                ("never", "timeout", "Sandbox.Timeout", "time out after 1 seconds")):
            with self.subTest(what):
                self.server(what, what, timeout=1 if what == "never" else LONG)
                r = self.a.invoke(what, b"x")
                self.assertEqual((r.status, r.outcome, r.json()["errorType"]), (200, outcome, kind), r.body)
                self.assertIn(text, r.body.decode())
                self.assertTrue(r.headers["X-Fc-Error-Type"])

    def test_no_server(self):
        self.server("exits", files={"bootstrap": "#!/bin/sh\nexit 7\n"})
        r = self.a.invoke("exits")
        self.assertEqual((r.status, r.code, r.outcome), (412, "CAExited", "init_error"))
        self.assertIn("exit status 7", r.json()["Message"])
        self.server("missing", customRuntimeConfig={"command": ["/code/no"]})
        r = self.a.invoke("missing")
        self.assertEqual((r.status, r.code), (412, "CAFileNotFound"))
        self.server("deaf", files={"bootstrap": "#!/bin/sh\nexec sleep 1000\n"},
                    instanceLifecycleConfig={"initializer": {"handler": "i", "timeout": 1}})
        r = self.a.invoke("deaf")
        self.assertEqual((r.outcome, r.json()["errorType"]), ("timeout", "Sandbox.Timeout"))
        self.assertIn("initialization", r.json()["errorMessage"])

    def test_requests_that_are_passed_on(self):
        a = self.a
        self.server("site", files={"bootstrap": SITE})
        self.assertEqual(a.request("POST", FUNCTIONS + "/site/versions", "{}").status, 200)
        for method, path, sent, got in (("GET", "/a/b%20c?x=1&x=2&y", None, ""), ("POST", "/form", "a=b", "a=b"), ("PUT", "/", "", ""),
                                        ("DELETE", "/x/../y//z", None, ""), ("PATCH", "/x", "p", "p"), ("PURGE", "/x", None, "")):
            with self.subTest(method):
                r = a.request(method, "/proxy/site" + path, sent, X_Mine="1", X_Fc_Function_Name="forged", User_Agent="me", Te="x", Host="me.example")
                self.assertEqual((r.status, r.headers["Content-Type"], r.headers.get_all("Set-Cookie"), r.headers["X-Site"]),
                                 (201, "text/x-site", ["a=1", "b=2"], "yes"), r.body)
                self.assertEqual((r.headers["Keep-Alive"], r.headers["Server"]), (None, None))
                self.assertNotEqual(r.headers["X-Fc-Request-Id"], "forged")
                command, target, body, fields = r.json()
                self.assertEqual((command, target, body), (method, path, got))
                fields = {k: v for k, v in fields}
                self.assertEqual([fields.get(k) for k in ("x-mine", "user-agent", "host", "x-fc-function-name", "x-fc-control-path", "te")],
                                 ["1", "me", "me.example", "site", "/http-invoke", None])
                self.assertEqual(fields["x-fc-request-id"], r.headers["X-Fc-Request-Id"])
        r = a.request("HEAD", "/proxy/site.1/x")
        self.assertEqual((r.status, r.headers["X-Site"], r.body), (201, "yes", b""))
        self.assertEqual(a.request("GET", "/proxy/site?answer=418").json()[1], "/?answer=418")
        for status in 200, 404, 500:
            self.assertEqual(a.request("GET", "/proxy/site/?answer=%d" % status).status, status)
        r = a.request("GET", "/proxy/site/?answer=204&empty")
        self.assertEqual((r.status, r.headers["X-Site"], r.body), (204, "yes", b""))
        self.assertEqual(a.usage(requestId=r.headers["X-Fc-Request-Id"])[0]["outcome"], "ok")

    def test_requests_that_cannot_be_passed_on(self):
        a = self.a
        self.server("site2", files={"bootstrap": SITE})
        a.python("event", "def handler(e, c):\n    return e\n")
        r = a.request("GET", "/proxy/site2/?die")
        self.assertEqual((r.status, r.headers["X-Fc-Error-Type"], r.json()["errorType"]), (502, "UnhandledInvocationError", "Runtime.ExitError"))
        for path, status, code in (("none/", 404, "FunctionNotFound"), ("site2.none/", 404, "AliasNotFound"), ("event/", 400, "InvalidArgument"),
                                   ("", 400, "InvalidArgument"), ("/x", 400, "InvalidArgument"), (".1/x", 400, "InvalidArgument"), ("1x/", 400, "InvalidArgument"), ("site2.7/", 404, "VersionNotFound")):
            with self.subTest(path):
                r = a.request("GET", "/proxy/" + path)
                self.assertEqual((r.status, r.code), (status, code), r.body)

    def test_refused_settings(self):
        for field, fields in (("port", {"customRuntimeConfig": {"port": 0}}), ("command[0]", {"customRuntimeConfig": {"command": [1]}}),
                              ("args", {"customRuntimeConfig": {"args": ["x"]}}), ("command", {"customRuntimeConfig": {"command": ["x"] * 65}}),
                              ("prot", {"customRuntimeConfig": {"prot": 1}}), ("handler", {"handler": "a\r\nb"}),
                              ("healthCheckConfig", {"customRuntimeConfig": {"healthCheckConfig": {"httpGetUrl": "/"}}}),
                              ("preStop.timeout", {"instanceLifecycleConfig": {"preStop": {"handler": "x", "timeout": 91}}})):
            with self.subTest(field):
                r = self.a.create("bad", {"bootstrap": PYTHON}, "custom", **{"handler": "h", **fields})
                self.assertEqual((r.status, r.code), (400, "InvalidArgument"), r.body)
                self.assertIn(field, r.json()["Message"])
        r = self.a.create("bad", {"index.py": ""}, customRuntimeConfig={"command": ["x"]})
        self.assertEqual(r.status, 400, r.body)

    def test_nobody_else_reaches_it(self):
        """Another sandbox, and the host, have their own 127.0.0.1."""
        self.server("held", "never")
        c = Connection(self.a.socket)
        self.addCleanup(c.close)
        c.request("POST", FUNCTIONS + "/held/invocations", b"")
        while not any(i["status"] == "Running" for i in self.a.request("GET", FUNCTIONS + "/held/instances").json()["instances"]):
            pass
        self.a.python("probe", "import socket\ndef handler(e, c):\n    try:\n        socket.create_connection(('127.0.0.1', 9000), 1)\n"
                               "        return 'reached'\n    except ConnectionRefusedError:\n        return 'refused'\n")
        self.assertEqual(self.a.invoke("probe").body, b"refused")


if __name__ == "__main__":
    unittest.main()
