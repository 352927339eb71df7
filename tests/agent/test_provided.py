"""Runtime provided: programs that ask the Runtime API inside, in both of its dialects."""
import json
import os
import unittest

from agent import LONG, Agent

# a bootstrap as Lambda's documentation shows it: the handler says what it does with the event
SHELL = r'''#!/bin/sh
set -eu
api=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime
post() { curl -sS -o /tmp/answer -w '%{http_code}\n' "$@" >>/tmp/codes; }
case $_HANDLER in
badinit)
	post -H 'Lambda-Runtime-Function-Error-Type: Runtime.NoSuchHandler' -d '{"errorMessage":"no handler","errorType":"Runtime.NoSuchHandler"}' "$api/init/error"
	exit 129 ;;
early) post -d x "$api/invocation/1/response"; cat /tmp/codes >&2 ;;
noinit) exit 4 ;;
esac
curl -sS -D /tmp/head -o /tmp/event "$api/invocation/next"
id=$(sed -n 's/^Lambda-Runtime-Aws-Request-Id: *\([^[:space:]]*\).*/\1/ip' /tmp/head)
case $_HANDLER in
echo | early) post --data-binary @/tmp/event "$api/invocation/$id/response" ;;
head) post --data-binary @/tmp/head "$api/invocation/$id/response" ;;
env) { env; ls /var/task; readlink /proc/self/cwd; } | post --data-binary @- "$api/invocation/$id/response" ;;
upper) tr a-z A-Z </tmp/event | post -T - -X POST "$api/invocation/$id/response" ;;
error) post -d '{"errorMessage":"boom","errorType":"MyError","trace":["line 1","line 2"]}' "$api/invocation/$id/error" ;;
text) post -d 'it just went wrong' "$api/invocation/$id/error" ;;
exit) echo 'goodbye' >&2; exit 3 ;;
wrong)
	post -d no "$api/invocation/00000000-0000-0000-0000-000000000000/response"
	post -d no "$api/invocation/$id/reply"
	curl -sS -o /dev/null -w '%{http_code}\n' "$api/invocation/next" >>/tmp/codes
	post --data-binary @/tmp/codes "$api/invocation/$id/response" ;;
twice)
	post -d first "$api/invocation/$id/response"
	post -d second "$api/invocation/$id/response" || : ;;
never) exec sleep 1000 ;;
esac
exec sleep 1000
'''
# the other dialect, over one kept connection, as Function Compute's clients do
FC = r'''#!/usr/bin/python3
import http.client, json, os, threading
def ask(c, method, path, body=None, **headers):
    c.request(method, '/2020-11-11/runtime/' + path, body, headers)
    r = c.getresponse()
    return r.status, dict((k.lower(), v) for k, v in r.getheaders()), r.read()
c = http.client.HTTPConnection(os.environ['FC_RUNTIME_API'])
status, head, event = ask(c, 'GET', 'invocation/next')
ahead = http.client.HTTPConnection(os.environ['FC_RUNTIME_API'])
threading.Thread(target=lambda: ask(ahead, 'GET', 'invocation/next'), daemon=True).start()
int(head['x-fc-function-deadline']), int(head['x-fc-function-timeout'])
handler, id = head['x-fc-function-handler'], head['x-fc-request-id']
if handler == 'error':
    body = json.dumps({'errorMessage': 'my error', 'errorType': 'errorString', 'stackTrace': [{'path': 'main.go', 'line': 7, 'label': 'main'}]})
    print(ask(c, 'POST', 'invocation/%s/error' % id, body))
elif handler == 'chunks':
    print(ask(c, 'POST', 'invocation/%s/response' % id, (b'x' * 1000 for i in range(1000))))
else:
    print(ask(c, 'POST', 'invocation/%s/response' % id, json.dumps({'event': event.decode(), 'head': head}))[0])
threading.Event().wait()
'''


