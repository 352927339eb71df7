"""What an orchestrator asks of a node: capacity, events with a cursor, the drain state, instances."""
import json
import os
import select
import socket
import subprocess
import threading
import unittest

from agent import Agent

FUNCTIONS = "/2023-03-30/functions"


def held(agent, name, event):
    """A call in the background; its reply comes in the list."""
    out = []
    thread = threading.Thread(target=lambda: out.append(agent.invoke(name, event)))
    thread.start()
    return thread, out


class Orchestrator(unittest.TestCase):
    def setUp(self):
        self.a = Agent("--max-node-events", "64")
        self.addCleanup(self.a.close)

    def get(self, path, status=200, **headers):
        r = self.a.request("GET", path, **headers)
        self.assertEqual(r.status, status, r.body)
        return r.json()

    def events(self, cursor="", **query):
        return self.get("/node/events?" + "&".join("%s=%s" % i for i in {"cursor": cursor, "limit": 1000, **query}.items()))

    def until(self, cursor, wanted):
        """Follow the feed, by its own waiting, until this event comes; all events on the way."""
        seen = []
        while not any(e["event"] == wanted for e in seen):
            page = self.events(cursor, wait=20000)
            self.assertTrue(page["events"], "no %s within 20 s, but %s" % (wanted, seen))
            seen += page["events"]
            cursor = page["cursor"]
        return seen, cursor

    def test_life_of_a_call(self):
        a = self.a
        a.shell("echo", "exec cat")
        first = self.events()
        self.assertEqual([e["event"] for e in first["events"]], ["node.ready", "function.created"])
        r = a.invoke("echo", b"x")
        seen, cursor = self.until(first["cursor"], "invocation.ended")
        self.assertEqual([e["event"] for e in seen], ["invocation.queued", "invocation.started", "instance.running",
                                                      "instance.ended", "invocation.ended"])
        self.assertEqual([e["seq"] for e in seen], list(range(3, 8)))
        self.assertEqual({e["requestId"] for e in seen}, {r.headers["X-Fc-Request-Id"]})
        self.assertEqual({e["instanceId"] for e in seen[1:]}, {r.headers["X-Fc-Instance-Id"]})
        self.assertEqual((seen[3]["detail"], seen[4]["detail"]), ("exited", "ok"))
        a.request("DELETE", FUNCTIONS + "/echo")
        self.assertEqual(self.events(cursor)["events"][0]["event"], "function.deleted")

    def test_what_the_ring_gave_up_and_another_life(self):
        a = self.a
        a.shell("echo", "exec cat")
        start = self.events()["cursor"]
        for _ in range(14):
            a.invoke("echo")
        page = self.events(start)
        self.assertEqual((page["lost"], len(page["events"]), page["restarted"]), (14 * 5 - 64, 64, False))
        a.stop()
        a.start()
        page = self.events(start)
        self.assertEqual((page["restarted"], page["lost"]), (True, 0))
        self.assertEqual(page["events"][0]["event"], "node.ready")

    def test_waiting(self):
        a = self.a
        a.shell("echo", "exec cat")
        now = self.events("now")
        self.assertEqual(now["events"], [])
        self.assertEqual(self.events(now["cursor"], wait=1)["events"], [])  # its time passes
        thread, out = held(a, "echo", b"x")
        self.until(now["cursor"], "invocation.ended")
        thread.join()
        self.assertEqual(out[0].body, b"x")
        for query in ("cursor=x", "limit=0", "limit=1001", "wait=60001", "follow=1"):
            r = a.request("GET", "/node/events?" + query)
            self.assertEqual((r.status, r.code), (400, "InvalidArgument"), query)

    def test_waits_are_bounded_and_end_with_their_clients(self):
        a = self.a
        waiting = []

        def wait():
            s = socket.socket(socket.AF_UNIX)
            s.connect(a.socket)
            s.sendall(b"GET /node/events?cursor=now&wait=60000 HTTP/1.1\r\nHost: x\r\n\r\n")
            waiting.append(s)
            return s

        for _ in range(65):
            wait()
        # one of them, whichever came last, is refused
        ready, _, _ = select.select(waiting, [], [], 20)
        self.assertEqual(len(ready), 1)
        self.assertIn(b"node-event-waits", ready[0].recv(65536))
        for s in waiting:
            s.close()
        while True:  # their places are free once serve has seen the hangups
            r = a.request("GET", "/node/events?cursor=now&wait=1")
            if r.status == 200:
                break
            self.assertEqual(r.code, "ResourceExhausted")

    def test_stop_does_not_wait_for_followers(self):
        a = self.a
        cursor = self.events("now")["cursor"]
        out = []
        thread = threading.Thread(target=lambda: out.append(self.events(cursor, wait=60000)))
        thread.start()
        while a.metric("fcnode_event_waits") < 1:
            pass
        a.stop()
        thread.join()
        self.assertEqual([e["event"] for e in out[0]["events"]], ["node.stopping"])
        a.start()

    def test_drain(self):
        a = self.a
        a.shell("held", "read x; echo done", timeout=20)
        a.shell("sleeper", "sleep 1; echo slept")
        cursor = self.events("now")["cursor"]
        thread, out = held(a, "sleeper", b"")
        _, cursor = self.until(cursor, "instance.running")
        self.assertEqual(self.get("/node/drain"), {"state": "active", "running": 1, "queued": 0})
        r = a.request("PUT", "/node/drain", json.dumps({"reason": "new kernel"}))
        self.assertEqual((r.status, r.json()["reason"]), (200, "new kernel"))
        since = r.json()["sinceMs"]
        r = a.invoke("held")
        self.assertEqual((r.status, r.code, r.headers["Retry-After"]), (503, "ServiceUnavailable", "30"))
        self.assertIn("new kernel", r.json()["Message"])
        seen, cursor = self.until(cursor, "node.drained")
        thread.join()
        self.assertEqual(out[0].body, b"slept\n")  # what ran was let end
        self.assertEqual(seen[0]["event"], "node.draining")
        self.assertEqual(self.get("/node/capacity")["state"], "drained")
        # it holds over a stop, over a crash, and is ended by nothing but DELETE
        for end in (a.stop, a.crash):
            end()
            a.start()
            self.assertEqual(self.get("/node/drain"), {"state": "drained", "running": 0, "queued": 0, "sinceMs": since,
                                                       "reason": "new kernel"})
        self.assertEqual(a.invoke("held").status, 503)
        self.assertEqual(a.fcctl("undrain").returncode, 0)
        self.assertEqual(self.events()["events"][-1]["event"], "node.active")
        self.assertEqual(a.invoke("held", b"x\n").body, b"done\n")

    def test_drain_bad_input(self):
        a = self.a
        for body, code in (("{", "InvalidArgument"), ('{"why": "x"}', "InvalidArgument"), ('{"reason": 1}', "InvalidArgument"),
                           (json.dumps({"reason": "x" * 256}), "InvalidArgument"), ("x" * 5000, "EntityTooLarge")):
            self.assertEqual(a.request("PUT", "/node/drain", body).code, code, body)
        self.assertEqual(self.get("/node/drain")["state"], "active")

    def test_drain_is_the_operators(self):
        with open(self.a.dir + "/other.py", "w") as f:
            f.write("import http.client, socket, sys\n"
                    "for method in ('PUT', 'DELETE'):\n"
                    "    c = http.client.HTTPConnection('x')\n    c.sock = socket.socket(socket.AF_UNIX)\n"
                    "    c.sock.connect(sys.argv[1])\n    c.request(method, '/node/drain')\n    r = c.getresponse()\n"
                    "    print(r.status)\n")
        self.a.stop()
        self.a.start("--allow-user", "65533", "--socket-mode", "0666")
        out = subprocess.run(["setpriv", "--reuid", "65533", "--regid", "65533", "--clear-groups", "python3",
                              self.a.dir + "/other.py", self.a.socket], capture_output=True, text=True)
        self.assertEqual(out.stdout.split(), ["403", "403"], out.stderr)

    def test_capacity_and_instances(self):
        a = self.a
        a.shell("sleeper", "read x; sleep 1", memorySize=256, cpu=0.5)
        before = self.get("/node/capacity")
        self.assertEqual((before["state"], before["instances"]["live"]), ("active", 0))
        self.assertEqual((before["memory"]["committedBytes"], before["cpu"]["committedMilli"]), (0, 0))
        self.assertGreater(before["memory"]["availableBytes"], 1 << 20)
        self.assertGreater(before["memory"]["totalBytes"], before["memory"]["availableBytes"])
        self.assertGreater(before["disk"]["availableBytes"], 0)
        cursor = self.events("now")["cursor"]
        thread, _ = held(a, "sleeper", b"x\n")
        seen, _ = self.until(cursor, "instance.running")
        now = self.get("/node/capacity")
        self.assertEqual((now["instances"]["live"], now["instances"]["free"]), (1, before["instances"]["max"] - 1))
        self.assertEqual((now["memory"]["committedBytes"], now["cpu"]["committedMilli"]), (256 << 20, 500))
        [instance] = self.get(FUNCTIONS + "/sleeper/instances")["instances"]
        self.assertEqual((instance["instanceId"], instance["status"]), (seen[-1]["instanceId"], "Running"))
        thread.join()
        self.assertEqual(self.get(FUNCTIONS + "/sleeper/instances")["instances"], [])
        after = self.get("/node/capacity")
        self.assertEqual((after["memory"]["committedBytes"], after["cpu"]["committedMilli"]), (0, 0))
        self.get(FUNCTIONS + "/none/instances", 404)

    def test_fcctl(self):
        a = self.a
        self.assertEqual(a.fcctl("drain", "--reason", "disk").returncode, 0)
        r = a.fcctl("drain", "--wait")
        self.assertEqual((r.returncode, r.stdout), (0, b"drained: disk\n"), r.stderr)
        self.assertEqual(a.fcctl("undrain").stdout, b"active\n")
        self.assertEqual(json.loads(a.fcctl("--format", "json", "capacity").stdout)["state"], "active")
        self.assertIn(b"state", a.fcctl("capacity").stdout)
        out = a.fcctl("events").stdout.decode()
        self.assertIn("node.ready", out)
        self.assertIn("node.active", out)
        lines = a.fcctl("--format", "json", "events").stdout.splitlines()
        self.assertEqual(json.loads(lines[0])["event"], "node.ready")
        follow = subprocess.Popen([os.environ["FC_BUILD"] + "/fcctl", "--socket", a.socket, "events", "--follow"],
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn(b"node.ready", follow.stdout.readline())
        a.fcctl("drain")
        for line in follow.stdout:
            if b"node.drained" in line:
                break
        follow.terminate()
        follow.communicate()
