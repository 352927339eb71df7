"""Calls: replies, every way to fail, logs, records, and clients that misbehave."""
import base64
import json
import os
import socket
import subprocess
import threading
import unittest

from agent import SCALE, Agent


class Calls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent("--max-reply-bytes", "1M", "--max-log-bytes", "64K")

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def one_record(self, reply, outcome):
        r = self.a.usage(requestId=reply.headers["X-Fc-Request-Id"])
        self.assertEqual([x["outcome"] for x in r], [outcome])
        self.assertEqual(r[0]["instanceId"], reply.headers["X-Fc-Instance-Id"])
        return r[0]

    def fails(self, reply, outcome, error_type, text):
        self.assertEqual((reply.status, reply.outcome), (200, outcome), reply.body)
        self.assertTrue(reply.headers["X-Fc-Error-Type"].endswith("InvocationError"))
        self.assertEqual(reply.json()["errorType"], error_type)
        self.assertIn(text, reply.body.decode())
        return self.one_record(reply, outcome)

    def test_python_and_headers(self):
        self.a.python("py", "def handler(event, context):\n    print('a line')\n    return event\n")
        r = self.a.invoke("py", b'{"x": [1]}', x_fc_log_type="Tail")
        self.assertEqual((r.status, json.loads(r.body)), (200, {"x": [1]}))
        self.assertEqual(r.headers["Content-Type"], "application/octet-stream")
        for name in ("X-Fc-Request-Id", "X-Fc-Instance-Id", "X-Fc-Invocation-Duration", "X-Fc-Max-Memory-Usage",
                     "X-Fc-Code-Checksum", "X-Fc-Version-Id"):
            self.assertTrue(r.headers[name], name)
        self.assertEqual(r.headers["X-Fcnode-Served"], "cold")
        timeline = json.loads(r.headers["X-Fcnode-Timeline"])
        self.assertTrue({"queue", "exec", "init", "run", "end", "total"} <= set(timeline))
        tail = base64.b64decode(r.headers["X-Fc-Log-Result"]).decode()
        self.assertRegex(tail, r"a line\n\n\nDuration: [0-9.]+ ms, Billed Duration: \d+ ms, Memory Size: 128 MB, "
                               r"Max Memory Used: [0-9.]+ MB\n$")
        self.assertIn("a line", self.a.log_of(r).body.decode())
        record = self.one_record(r, "ok")
        self.assertGreater(record["cpuUs"], 0)
        self.assertGreater(record["peakMemoryBytes"], 1 << 20)
        self.assertAlmostEqual(record["gbSeconds"], record["billedMs"] * 128 / 1024 / 1000, places=9)

    def test_nodejs_and_stdio(self):
        r = self.a.create("node", {"index.js": "exports.handler = async (event) => 'node';"}, "nodejs", memorySize=256)
        self.assertEqual(r.status, 200, r.body)
        self.assertEqual(self.a.invoke("node").body, b'node')
        self.a.shell("cat", "exec cat")
        data = os.urandom(900 << 10)
        self.assertEqual(self.a.invoke("cat", data).body, data)

    def test_fresh_every_time(self):
        self.a.shell("fresh", "ls /tmp | wc -l; touch /tmp/x; cat /proc/sys/kernel/random/boot_id >/dev/null")
        replies = [self.a.invoke("fresh") for _ in range(3)]
        self.assertEqual({r.body.strip() for r in replies}, {b"0"})
        self.assertEqual(len({r.headers["X-Fc-Instance-Id"] for r in replies}), 3)

    def test_errors_of_the_function(self):
        a = self.a
        a.python("throws", "def handler(event, context):\n    raise ValueError('oops')\n")
        r = a.invoke("throws")
        self.fails(r, "function_error", "ValueError", "oops")
        self.assertTrue(any("index.py" in line for line in r.json()["stackTrace"]))
        a.python("broken", "import nothing_there\ndef handler(event, context):\n    pass\n")
        self.fails(a.invoke("broken"), "init_error", "ModuleNotFoundError", "nothing_there")
        a.python("missing", "x = 1\n")
        self.assertEqual(a.invoke("missing").outcome, "init_error")
        a.shell("status", "echo bad >&2; exit 3")
        self.fails(a.invoke("status"), "function_error", "Runtime.ExitError", "exit status 3")
        a.python("exits", "import os\ndef handler(event, context):\n    os._exit(7)\n")
        self.fails(a.invoke("exits"), "exit", "Runtime.ExitError", "exit status 7")
        for sig in ("SEGV", "ABRT", "KILL"):
            a.shell("sig" + sig, "kill -%s $$" % sig)
            self.fails(a.invoke("sig" + sig), "exit", "Runtime.ExitError", "signal")
        a.create("nothere", {"x": "y"}, "stdio", "gone")
        self.fails(a.invoke("nothere"), "launch_failed", "Runtime.InvalidEntrypoint", "gone")

    def test_limits(self):
        a = self.a
        a.python("oom", "def handler(event, context):\n    return len(bytearray(1 << 30))\n", memorySize=64)
        self.fails(a.invoke("oom"), "oom", "Runtime.OutOfMemory", "64MB")
        a.shell("stubborn", "trap '' TERM INT; while :; do sleep 1; done", timeout=1)
        r = a.invoke("stubborn")
        record = self.fails(r, "timeout", "Sandbox.Timeout", "time out after 1 seconds")
        self.assertLess(record["wallMs"], 4000)
        a.python("sleeper", "import time\ndef handler(event, context):\n    time.sleep(20)\n", timeout=1)
        self.fails(a.invoke("sleeper"), "timeout", "Sandbox.Timeout", "time out after 1 seconds")
        a.python("spinner", "while True:\n    pass\n", instanceLifecycleConfig={"initializer": {"handler": "index.init", "timeout": 1}})
        self.fails(a.invoke("spinner"), "timeout", "Sandbox.Timeout", "initialization time out after 1 seconds")
        a.shell("longreply", "head -c 3000000 /dev/zero")
        self.fails(a.invoke("longreply"), "reply_too_large", "Function.ResponseSizeTooLarge", "max-reply-bytes")
        a.shell("bomb", "b() { b | b & }; b; sleep 20", timeout=2)
        self.assertNotEqual(a.invoke("bomb").outcome, "launch_failed")
        a.shell("filler", "dd if=/dev/zero of=/tmp/f bs=1M count=64 2>/dev/null; echo $?", diskSize=16)
        self.assertEqual(a.invoke("filler").body, b"1\n")

    def test_channel_abuse(self):
        a = self.a
        find = ("import os, stat, time\ndef is_socket(n):\n    try:\n        return stat.S_ISSOCK(os.fstat(n).st_mode)\n"
                "    except OSError:\n        return False\n"
                "def handler(event, context):\n    for n in filter(is_socket, range(3, 1024)):\n        %s\n    time.sleep(20)\n")
        a.python("closes", find.replace("%s", "os.close(n)"))
        self.fails(a.invoke("closes"), "protocol", "Runtime.ProtocolError", "closed its channel")
        for name, data in (("garbage", "b'x' * 64"), ("huge", r"b'\xff\xff\xff\xff\x12\0\0\0'"), ("notjson", r"b'\3\0\0\0\x13\0\0\0abc'"),
                           ("twice", r"b'\0\0\0\0\x10\0\0\0'")):
            a.python(name, find.replace("%s", "os.write(n, %s)" % data))
            self.fails(a.invoke(name), "protocol", "Runtime.ProtocolError", "")

    def test_logs(self):
        a = self.a
        mebibytes = 1024 // SCALE
        a.python("loud", "import os\ndef handler(event, context):\n    b = b'y' * 63 + b'\\n'\n    b *= 16384\n"
                 "    for i in range(%d):\n        os.write(1, b)\n    return 'done'\n" % mebibytes, timeout=60)
        dropped = a.metric("fcnode_log_bytes_dropped_total")
        r = a.invoke("loud")
        self.assertEqual(r.body, b'done')
        log = a.log_of(r)
        self.assertIn(b"[fcnode: log cut here, max-log-bytes is 65536]", log.body)
        self.assertLess(len(log.body), 70000)
        lost = int(log.headers["X-Fcnode-Log-Dropped"])
        self.assertGreaterEqual(lost, (mebibytes << 20) - 65536)
        self.assertGreaterEqual(a.metric("fcnode_log_bytes_dropped_total") - dropped, lost)
        self.assertEqual(a.request("GET", "/logs?requestId=" + "0" * 36).code, "LogNotFound")

    def test_refusals(self):
        a = self.a
        a.shell("ok", "cat")
        self.assertEqual(a.invoke("none").code, "FunctionNotFound")
        r = a.invoke("ok", x_fc_invocation_type="Async")
        self.assertEqual((r.status, r.code), (501, "NotImplemented"))
        self.assertEqual(a.request("POST", "/2023-03-30/functions/ok/invocations?qualifier=prod").code, "AliasNotFound")
        r = a.invoke("ok", b"x" * (33 << 20))
        self.assertEqual((r.code, "max-event-bytes" in r.json()["Message"]), ("EntityTooLarge", True))

    def test_http(self):
        a = self.a
        a.shell("echo", "exec cat")
        post = b"POST /2023-03-30/functions/echo/invocations HTTP/1.1\r\nHost: x\r\n"
        r = a.raw(post + b"cOnNeCtIoN: close\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n3\r\nabc\r\n4;ext=1\r\ndefg\r\n0\r\nX-T: 1\r\n\r\n")
        self.assertTrue(r.endswith(b"\r\n\r\nabcdefg"), r)
        r = a.raw(post + b"Content-Length: 2\r\n\r\nab" + post + b"Content-Length: 2\r\nConnection: close\r\n\r\ncd")
        self.assertEqual((r.count(b"HTTP/1.1 200"), r.endswith(b"cd")), (2, True), r)
        r = a.raw(post + b"Content-Length: 0\r\nConnection: close\r\n\r\n", half_close=True)
        self.assertIn(b"200 OK", r)
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(20)
        s.connect(a.socket)
        s.sendall(post + b"Expect: 100-continue\r\nContent-Length: 3\r\nConnection: close\r\n\r\n")
        self.assertTrue(s.recv(100).startswith(b"HTTP/1.1 100"))
        s.sendall(b"hey")
        self.assertTrue(b"".join(iter(lambda: s.recv(4096), b"")).endswith(b"hey"))
        s.close()
        big = b"POST /2023-03-30/functions/echo/invocations HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
        self.assertIn(b"EntityTooLarge", a.raw(big))
        for nonsense in (b"\1\2 nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", post + b"Content-Length: -5\r\n\r\n",
                         post + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nzz\r\n"):
            self.assertNotIn(b" 200 ", a.raw(nonsense)[:20])

    def test_client_hangs_up(self):
        a = self.a
        a.shell("wait", "sleep 30", timeout=40)
        s = socket.socket(socket.AF_UNIX)
        s.connect(a.socket)
        s.sendall(b"POST /2023-03-30/functions/wait/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        while a.metric("fcnode_invocations_running") < 1:
            pass
        s.close()
        while a.metric("fcnode_invocations_running"):
            pass
        while not a.usage(functionName="wait"):
            pass
        self.assertEqual([r["outcome"] for r in a.usage(functionName="wait")], ["client_gone"])

    def test_metrics(self):
        text = self.a.request("GET", "/metrics").body.decode()
        names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        self.assertEqual(len(names), len(set(names)))
        for line in text.splitlines():
            self.assertRegex(line, r'^(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"\})? [0-9.e+-]+)$')
        self.assertEqual(self.a.metric("fcnode_instances_live"), 0)


class Pressure(unittest.TestCase):
    def setUp(self):
        self.a = Agent("--max-instances", "2", "--max-queue", "1", "--max-queue-wait", "500ms", "--client-timeout", "1s")

    def tearDown(self):
        self.a.close()

    def test_queue(self):
        a = self.a
        a.shell("wait", "sleep 2; echo done")
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(a.invoke("wait"))) for _ in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        codes = sorted(r.status for r in replies)
        self.assertEqual(codes, [200, 200, 429, 429, 429, 429])
        text = " ".join(r.json()["Message"] for r in replies if r.status == 429)
        self.assertIn("max-queue is 1", text)
        self.assertIn("max-queue-wait", text)
        self.assertEqual(len(a.usage()), 2)

    def test_slow_clients(self):
        self.assertEqual(self.a.raw(b"GET /healthz HT", timeout=20), b"")
        self.assertEqual(self.a.raw(b"POST /2023-03-30/functions HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc"), b"")


class Replies(unittest.TestCase):
    def test_replies_that_nobody_takes(self):
        a = Agent("--max-reply-bytes", "64M")
        slow = []
        try:
            a.shell("big", "head -c 62914560 /dev/zero")
            for i in range(4):
                s = socket.socket(socket.AF_UNIX)
                slow.append(s)
                s.connect(a.socket)
                s.sendall(b"POST /2023-03-30/functions/big/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
                while a.metric("fcnode_http_reply_bytes") < (i + 1) * 62914560:
                    pass
            r = a.invoke("big")
            self.assertEqual((r.status, r.code), (503, "ResourceThrottled"))
            self.assertIn("268435456 bytes", r.json()["Message"])
            self.assertEqual(len(a.usage(functionName="big")), 4)  # it was not run for nothing
            slow.pop().close()
            while a.metric("fcnode_http_reply_bytes") > 3 * 62914560:
                pass
            self.assertEqual(len(a.invoke("big").body), 62914560)
        finally:
            for s in slow:
                s.close()
            a.close()


class Residue(unittest.TestCase):
    def test_nothing_is_left(self):
        # other agents may run on this machine: only what is this one's is looked for
        a = Agent()
        a.shell("x", "sleep 5")
        threading.Thread(target=lambda: a.raw(b"POST /2023-03-30/functions/x/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")).start()
        while a.metric("fcnode_invocations_running") < 1:
            pass
        uid_pids = subprocess.run(["pgrep", "-s", str(a.process.pid)], capture_output=True, text=True).stdout.split()
        serve = a.serve_pid()
        self.assertEqual(a.stop(), 0)
        for pid in [*uid_pids, str(serve)]:
            self.assertFalse(os.path.exists("/proc/" + pid), pid)
        self.assertFalse(os.path.exists(a.socket))
        with open("/proc/self/mounts") as f:
            self.assertNotIn(a.dir, f.read())
        self.assertFalse(os.path.exists(a.dir + "/run"))
        a.start()
        self.assertEqual([r["outcome"] for r in a.usage()], ["shutdown"])
        a.close()


if __name__ == "__main__":
    unittest.main()
