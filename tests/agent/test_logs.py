"""What functions wrote: one call, many calls, lines as they are written, and what is thrown away."""
import json
import select
import subprocess
import time
import unittest

from agent import BUILD, SCALE, Agent, Connection


class Logs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.a = Agent()
        for name in "red", "blue":
            cls.a.python(name, "import sys\ndef handler(event, context):\n    print('%s says', event.decode())\n"
                               "    print('and more', file=sys.stderr)\n" % name)

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def logs(self, **query):
        r = self.a.request("GET", "/logs?" + "&".join("%s=%s" % i for i in query.items()))
        self.assertEqual(r.status, 200, r.body)
        return r.json()

    def test_search(self):
        a = self.a
        before = int(time.time() * 1000)
        ids = [a.invoke(name, event).headers["X-Fc-Request-Id"] for name, event in
               (("red", b"one"), ("blue", b"two"), ("red", b"three"), ("red", b"four"))]
        page = self.logs(**{"from": before})
        self.assertEqual([x["requestId"] for x in page["logs"]], ids[::-1])
        self.assertEqual(page["logs"][0]["text"].splitlines(), ["red says four", "and more"])
        self.assertEqual([x["requestId"] for x in self.logs(functionName="blue", **{"from": before})["logs"]], [ids[1]])
        page = self.logs(text="says%20t", **{"from": before})
        self.assertEqual([x["text"] for x in page["logs"]], ["red says three\n", "blue says two\n"])
        self.assertEqual(self.logs(to=before, **{"from": before - 1})["logs"], [])
        seen, token = [], {}
        while True:
            page = self.logs(limit=1, functionName="red", **{"from": before}, **token)
            seen += page["logs"]
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        self.assertEqual([x["requestId"] for x in seen], [ids[3], ids[2], ids[0]])
        out = a.fcctl("logs", "--function", "red", "--last", "2").stdout.decode().splitlines()
        self.assertEqual([x.split()[1] for x in out if x.startswith("==>")], ids[2:])
        self.assertIn("red says four", out)
        out = a.fcctl("--format", "json", "logs", "--text", "two", "--since", "1h").stdout.decode().splitlines()
        self.assertEqual(json.loads(out[-1])["requestId"], ids[1])
        self.assertEqual(a.fcctl("logs", ids[0]).stdout, b"red says one\nand more\n")

    def test_what_is_refused(self):
        for query in ("limit=0", "limit=101", "from=x", "nextToken=0", "text=" + "x" * 257, "functionName=" + "x" * 65, "requestId=x",
                      "follow=yes", "follow=true&limit=3", "requestId=%s&text=x" % ("0" * 36), "requestId=%s&limit=1" % ("0" * 36)):
            with self.subTest(query):
                r = self.a.request("GET", "/logs?" + query)
                self.assertEqual((r.status, r.code), (400, "InvalidArgument"), r.body)
        self.assertEqual(self.a.fcctl("logs", "--follow", "--since", "1m").returncode, 2)

    def test_text_that_is_none(self):
        self.a.shell("bytes", r"printf 'a\377\000b\n' >&2")
        r = self.a.invoke("bytes")
        self.assertEqual(self.a.log_of(r).body, b"a\xff\0b\n")
        self.assertEqual(self.logs(functionName="bytes")["logs"][0]["text"], "a?\0b\n")

    def test_follow(self):
        a = self.a
        c = Connection(a.socket)
        self.addCleanup(c.close)
        c.request("GET", "/logs?follow=true&functionName=red&text=says")
        r = c.getresponse()
        self.assertEqual((r.status, r.headers["Content-Type"]), (200, "application/x-ndjson"))
        a.invoke("blue", b"not this")
        call = a.invoke("red", b"this")
        line = json.loads(r.readline())
        self.assertEqual((line["requestId"], line["functionName"], line["stream"], line["text"]),
                         (call.headers["X-Fc-Request-Id"], "red", "stdout", "red says this"))
        p = subprocess.Popen([BUILD + "/fcctl", "--socket", a.socket, "logs", "-f", "--function", "blue"], stdout=subprocess.PIPE)
        self.addCleanup(p.stdout.close)
        while not select.select([p.stdout], [], [], 0)[0]:  # it is there when it prints one
            self.assertIsNone(p.poll())
            a.invoke("blue", b"now")
        self.assertRegex(p.stdout.readline().decode(), r"^\S+Z blue [0-9a-f]{8} blue says now\n$")
        p.terminate()
        p.wait()

    def test_lines_come_while_the_function_runs(self):
        a = self.a
        a.shell("waits", "echo begins >&2; exec sleep 1000")
        c = Connection(a.socket)
        self.addCleanup(c.close)
        c.request("GET", "/logs?follow=true&functionName=waits")
        r = c.getresponse()
        call = Connection(a.socket)
        call.request("POST", "/2023-03-30/functions/waits/invocations", b"")
        self.assertEqual(json.loads(r.readline())["text"], "begins")
        call.close()

    def test_who_follows_slowly_loses_lines_and_holds_nobody_up(self):
        a = Agent("--max-log-bytes", "1K")
        self.addCleanup(a.close)
        size = 64 << 20
        a.shell("floods", "yes 0123456789012345678901234567890123456789012345678901234567890123456789 | head -c %d >&2; echo done" % size,
                timeout=120 * SCALE)
        c = Connection(a.socket)
        self.addCleanup(c.close)
        c.request("GET", "/logs?follow=true")
        r = c.getresponse()
        call = a.invoke("floods", timeout=120 * SCALE)
        self.assertEqual((call.outcome, call.body), ("ok", b"done\n"))
        self.assertIn(b"bytes of log were not kept", a.log_of(call).body)
        dropped = a.request("GET", "/logs").json()["logs"][0]["dropped"]
        self.assertGreater(dropped, size - 4096)
        told = lost = 0
        while told < size // 71:  # a line that two reads divided comes, or is lost, as two
            n = json.loads(r.readline()).get("lost", 0)
            lost, told = lost + n, told + (n or 1)
        self.assertGreater(lost, size // 71 // 2)

    def test_age(self):
        a = Agent("--log-max-age", "1s")
        self.addCleanup(a.close)
        a.shell("old", "echo old >&2")
        first = a.invoke("old")
        self.assertEqual(a.log_of(first).status, 200)
        time.sleep(1.1)  # what is to pass is time
        a.invoke("old")
        self.assertEqual(a.log_of(first).code, "LogNotFound")

    def test_a_stop_ends_those_who_follow(self):
        a = Agent()
        self.addCleanup(a.close)
        c = Connection(a.socket)
        self.addCleanup(c.close)
        c.request("GET", "/logs?follow=true")
        r = c.getresponse()
        self.assertEqual(a.stop(), 0)
        self.assertEqual(r.read(), b"")


if __name__ == "__main__":
    unittest.main()
