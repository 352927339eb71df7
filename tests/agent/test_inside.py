"""Roles, and the function API inside: functions call functions as their role, with a lineage that they cannot forge."""
import concurrent.futures
import http.client
import json
import subprocess
import threading
import unittest

from acs3 import Client
from agent import SCALE, Agent, Connection

F = "/2023-03-30/functions/"
PRINCIPALS = """
principal caller
role function
tenant default
allow fc:InvokeFunction fc:GetFunction on call*

principal manager
role function
tenant default
allow fc:*

principal mute
role function
tenant default

principal theirs
role function
tenant theirs
allow fc:*

principal person
tenant default
key AKperson a-secret-of-a-person

principal deployer
tenant default
allow fc:CreateFunction fc:UpdateFunction fc:GetFunction node:PutBlob
"""
# asks what the event says, one request after the other: [[method, path, body, headers], ...] -> [[status, headers, body], ...]
ASK = """
import http.client, json
def handler(event, context):
    out = []
    for method, path, body, headers in json.loads(event):
        c = http.client.HTTPConnection('127.0.0.1', 9002, timeout=60)
        c.request(method, path, body, headers)
        r = c.getresponse()
        out.append([r.status, dict(r.getheaders()), r.read().decode('utf-8', 'replace')])
        c.close()
    return json.dumps(out)
"""


def until_running(a, name):
    cursor = ""
    while True:
        page = a.request("GET", "/node/events?cursor=%s&wait=20000" % cursor).json()
        assert page["events"], "no sandbox of %s within 20 s" % name
        if any(e["event"] == "instance.running" and e["functionName"] == name for e in page["events"]):
            return
        cursor = page["cursor"]


