"""AWS's own runtime client for Node.js, as it is, inside a sandbox, with handlers as they are written for Lambda."""
import json
import os
import unittest

from agent import LONG, SCALE, Agent

RIC = os.environ["FC_CLIENTS"] + "/ric/node_modules/aws-lambda-ric"  # run.sh has built it
PARTS = ("package.json", "bin/index.mjs", "dist/index.mjs", "dist/rapid-client.node")
HANDLER = """
console.log('loaded');
exports.handler = async (event, context) => {
  console.log('called with', event.do);
  switch (event.do) {
  case 'throw': throw new TypeError('as asked');
  case 'large': return 'x'.repeat(event.size);
  case 'exit': process.exit(3);
  case 'uncaught': setTimeout(() => { throw new RangeError('later'); }, 1); return new Promise(() => {});
  case 'nothing': return;
  case 'hang': return new Promise((done) => setTimeout(done, 1e9));
  }
  return { event, id: context.awsRequestId, arn: context.invokedFunctionArn, name: context.functionName, version: context.functionVersion,
           memory: context.memoryLimitInMB, left: context.getRemainingTimeInMillis(), trace: process.env._X_AMZN_TRACE_ID };
};
exports.callback = (event, context, callback) => event.fail ? callback(new Error('no')) : callback(null, [event, 'called back']);
exports.stream = awslambda.streamifyResponse(async (event, stream) => {
  for (let i = 0; i < event.parts; i++) stream.write(String(i % 10).repeat(1000));
  if (event.fail) throw new Error('in the middle');
  stream.end();
  await stream.finished();
});
"""


class Ric(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent()
        cls.files = {"index.js": HANDLER}
        for part in PARTS:
            with open(RIC + "/" + part, "rb") as f:
                cls.files["node_modules/aws-lambda-ric/" + part] = f.read()

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def call(self, name, event, handler="index.handler", headers=None, **fields):
        command = ["node", "/var/task/node_modules/aws-lambda-ric/bin/index.mjs", handler]
        r = self.a.create(name, self.files, "provided.al2023", handler, memorySize=512,
                          customRuntimeConfig={"command": command}, **{"timeout": LONG, **fields})
        self.assertEqual(r.status, 200, r.body)
        try:
            return self.a.invoke(name, json.dumps(event).encode(), **(headers or {}))
        finally:
            self.a.request("DELETE", "/2023-03-30/functions/" + name)

    def test_reply(self):
        event = {"text": "\u00e4\u20ac\U0001f600", "list": [1, 2.5, None]}
        r = self.call("hello", event, headers={"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"})
        self.assertEqual((r.status, r.outcome), (200, "ok"), r.body)
        got = r.json()
        self.assertEqual((got["event"], got["id"], got["name"], got["version"], got["memory"]),
                         (event, r.headers["X-Fc-Request-Id"], "hello", "$LATEST", "512"))
        self.assertEqual(got["arn"], "arn:aws:lambda:local:default:function:hello:LATEST")
        self.assertEqual(got["trace"], "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled=1")
        self.assertTrue(0 < got["left"] <= LONG * 1000, got["left"])
        log = self.a.log_of(r).body.decode()
        self.assertIn("loaded", log)
        self.assertIn(r.headers["X-Fc-Request-Id"], log)
        self.assertEqual(self.call("nothing", {"do": "nothing"}).body, b"null")
        self.assertEqual(self.call("callback", {"a": 1}, "index.callback").json(), [{"a": 1}, "called back"])

    def test_errors(self):
        for what, handler, event, outcome, kind, text in (
                ("throw", "index.handler", {"do": "throw"}, "function_error", "TypeError", "as asked"),
                ("callback", "index.callback", {"fail": 1}, "function_error", "Error", "no"),
                ("uncaught", "index.handler", {"do": "uncaught"}, "function_error", "RangeError", "later"),
                ("exit", "index.handler", {"do": "exit"}, "exit", "Runtime.ExitError", "Process exited"),
                ("missing", "index.missing", {}, "init_error", "Runtime.HandlerNotFound", "index.missing"),
                ("nowhere", "nowhere.handler", {}, "init_error", "Runtime.ImportModuleError", "nowhere")):
            with self.subTest(what):
                r = self.call(what, event, handler)
                self.assertEqual((r.status, r.outcome, r.json()["errorType"]), (200, outcome, kind), r.body)
                self.assertIn(text, r.json()["errorMessage"])
                if outcome != "exit":
                    self.assertTrue(r.json()["stackTrace"], r.body)
        r = self.call("hang", {"do": "hang"}, timeout=SCALE)
        self.assertEqual((r.outcome, r.json()["errorType"]), ("timeout", "Sandbox.Timeout"))

    def test_large(self):
        """6 MiB each way, which is the limit of replies."""
        most = 6 << 20
        self.assertEqual(self.call("large", {"do": "large", "size": most - 2}).body, b'"' + b"x" * (most - 2) + b'"')
        r = self.call("larger", {"do": "large", "size": most - 1})
        self.assertEqual((r.outcome, r.json()["errorType"]), ("reply_too_large", "Function.ResponseSizeTooLarge"))
        text = "y" * (5 << 20)
        self.assertEqual(self.call("event", {"text": text}).json()["event"], {"text": text})

    def test_streaming(self):
        expected = b"".join(b"%d" % (i % 10) * 1000 for i in range(2000))
        r = self.call("whole", {"parts": 2000}, "index.stream")
        self.assertEqual((r.outcome, r.body), ("ok", expected))
        r = self.call("stream", {"parts": 2000}, "index.stream", {"x_fcnode_response_mode": "stream"})
        self.assertEqual((r.status, r.body), (200, expected))
        r = self.call("broken", {"parts": 3, "fail": 1}, "index.stream")
        self.assertEqual((r.outcome, r.json()["errorType"], r.json()["errorMessage"]), ("function_error", "Error", "in the middle"))


if __name__ == "__main__":
    unittest.main()