class Provided(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent("--max-reply-bytes", "7M", "--max-event-bytes", "7M")

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def call(self, what, event=b"", program=SHELL, runtime="provided.al2023", **fields):
        headers = fields.pop("headers", {})
        handler = fields.pop("handler", what)
        r = self.a.create(what, {"bootstrap": program, "data": "x"}, runtime, handler, **fields)
        self.assertEqual((r.status, r.json().get("runtime")), (200, runtime), r.body)
        try:
            return self.a.invoke(what, event, **headers)
        finally:
            self.a.request("DELETE", "/2023-03-30/functions/" + what)

    def test_shell(self):
        r = self.call("echo", b'{"a": "\xc3\xa4"}')
        self.assertEqual((r.status, r.outcome, r.body), (200, "ok", b'{"a": "\xc3\xa4"}'), r.body)
        self.assertGreater(json.loads(r.headers["X-Fcnode-Timeline"])["init"], 0)
        self.assertEqual(self.call("upper", b"abc", runtime="provided").body, b"ABC")
        self.assertEqual(self.call("twice").body, b"first")

    def test_example(self):
        examples = os.path.join(os.path.dirname(__file__), "../../contrib/examples")
        r = self.a.fcctl("create", examples + "/hello-bootstrap")
        self.assertEqual(r.returncode, 0, r.stderr)
        r = self.a.fcctl("invoke", "--event", "Ada", "hello-bootstrap")
        self.assertEqual((r.returncode, r.stdout), (0, b"Hello, Ada, from a bootstrap!"), r.stderr)

    def test_what_it_is_told(self):
        r = self.call("head", headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
        head = dict(line.split(": ", 1) for line in r.body.decode().split("\r\n")[1:] if line)
        self.assertEqual(head["Lambda-Runtime-Aws-Request-Id"], r.headers["X-Fc-Request-Id"])
        self.assertEqual(head["Lambda-Runtime-Invoked-Function-Arn"], "arn:aws:lambda:local:default:function:head:LATEST")
        self.assertEqual(head["Lambda-Runtime-Trace-Id"], "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1")
        self.assertEqual(head["Content-Type"], "application/json")
        self.assertGreater(int(head["Lambda-Runtime-Deadline-Ms"]), 1700000000000)
        r = self.call("env", environmentVariables={"MINE": "1", "AWS_REGION": "eu-west-1"})
        lines = r.body.decode().splitlines()
        for line in ("AWS_LAMBDA_RUNTIME_API=127.0.0.1:9001", "FC_RUNTIME_API=127.0.0.1:9001", "_HANDLER=env", "LAMBDA_TASK_ROOT=/var/task",
                     "AWS_LAMBDA_FUNCTION_NAME=env", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128", "MINE=1",
                     "AWS_REGION=eu-west-1", "bootstrap", "data", "/code"):
            self.assertIn(line, lines)

    def test_large(self):
        event = os.urandom(6 << 20)
        self.assertEqual(self.call("echo", event, memorySize=256).body, event)
        r = self.call("big", b"", "#!/bin/sh\nset -e\napi=http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation\n"
                      "id=$(curl -sS -o /dev/null -D - $api/next | sed -n 's/^Lambda-Runtime-Aws-Request-Id: *\\([^[:space:]]*\\).*/\\1/p')\n"
                      "head -c 8000000 /dev/zero | curl -sS --data-binary @- $api/$id/response\nsleep 1000\n", memorySize=256)
        self.assertEqual((r.outcome, r.json()["errorType"]), ("reply_too_large", "Function.ResponseSizeTooLarge"))

    def test_errors(self):
        for what, outcome, error in (
                ("error", "function_error", {"errorMessage": "boom", "errorType": "MyError", "stackTrace": ["line 1", "line 2"]}),
                ("text", "function_error", {"errorMessage": "it just went wrong", "errorType": "Error", "stackTrace": []}),
                ("badinit", "init_error", {"errorMessage": "no handler", "errorType": "Runtime.NoSuchHandler", "stackTrace": []})):
            with self.subTest(what):
                r = self.call(what)
                self.assertEqual((r.status, r.outcome, r.json()), (200, outcome, error))
                self.assertEqual(r.headers["X-Fc-Error-Type"], "UnhandledInvocationError")
        for what, outcome, kind, text in (
                ("exit", "exit", "Runtime.ExitError", "exit status 3"), ("noinit", "exit", "Runtime.ExitError", "exit status 4"),
                ("never", "timeout", "Sandbox.Timeout", "Function time out after 1 seconds")):
            with self.subTest(what):
                r = self.call(what, timeout=1 if what == "never" else LONG)
                self.assertEqual((r.status, r.outcome, r.json()["errorType"]), (200, outcome, kind), r.body)
                self.assertIn(text, r.body.decode())
        self.assertIn("goodbye", self.a.log_of(self.call("exit")).body.decode())

    def test_order(self):
        self.assertEqual(self.call("wrong").body.split(), [b"400", b"404", b"403"])
        r = self.call("early", b"x")
        self.assertEqual((r.outcome, r.body), ("ok", b"x"))
        self.assertIn("403", self.a.log_of(r).body.decode())

    def test_fc_dialect(self):
        r = self.call("fc", b"an event", FC)
        self.assertEqual(r.outcome, "ok", r.body)
        self.assertEqual(r.json()["event"], "an event")
        head = r.json()["head"]
        self.assertEqual((head["x-fc-request-id"], head["x-fc-function-name"], head["x-fc-function-memory"], head["x-fc-account-id"]),
                         (r.headers["X-Fc-Request-Id"], "fc", "128", "default"))
        self.assertEqual(self.call("error", b"", FC).json(), {"errorMessage": "my error", "errorType": "errorString", "stackTrace": ["main.go:7 main"]})
        self.assertEqual(self.call("chunks", b"", FC).body, b"x" * 1000000)
        s = self.call("chunks", b"", FC, headers={"x_fcnode_response_mode": "stream"})
        self.assertEqual((s.status, s.body), (200, b"x" * 1000000))

    def test_command_and_settings(self):
        r = self.call("command", b"ev", runtime="provided.al2", customRuntimeConfig={"command": ["/bin/sh", "/code/bootstrap"]},
                      handler="echo")
        self.assertEqual((r.outcome, r.body), ("ok", b"ev"))
        r = self.a.create("none", {"other": ""}, "provided", "x")
        self.addCleanup(self.a.request, "DELETE", "/2023-03-30/functions/none")
        r = self.a.invoke("none")
        self.assertEqual((r.status, r.json()["errorType"]), (200, "Runtime.InvalidEntrypoint"))
        r = self.a.create("bad", {"bootstrap": SHELL}, "provided", "x", instanceLifecycleConfig={"initializer": {"handler": "x"}})
        self.assertEqual((r.status, r.code), (400, "InvalidArgument"))


if __name__ == "__main__":
    unittest.main()