class Inside(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent("--allow-user", "1000", "--allow-user", "1001", "--principal-of", "1000=deployer", "--principal-of", "1001=person", "--max-call-depth", "3",
                      principals=PRINCIPALS)
        cls.a.python("callee", "import os\ndef handler(event, context): return b'callee got ' + event", role="mute")
        cls.a.python("call-asker", ASK, role="acs:ram::default:role/caller")
        cls.a.python("manager", ASK, role="manager")

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def refused(self, reply, status, code, *texts):
        self.assertEqual((reply.status, reply.code), (status, code), reply.body)
        for text in texts:
            self.assertIn(text, reply.json()["Message"])

    def ask(self, name, *requests, **headers):
        r = self.a.invoke(name, json.dumps([list(q) + [None] * (3 - len(q)) + [{}] * (len(q) < 4) for q in requests]), **headers)
        self.assertEqual(r.outcome, "ok", r.body)
        return r, json.loads(r.body)

    def inside_refused(self, answer, status, code, *texts):
        self.assertEqual((answer[0], json.loads(answer[2])["Code"]), (status, code), answer)
        for text in texts:
            self.assertIn(text, json.loads(answer[2])["Message"])

    def record(self, request_id):
        records = self.a.usage(requestId=request_id)
        self.assertEqual(len(records), 1)
        return records[0]

    def test_a_function_calls_a_function(self):
        outer, (inner,) = self.ask("call-asker", ("POST", F + "callee/invocations", "an event"))
        self.assertEqual((inner[0], inner[2]), (200, "callee got an event"))
        mine, theirs = outer.headers["X-Fc-Request-Id"], inner[1]["X-Fc-Request-Id"]
        a, b = self.record(mine), self.record(theirs)
        self.assertEqual((a["depth"], a.get("parentRequestId"), a.get("rootRequestId")), (0, None, None))
        self.assertEqual((b["depth"], b["parentRequestId"], b["rootRequestId"]), (1, mine, mine))
        self.assertEqual((b["tenant"], b["functionName"], b["outcome"]), ("default", "callee", "ok"))

    def test_what_a_caller_says_of_itself_is_nothing(self):
        """Headers, signatures, tenants, request ids: who asks is known by the listener alone."""
        forged = {"X-Fc-Request-Id": "f" * 36, "X-Fcnode-Parent": "f" * 36, "x-acs-security-token": "x", "X-Fc-Parent-Request-Id": "f" * 36,
                  "Authorization": "ACS3-HMAC-SHA256 Credential=nobody,SignedHeaders=host,Signature=00"}
        outer, (inner, other, same) = self.ask("call-asker", ("POST", F + "callee/invocations", "e", forged), ("GET", F + "callee", None, {"X-Fcnode-Tenant": "theirs"}),
                                               ("GET", F + "callee", None, {"X-Fcnode-Tenant": "default"}))
        self.assertEqual(inner[0], 200)
        b = self.record(inner[1]["X-Fc-Request-Id"])
        self.assertEqual((b["depth"], b["parentRequestId"]), (1, outer.headers["X-Fc-Request-Id"]))
        self.inside_refused(other, 403, "AccessDenied", "role 'caller'" if "role 'caller'" in other[2] else "'caller'", "may not name another")
        self.assertEqual(same[0], 200)

    def test_the_role_decides(self):
        _, (no, get, listed, away) = self.ask("call-asker", ("POST", F + "manager/invocations", "[]"), ("GET", F + "callee"), ("GET", F[:-1]),
                                              ("DELETE", F + "callee"))
        self.inside_refused(no, 403, "AccessDenied", "role 'caller'", "fc:InvokeFunction", "functions/manager")
        self.assertEqual(json.loads(get[2])["role"], "acs:ram::default:role/mute")
        self.inside_refused(listed, 403, "AccessDenied", "fc:ListFunctions")
        self.inside_refused(away, 403, "AccessDenied", "fc:DeleteFunction")
        _, (listed, alias, gone) = self.ask("manager", ("GET", F[:-1] + "?prefix=call"), ("GET", F + "callee/aliases"), ("GET", F + "none"))
        self.assertLessEqual({"call-asker", "callee"}, {f["functionName"] for f in json.loads(listed[2])["functions"]})
        self.assertEqual(json.loads(alias[2]), {"aliases": []})
        self.inside_refused(gone, 404, "FunctionNotFound")

    def test_never_the_nodes_own_paths(self):
        paths = ["/metrics", "/usage", "/logs", "/node/info", "/node/drain", "/node/whoami", "/healthz", "/blobs/sha256:" + "0" * 64, "/proxy/callee/", "/", "/none"]
        _, answers = self.ask("manager", *[("GET", p) for p in paths], ("PUT", "/node/drain", "{}"))
        for path, answer in zip(paths + ["drain"], answers):
            self.assertEqual((answer[0], json.loads(answer[2])["Code"]), (400, "PathNotSupported"), path)
        self.assertEqual(self.a.request("GET", "/node/drain").json()["state"], "active")

    def test_a_role_without_grants_may_nothing(self):
        self.a.python("quiet", ASK, role="mute")
        _, (call, listed) = self.ask("quiet", ("POST", F + "callee/invocations", "e"), ("GET", F[:-1]))
        self.inside_refused(call, 403, "AccessDenied", "role 'mute'", "fc:InvokeFunction")
        self.inside_refused(listed, 403, "AccessDenied", "fc:ListFunctions")

    def test_without_a_role_there_is_nothing(self):
        self.a.python("alone", "import socket\ndef handler(event, context):\n s = socket.socket()\n return str(s.connect_ex(('127.0.0.1', 9002)))")
        self.assertEqual(self.a.invoke("alone").body, b"111")  # ECONNREFUSED
        self.assertNotIn("role", self.a.request("GET", F + "alone").json())

    def test_depth(self):
        """A loop of calls ends at max-call-depth, and each of them is in the records with its place."""
        self.a.python("call-loop", ASK.replace("return json.dumps(out)", "return out[0][2] if out[0][0] == 200 else json.dumps(out[0])").replace(
            "json.loads(event)", "[['POST', '/2023-03-30/functions/call-loop/invocations', 'x', {}]]"), role="caller")
        r = self.a.invoke("call-loop")
        last = json.loads(r.body)
        self.inside_refused(last, 400, "CallDepthExceeded", "max-call-depth", r.headers["X-Fc-Request-Id"])
        records = [u for u in self.a.usage(functionName="call-loop", limit=1000)]
        self.assertEqual(sorted(u["depth"] for u in records), [0, 1, 2, 3])
        self.assertEqual({u.get("rootRequestId") for u in records if u["depth"]}, {r.headers["X-Fc-Request-Id"]})
        by_depth = sorted(records, key=lambda u: u["depth"])
        for outer, inner in zip(by_depth, by_depth[1:]):
            self.assertEqual(inner["parentRequestId"], outer["requestId"])

    def test_who_may_give_a_role(self):
        """Through another uid: a deployer without ram:PassRole can keep a function's role, and neither give nor change one."""
        def put(uid, name, role, method="PUT"):
            body = {"functionName": name, "runtime": "stdio", "handler": "b", "role": role, "code": {"zipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}
            if method == "PUT":
                del body["code"], body["functionName"]
            path = F + name if method == "PUT" else F[:-1]
            out = subprocess.run(["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", "curl", "-s", "--unix-socket", self.a.socket, "-X", method,
                                  "--data-binary", json.dumps(body), "http://x" + path], capture_output=True, check=True).stdout
            return json.loads(out)
        self.assertEqual(self.a.create("given", {"b": "#!/bin/sh\n"}, "stdio", "b", role="caller").status, 200)
        self.assertIn("ram:PassRole", put(1000, "given", "manager")["Message"])
        self.assertIn("ram:PassRole", put(1000, "new", "caller", "POST")["Message"])
        self.assertEqual(put(1000, "given", "caller")["role"], "acs:ram::default:role/caller")
        self.assertEqual(put(1001, "given", "manager")["role"], "acs:ram::default:role/manager")
        self.assertNotIn("role", put(1000, "given", ""))  # taken away
        for role, text in (("theirs", "no role 'theirs'"), ("none", "no role 'none'"), ("person", "no role 'person'"), ("acs:ram::theirs:role/caller", "no role"),
                           ("acs:x", "names no role"), ("acs:ram::default:role/", "names no role"), ("a b", "names no role")):
            self.assertIn(text, put(1001, "given", role)["Message"])

    def test_a_caller_that_ends_ends_what_it_called(self):
        """Its time is over while it waits for the callee: the callee's sandbox goes too, for nobody would hear it."""
        self.a.shell("call-sleeper", "sleep 600", timeout=600)
        self.a.python("impatient", ASK, role="caller", timeout=int(2 * SCALE))
        r = self.a.invoke("impatient", json.dumps([["POST", F + "call-sleeper/invocations", "", {}]]))
        self.assertEqual(r.outcome, "timeout")
        cursor, seen = "", None
        while seen is None:
            page = self.a.request("GET", "/node/events?cursor=%s&wait=20000" % cursor).json()
            self.assertTrue(page["events"], "the callee did not end within 20 s")
            seen = next((e for e in page["events"] if e["event"] == "invocation.ended" and e["functionName"] == "call-sleeper"), None)
            cursor = page["cursor"]
        self.assertEqual(seen["detail"], "client_gone")
        self.assertEqual(self.a.request("GET", F + "call-sleeper/instances").json()["instances"], [])

    def test_fcctl(self):
        a = self.a
        r = a.fcctl("update", "--name", "callee", "--role", "caller")
        self.assertEqual((r.returncode, r.stdout), (0, b"updated callee\n"), r.stderr)
        self.assertEqual(a.request("GET", F + "callee").json()["role"], "acs:ram::default:role/caller")
        r = a.fcctl("update", "--name", "callee", "--role", "nobody")
        self.assertNotEqual(r.returncode, 0)
        self.assertIn(b"no role 'nobody'", r.stderr)
        self.assertEqual(a.fcctl("update", "--name", "callee", "--role", "mute").returncode, 0)

    def test_many_connections(self):
        """One sandbox has sixteen at once; more wait, and are served when those are done."""
        self.a.python("crowd", """
import http.client, concurrent.futures
def one(n):
    c = http.client.HTTPConnection('127.0.0.1', 9002, timeout=100)
    c.request('POST', '/2023-03-30/functions/callee/invocations', str(n))
    r = c.getresponse()
    text = r.read().decode()
    c.close()
    return text
def handler(event, context):
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        return '\\n'.join(pool.map(one, range(40)))
""", role="caller", memorySize=256)
        r = self.a.invoke("crowd")
        self.assertEqual(r.body.decode().split("\n"), ["callee got %d" % n for n in range(40)])

    def test_streams_and_keep_alive(self):
        self.a.python("call-stream", "def handler(event, context):\n for i in range(3): yield str(i)")
        self.a.python("call-reader", """
import http.client
def handler(event, context):
    c, out = http.client.HTTPConnection('127.0.0.1', 9002), []
    for n in range(3):
        c.request('POST', '/2023-03-30/functions/call-stream/invocations', 'x', {'x-fcnode-response-mode': 'stream'})
        out.append(c.getresponse().read().decode())
    return ' '.join(out)
""", role="caller")
        self.assertEqual(self.a.invoke("call-reader").body, b"012 012 012")


NAMES = ["ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN"]
SHELL = "echo $%s" % " $".join(NAMES)
SERVER = """
import http.server, json, os
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        h = self.headers
        out = [h.get('x-fc-access-key-id'), h.get('x-fc-access-key-secret'), h.get('x-fc-security-token')] + [os.environ.get(n) for n in %r]
        body = json.dumps(out).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(('127.0.0.1', 9000), H).serve_forever()
""" % (NAMES,)
PULL = """#!/bin/sh
api=http://$FC_RUNTIME_API/2020-11-11/runtime/invocation
curl -sD /tmp/head -o /tmp/body $api/next
id=$(tr -d '\\r' </tmp/head | sed -n 's/^x-fc-request-id: //Ip')
tr -d '\\r' </tmp/head | grep -iE '^x-fc-(access-key|security)' | sed 's/.*: //' >/tmp/reply
echo $AWS_ACCESS_KEY_ID $AWS_SECRET_ACCESS_KEY $AWS_SESSION_TOKEN >>/tmp/reply
curl -s -H 'Content-Type: application/json' --data-binary @/tmp/reply $api/$id/response
curl -s $api/next
"""


class Credentials(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent("--listen", "127.0.0.1:0", principals=PRINCIPALS)
        cls.a.python("callee", "def handler(event, context): return b'callee got ' + event")

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def check(self, key, secret, token):
        self.assertRegex(key, r"^STS\.[0-9a-f]{24}$")
        self.assertRegex(secret, r"^[0-9a-f]{40}$")
        self.assertRegex(token, r"^[0-9a-f]{64}$")
        return key, secret, token

    def test_each_runtime_gets_them(self):
        a, seen = self.a, set()
        a.shell("sh", SHELL, role="caller")
        seen.add(self.check(*a.invoke("sh").body.decode().split()))
        seen.add(self.check(*a.invoke("sh").body.decode().split()))  # others for each call
        a.python("py", "import json, os\ndef handler(event, context):\n c = context.credentials\n"
                 " return json.dumps([c.access_key_id, c.access_key_secret, c.security_token] + [os.environ[n] for n in %r])" % (NAMES,), role="caller")
        got = json.loads(a.invoke("py").body)
        self.assertEqual(got[:3], got[3:])
        seen.add(self.check(*got[:3]))
        r = a.create("js", {"index.js": "exports.handler = async (event, context) => Object.values(context.credentials)"}, "nodejs", role="caller")
        self.assertEqual(r.status, 200, r.body)
        seen.add(self.check(*json.loads(a.invoke("js").body)))
        r = a.create("custom", {"server.py": SERVER}, "custom", customRuntimeConfig={"command": ["/usr/bin/python3", "/code/server.py"]}, role="caller")
        self.assertEqual(r.status, 200, r.body)
        got = json.loads(a.invoke("custom").body)
        self.assertEqual(got[:3], got[3:])
        seen.add(self.check(*got[:3]))
        r = a.create("pull", {"bootstrap": PULL}, "provided", "x", role="caller")
        self.assertEqual(r.status, 200, r.body)
        got = a.invoke("pull").body.decode().split()
        self.assertEqual(got[:3], got[3:])
        seen.add(self.check(*got[:3]))
        self.assertEqual(len({x for three in seen for x in three}), 3 * len(seen))

    def test_without_a_role_there_are_none(self):
        self.a.shell("bare", "env | grep -c ALIBABA_CLOUD_; true")
        self.assertEqual(self.a.invoke("bare").body, b"0\n")
        self.a.python("bare-py", "def handler(event, context): return repr(context.credentials.access_key_id)")
        self.assertEqual(self.a.invoke("bare-py").body, b"None")

    def test_they_sign_requests_while_the_call_runs(self):
        """Over TCP: good for the role, tied to the call, and worth nothing once it has ended."""
        a = self.a
        a.shell("call-hold", SHELL + " >&2; cat >/dev/null; sleep 600", timeout=600, role="caller")
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            holding = pool.submit(self.hold)
            until_running(a, "call-hold")
            request = a.request("GET", F + "call-hold/instances").json()["instances"][0]["requestId"]
            text = ""
            while text.count(" ") < 2:
                text = a.request("GET", "/logs?requestId=" + request).body.decode()
            key, secret, token = self.check(*text.split())
            c = Client(a.port(), key, secret)
            token = {"x_acs_security_token": token}
            r = c.request("POST", F + "callee/invocations", b"signed", **token)
            self.assertEqual((r.status, r.body), (200, b"callee got signed"))
            record = a.usage(requestId=r.headers["X-Fc-Request-Id"])[0]
            self.assertEqual((record["depth"], record["parentRequestId"]), (1, request))
            refused = lambda reply, status, code, text: self.assertEqual((reply.status, reply.code, text in reply.json()["Message"]), (status, code, True), reply.body)
            refused(c.request("GET", F[:-1], **token), 403, "AccessDenied", "fc:ListFunctions")
            refused(c.request("GET", "/node/whoami", **token), 400, "PathNotSupported", "node's own")
            refused(c.request("GET", "/proxy/callee/", **token), 400, "PathNotSupported", "proxy")
            refused(c.request("GET", F + "callee"), 403, "InvalidAccessKeyID", "no")  # without the token
            refused(c.request("GET", F + "callee", x_acs_security_token="0" * 64), 403, "InvalidAccessKeyID", "temporary credentials")
            refused(Client(a.port(), key, secret[::-1]).request("GET", F + "callee", **token), 403, "SignatureNotMatch", key)
            nonce = {"nonce": "n" * 36, **token}
            self.assertEqual(c.request("GET", F + "callee", **nonce).status, 200)
            refused(c.request("GET", F + "callee", **nonce), 400, "SignatureNonceUsed", "nonce")
            self.connection.sock.shutdown(2)  # the caller hangs up: the call ends
            holding.result()
            cursor, ended = "", False
            while not ended:
                page = a.request("GET", "/node/events?cursor=%s&wait=20000" % cursor).json()
                ended = any(e["event"] == "invocation.ended" and e["functionName"] == "call-hold" for e in page["events"])
                cursor = page["cursor"]
            refused(c.request("GET", F + "callee", **token), 403, "InvalidAccessKeyID", "no longer")
        self.assertNotIn(secret, a.text())
        with open(a.dir + "/state/serve/state.db", "rb") as f:
            self.assertNotIn(secret.encode(), f.read())

    def hold(self):
        self.connection = Connection(self.a.socket, 600)
        try:
            self.connection.request("POST", F + "call-hold/invocations", b"")
            self.connection.getresponse()
        except (OSError, http.client.HTTPException):
            pass  # it is hung up on
        finally:
            self.connection.close()


class Draining(unittest.TestCase):
    def run_during(self, begin, end):
        """A call that waits for a sign, then calls a function, while the node is drained or the agent stops."""
        a = Agent("--drain-timeout", "60s", principals=PRINCIPALS)
        try:
            a.python("callee", "def handler(event, context): return b'callee got ' + event")
            a.python("call-late", """
import http.client, os, sys, time
def handler(event, context):
    print('waiting', flush=True)
    while True:
        c = http.client.HTTPConnection('127.0.0.1', 9002, timeout=60)
        c.request('GET', '/2023-03-30/functions/callee')
        if c.getresponse().status == 404:  # the sign: it was deleted
            break
    c = http.client.HTTPConnection('127.0.0.1', 9002, timeout=60)
    c.request('POST', '/2023-03-30/functions/call-last/invocations', 'late')
    return c.getresponse().read()
""", role="caller")
            a.python("call-last", "def handler(event, context): return b'last got ' + event")
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                call = pool.submit(a.invoke, "call-late")
                until_running(a, "call-late")
                begin(a)
                r = call.result()
                self.assertEqual(r.body, b"last got late")
            end(a)
        finally:
            a.close()

    def test_node_is_drained(self):
        def begin(a):
            self.assertEqual(a.request("PUT", "/node/drain").status, 200)
            self.assertEqual(a.invoke("callee").code, "ServiceUnavailable")
            self.assertEqual(a.request("DELETE", F + "callee").status, 204)
        self.run_during(begin, lambda a: self.assertEqual(a.invoke("call-last").code, "ServiceUnavailable"))

    def test_agent_stops(self):
        def begin(a):
            self.assertEqual(a.request("DELETE", F + "callee").status, 204)
            a.process.terminate()
        self.run_during(begin, lambda a: self.assertEqual(a.process.wait(30), 0))


class Lasting(unittest.TestCase):
    def test_a_role_that_is_gone_gives_nothing(self):
        a = Agent(principals=PRINCIPALS)
        try:
            a.python("callee", "def handler(event, context): return b'hello'")
            a.python("asker", ASK, role="manager")
            event = json.dumps([["POST", F + "callee/invocations", "", {}]])
            self.assertEqual(json.loads(a.invoke("asker", event).body)[0][2], "hello")
            a.describe(PRINCIPALS.replace("principal manager", "principal managed"))
            a.process.send_signal(1)
            while "event=reload" not in a.text().split("event=ready")[-1]:
                threading.Event().wait(0.02)
            answer = json.loads(a.invoke("asker", event).body)[0]
            self.assertEqual((answer[0], json.loads(answer[2])["Code"]), (403, "AccessDenied"))
            self.assertIn("no such role", answer[2])
        finally:
            a.close()

    def test_intents_of_the_version_before(self):
        """A slot as the version before wrote it, of a call that ran when the node died, becomes a record like any other."""
        a = Agent()
        try:
            a.shell("held", "sleep 600", timeout=600)
            threading.Thread(target=lambda: self.swallow(a), daemon=True).start()
            until_running(a, "held")
            a.crash()
            path = a.dir + "/state/serve/intents"
            with open(path, "r+b") as f:
                data = f.read()
                at = data.index(b"CICT") if b"CICT" in data else data.index((0x54494346).to_bytes(4, "little"))
                while data[at + 8] != 1:
                    at = data.index((0x54494346).to_bytes(4, "little"), at + 4)
                f.seek(at + 4)
                f.write((1).to_bytes(4, "little"))
            a.start()
            records = a.usage(functionName="held")
            self.assertEqual([(r["outcome"], r["depth"]) for r in records], [("node_crash", 0)])
        finally:
            a.close()

    @staticmethod
    def swallow(a):
        try:
            a.invoke("held")
        except OSError:
            pass


if __name__ == "__main__":
    unittest.main()
