"""Limits above a function's own: the tenant's and the node's. They hold, an end that they caused is told and billed as
theirs, and what can never fit below them is refused ahead. On cgroup v2 and on v1."""
import glob
import unittest

from agent import Agent

EATS = "def handler(event, context):\n    return len(bytearray(b'x') * (1 << 30))\n"
FORKS = ("import os, time\ndef handler(event, context):\n    n = 0\n    try:\n        while n < 400:\n"
         "            if os.fork() == 0:\n                time.sleep(60)\n                os._exit(0)\n            n += 1\n"
         "    except OSError as e:\n        return '%d %d' % (n, e.errno)\n    return 'no limit'\n")


def level_files(level, *names):
    """Each of these files that exists in this level's groups, of any hierarchy."""
    out = []
    for name in names:
        for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/*"):
            out += glob.glob("%s/fcnode/agent-*%s/%s" % (root, level, name))
    return out


class Memory(unittest.TestCase):
    """Functions made before the limit was: a new limit is not a reason to lose them, and they meet it when they run."""

    @classmethod
    def setUpClass(cls):
        cls.a = Agent()
        cls.a.python("eats", EATS, memorySize=256)
        cls.a.python("small", EATS, memorySize=64)
        cls.a.stop()

    @classmethod
    def tearDownClass(cls):
        cls.a.close()

    def ended(self, name, status, code, outcome, *texts):
        r = self.a.invoke(name)
        self.assertEqual((r.status, r.outcome), (status, outcome), r.body)
        if code:
            self.assertEqual(r.code, code)
        for text in texts:
            self.assertIn(text, r.body.decode())
        [record] = self.a.usage(requestId=r.headers["X-Fc-Request-Id"])
        self.assertEqual(record["outcome"], outcome)
        self.assertIn(texts[0], self.a.log_of(r).body.decode())
        return record

    def test_the_tenant_s(self):
        self.a.start("--tenant-memory", "96M")
        record = self.ended("eats", 429, "ResourceExhausted", "oom_tenant", "limit of the tenant (tenant-memory, 96 MB)",
                            "tenant 'default'", "within its own 256 MB")
        self.assertEqual((record["billedMs"], record["gbSeconds"]), (0, 0))
        # the kernel raises the peak of the lower level before the upper one refuses: by a huge page at most
        self.assertLessEqual(record["peakMemoryBytes"], 98 << 20)
        record = self.ended("small", 200, None, "oom", "the limit of its own sandbox", "memory limit: 64MB")
        self.assertGreater(record["billedMs"], 0)
        self.assertEqual(self.a.metric('fcnode_invocations_total{outcome="oom_tenant"}'), 1)
        p = self.a.fcctl("invoke", "eats")
        self.assertIn(b"tenant-memory", p.stderr)
        self.a.stop()

    def test_the_node_s(self):
        self.a.start("--node-memory", "96M", "--tenant-memory", "96M")
        self.ended("small", 200, None, "oom", "the limit of its own sandbox")
        self.a.stop()
        self.a.start("--node-memory", "96M")
        record = self.ended("eats", 503, "ResourceThrottled", "oom_node", "limit of this node (node-memory, 96 MB)")
        self.assertEqual(record["billedMs"], 0)
        self.a.stop()


class Others(unittest.TestCase):
    def test_processes(self):
        for option, level in (("--tenant-pids", "/t-*"), ("--node-pids", "")):
            a = Agent(option, "20")
            try:
                a.python("forks", FORKS)
                n, errno = a.invoke("forks").body.decode().strip("\"").split()
                self.assertLess(int(n), 20)
                self.assertEqual(errno, "11")
                [path] = level_files(level, "pids.max")
                with open(path) as f:
                    self.assertEqual(f.read(), "20\n")
            finally:
                a.close()

    def test_cpu_below_what_a_function_gets_by_default(self):
        for option, level in (("--tenant-cpu", "/t-*"), ("--node-cpu", "")):
            a = Agent(option, "0.5")
            try:
                a.shell("f", "cat; echo done")
                self.assertEqual(a.invoke("f", b"x").body, b"xdone\n")
                quotas = set()
                for path in level_files(level, "cpu.max", "cpu.cfs_quota_us"):
                    with open(path) as f:
                        quotas.add(f.read().split()[0])
                self.assertEqual(quotas, {"50000"})
            finally:
                a.close()

    def test_what_can_never_fit_is_refused(self):
        a = Agent("--tenant-memory", "256M", "--node-cpu", "0.5")
        try:
            r = a.create("big", {"index.py": EATS}, memorySize=512)
            self.assertEqual((r.status, r.code), (400, "InvalidArgument"))
            self.assertIn(b"memorySize: more than this node allows (tenant-memory is 268435456)", r.body)
            r = a.create("wide", {"index.py": EATS}, cpu=1, memorySize=128)
            self.assertEqual(r.status, 400)
            self.assertIn(b"node-cpu is 500", r.body)
        finally:
            a.close()

    def test_levels_that_make_no_sense_are_refused_at_start(self):
        for options, text in ((("--tenant-memory", "1M"), "less than 16M"),
                              (("--tenant-pids", "100", "--node-pids", "50"), "--tenant-pids is more than --node-pids")):
            with self.assertRaises(RuntimeError) as e:
                Agent(*options)
            self.assertIn(text, str(e.exception))
