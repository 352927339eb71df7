"""fc-run in groups that are not the root: delegated to an ordinary user, shared with other processes, limited from above,
seen as the root of a cgroup namespace. Limits hold, what cannot be had is said, and the group is left as it was."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import unittest

import groups
from groups import BUILD, Group

EATS = "#!/usr/bin/python3\ndata = []\nwhile True:\n    data.append(bytearray(b'x' * (1 << 20)))\n"
TELLS = "#!/bin/sh\necho up >&2\nread -r line\necho done\n"
OUT_OF_MEMORY, HOST = 4, 5


class Invoke(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = tempfile.mkdtemp(prefix="fc-v2-")
        os.chmod(cls.dir, 0o755)
        for name in ("fc-run", "fc-sandbox", "fc-unpack"):
            shutil.copy(BUILD + "/" + name, cls.dir)
        shutil.copytree(BUILD + "/images", cls.dir + "/images")
        for name, text in (("eats", EATS), ("tells", TELLS)):
            with open(cls.dir + "/" + name, "w") as f:
                f.write(text)
            os.chmod(cls.dir + "/" + name, 0o755)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.dir)

    def setUp(self):
        self.group = Group()
        self.addCleanup(self.group.remove)

    def run_in(self, *words, uid=None, **more):
        return self.group.run([self.dir + "/fc-run", *words], uid, timeout=120, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, **more)

    def left_as_it_was(self, controllers=""):
        self.assertEqual(self.group.children(), [])
        self.assertEqual(self.group.read("cgroup.subtree_control").strip(), controllers)

    def test_an_ordinary_user_gets_its_limits(self):
        self.group.delegate(1000)
        r = self.run_in("invoke", "--memory", "48M", self.dir + "/eats", uid=1000)
        self.assertEqual(r.returncode, OUT_OF_MEMORY, r.stderr)
        self.assertIn("the limit of 48.0 MiB was reached", r.stderr)
        self.left_as_it_was()

        p = self.group.start([self.dir + "/fc-run", "invoke", "--memory", "64M", "--pids", "30", "--cpu", "0.5",
                              self.dir + "/tells"], 1000, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        # with its event it waits for the end of this pipe: it has its group, and nothing runs in it yet
        p.stdin.close()
        out, err = p.stdout.read(), p.stderr.read()
        self.assertEqual((p.wait(), out), (0, b"done\n"), err)
        p.stdout.close()
        p.stderr.close()
        self.left_as_it_was()

    def test_the_files_of_an_ordinary_users_limits(self):
        self.group.delegate(1000)
        with open(self.dir + "/waits", "w") as f:
            f.write("#!/bin/sh\necho up >&2\nsleep 1000\n")
        os.chmod(self.dir + "/waits", 0o755)
        p = self.group.start([self.dir + "/fc-run", "invoke", "--memory", "64M", "--pids", "30", "--cpu", "0.5",
                              self.dir + "/waits"], 1000, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
        while (line := p.stderr.readline()) and "up" not in line:
            pass
        [leaf] = [d for d in self.group.children("fcnode") if not d.startswith("caller.")]
        got = {name: self.group.read("fcnode/%s/%s" % (leaf, name)).strip()
               for name in ("memory.max", "memory.swap.max", "memory.oom.group", "pids.max", "cpu.max")}
        self.assertEqual(got, {"memory.max": str(64 << 20), "memory.swap.max": "0", "memory.oom.group": "1",
                               "pids.max": "30", "cpu.max": "50000 100000"})
        self.assertEqual(self.group.read("cgroup.procs"), "")
        p.send_signal(signal.SIGTERM)
        p.wait()
        p.stderr.close()
        self.left_as_it_was()

    def test_a_controller_that_was_not_delegated(self):
        inner = Group(self.group, controllers="memory")
        self.addCleanup(inner.remove)
        inner.delegate(1000)
        self.group, outer = inner, self.group
        r = self.run_in("invoke", "--memory", "48M", "--pids", "30", self.dir + "/tells", uid=1000)
        self.assertEqual(r.returncode, HOST, r.stderr)
        self.assertIn("cgroup controller pids: not available", r.stderr)
        self.left_as_it_was()
        self.group = outer

    def test_not_delegated(self):
        r = self.run_in("invoke", "--memory", "48M", self.dir + "/tells", uid=1000)
        self.assertEqual(r.returncode, HOST, r.stderr)
        self.assertIn("not writable for uid 1000", r.stderr)
        r = self.run_in("invoke", self.dir + "/tells", uid=1000)
        self.assertEqual((r.returncode, r.stdout), (0, "done\n"), r.stderr)
        self.assertIn("running without memory, cpu and process limits", r.stderr)
        self.left_as_it_was()

    def test_other_processes_are_not_moved(self):
        self.group.delegate(1000)
        other = self.group.start(["sleep", "1000"])
        try:
            r = self.run_in("invoke", "--memory", "48M", self.dir + "/tells", uid=1000)
            self.assertNotEqual(r.returncode, 0)
            self.assertIn("it holds other processes", r.stderr)
            self.assertIn("Delegate=yes", r.stderr)
            self.assertEqual(self.group.read("cgroup.procs").split(), [str(other.pid)])
            self.left_as_it_was()
        finally:
            other.kill()
            other.wait()

    def test_a_limit_above_is_not_the_functions(self):
        self.group.delegate(1000)
        self.group.write("memory.max", str(64 << 20))
        self.group.write("memory.swap.max", "0")
        r = self.run_in("invoke", "--memory", "512M", self.dir + "/eats", uid=1000)
        self.assertEqual(r.returncode, OUT_OF_MEMORY, r.stderr)
        self.assertIn("a limit above the sandbox's own 512.0 MiB was reached", r.stderr)
        self.left_as_it_was()

    def test_root_of_a_cgroup_namespace(self):
        r = self.group.run(["unshare", "-Cm", "sh", "-c", 'umount -l /sys/fs/cgroup && mount -t cgroup2 none '
                            '/sys/fs/cgroup && exec "$@"', "sh", self.dir + "/fc-run", "invoke", "--memory", "48M",
                            self.dir + "/eats"], timeout=120, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        self.assertEqual(r.returncode, OUT_OF_MEMORY, r.stderr)
        self.assertIn("the limit of 48.0 MiB was reached", r.stderr)
        self.left_as_it_was()

    def test_a_killed_caller_leaves_what_the_next_removes(self):
        self.group.delegate(1000)
        with open(self.dir + "/waits", "w") as f:
            f.write("#!/bin/sh\necho up >&2\nsleep 1000\n")
        os.chmod(self.dir + "/waits", 0o755)
        p = self.group.start([self.dir + "/fc-run", "invoke", self.dir + "/waits"], 1000, stdin=subprocess.DEVNULL,
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while (line := p.stderr.readline()) and "up" not in line:
            pass
        p.kill()
        p.wait()
        p.stderr.close()
        groups.wait_until(lambda: "populated 0" in self.group.read("cgroup.events"))
        self.group.write("cgroup.subtree_control", "-memory -cpu -pids -io", missing_ok=True)
        self.group.write("fcnode/cgroup.subtree_control", "-memory -cpu -pids -io", missing_ok=True)
        self.group.write("cgroup.subtree_control", "-memory -cpu -pids -io", missing_ok=True)
        r = self.run_in("invoke", self.dir + "/tells", uid=1000)
        self.assertEqual(r.returncode, 0, r.stderr)
        self.left_as_it_was()


class Oci(unittest.TestCase):
    """linux.resources of a bundle, on the files and in what happens."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="fc-v2-oci-")
        self.addCleanup(shutil.rmtree, self.dir)
        os.chmod(self.dir, 0o755)
        self.id = "fcv2-%d" % os.getpid()
        self.bundle = self.dir + "/bundle"
        os.makedirs(self.bundle + "/rootfs/bin")
        for name in ("proc", "sys", "dev", "tmp", "etc"):
            os.mkdir(self.bundle + "/rootfs/" + name)
        shutil.copy(shutil.which("busybox") or "/run/vm/busybox", self.bundle + "/rootfs/bin/busybox")
        os.symlink("busybox", self.bundle + "/rootfs/bin/sh")

    def fc(self, *words, group=None, uid=None, check=True, **more):
        command = [self.dir + "/fc-run" if uid else BUILD + "/fc-run", "--root", self.dir + "/state", *words]
        options = dict(timeout=120, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        options.update(more)
        r = group.run(command, uid, **options) if group else subprocess.run(command, **options)
        if check:
            self.assertEqual(r.returncode, 0, (words, r.stderr))
        return r

    def configure(self, script, resources, spec=(), **more):
        self.fc("spec", *spec, "--bundle", self.bundle, **more)
        with open(self.bundle + "/config.json") as f:
            config = json.load(f)
        config["process"]["terminal"] = False
        config["process"]["args"] = ["/bin/sh", "-c", script]
        config["linux"]["resources"] = {**config["linux"].get("resources", {}), **resources}
        if not spec:
            config["linux"]["cgroupsPath"] = "/" + self.id
        with open(self.bundle + "/config.json", "w") as f:
            json.dump(config, f)

    # create's output goes to a file: the container keeps it open
    def create(self, **more):
        with open(self.dir + "/log", "w") as log:
            r = self.fc("create", "--bundle", self.bundle, self.id, check=False, stdout=log, stderr=log, **more)
        with open(self.dir + "/log") as f:
            self.assertEqual(r.returncode, 0, f.read())

    def read(self, name):
        with open("/sys/fs/cgroup/%s/%s" % (self.id, name)) as f:
            return f.read().strip()

    def test_every_kind_of_limit_reaches_its_file(self):
        st = os.stat(self.dir)
        disk = {"major": os.major(st.st_dev), "minor": os.minor(st.st_dev)}
        self.configure("busybox sleep 1000", {
            "memory": {"limit": 64 << 20, "swap": 96 << 20, "reservation": 16 << 20},
            "cpu": {"shares": 512, "quota": 20000, "period": 50000, "burst": 5000, "cpus": "0"},
            "pids": {"limit": 33},
            "blockIO": {"throttleReadBpsDevice": [{**disk, "rate": 1 << 20}], "throttleWriteIOPSDevice": [{**disk, "rate": 9}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}],
            "unified": {"memory.high": str(48 << 20), "memory.oom.group": "1"}})
        self.create()
        want = {"memory.max": str(64 << 20), "memory.swap.max": str(32 << 20), "memory.low": str(16 << 20),
                "memory.high": str(48 << 20), "memory.oom.group": "1", "cpu.weight": "20", "cpu.max": "20000 50000",
                "cpu.max.burst": "5000", "cpuset.cpus": "0", "pids.max": "33", "hugetlb.2MB.max": str(4 << 20),
                "io.max": "%d:%d rbps=1048576 wbps=max riops=max wiops=9" % (disk["major"], disk["minor"])}
        self.assertEqual({name: self.read(name) for name in want}, want)
        self.fc("delete", "--force", self.id)
        self.assertFalse(os.path.exists("/sys/fs/cgroup/" + self.id))

    def test_memory_high_slows_and_does_not_kill(self):
        self.configure("busybox dd if=/dev/zero of=/dev/null bs=400M count=1; busybox sleep 1000",
                       {"memory": {"limit": 512 << 20, "swap": 512 << 20}, "unified": {"memory.high": str(16 << 20)}})
        self.create()
        self.fc("start", self.id)
        groups.wait_until(lambda: int(dict(l.split() for l in self.read("memory.events").splitlines())["high"]) > 2)
        self.assertIn("oom_kill 0", self.read("memory.events"))
        self.fc("delete", "--force", self.id)

    def test_devices_by_ebpf(self):
        """/dev/null is on the list that every container has, the disk is not, although there is a node for it."""
        st = os.stat(self.dir)
        os.mknod(self.bundle + "/rootfs/disk", 0o60666, st.st_dev)
        self.configure("echo x >/dev/null && echo null; busybox head -c 1 /disk >/dev/null && echo disk; true",
                       {"devices": [{"allow": False, "access": "rwm"}]})
        r = self.fc("run", "--bundle", self.bundle, self.id)
        self.assertEqual(r.stdout, "null\n")
        self.assertIn("Operation not permitted", r.stderr)
        os.unlink(self.bundle + "/rootfs/disk")

    def test_an_ordinary_users_container_from_create_to_delete(self):
        for name in ("fc-run", "fc-sandbox"):
            shutil.copy(BUILD + "/" + name, self.dir)
        first, second = Group(), Group()
        for g in (first, second):
            self.addCleanup(g.remove)
            g.delegate(1000)
        os.mkdir(self.dir + "/state")
        for path, dirs, files in os.walk(self.dir):
            for name in (".", *dirs, *files):
                os.lchown(os.path.join(path, name), 1000, 1000)
        self.configure("busybox sleep 1000", {"memory": {"limit": 64 << 20}, "pids": {"limit": 20}}, spec=["--rootless"],
                       group=second, uid=1000)
        self.create(group=first, uid=1000)
        self.assertEqual(first.read("fcnode/oci/%s/memory.max" % self.id).strip(), str(64 << 20))
        self.assertEqual(first.read("fcnode/oci/%s/pids.max" % self.id).strip(), "20")
        # every later command comes from another group than create did
        self.fc("start", self.id, group=second, uid=1000)
        self.assertIn("populated 1", first.read("fcnode/oci/%s/cgroup.events" % self.id))
        self.fc("delete", "--force", self.id, group=second, uid=1000)
        self.assertEqual(second.children(), [])
        self.assertEqual(first.children(), [])
