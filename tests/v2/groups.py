"""Control groups for the tests beside it: make one, hand it to a user, start programs inside, remove it."""
import itertools
import os
import subprocess
import time

BUILD = os.environ["FC_BUILD"]
ROOT = "/sys/fs/cgroup"
count = itertools.count()


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Group:
    """Below the root, or below `parent`, which then hands down these controllers."""

    def __init__(self, parent=None, controllers=None):
        self.parent = parent
        above = parent.path if parent else ROOT
        if controllers:
            parent.write("cgroup.subtree_control", " ".join("+" + c for c in controllers.split()))
        self.path = "%s/fcv2-%d-%d" % (above, os.getpid(), next(count))
        os.mkdir(self.path)

    def file(self, name):
        return self.path + "/" + name

    def read(self, name):
        with open(self.file(name)) as f:
            return f.read()

    def write(self, name, text, missing_ok=False):
        try:
            with open(self.file(name), "w") as f:
                f.write(text)
        except OSError:
            if not missing_ok:
                raise

    def children(self, name=""):
        with os.scandir(self.file(name)) as entries:
            return sorted(e.name for e in entries if e.is_dir())

    def delegate(self, uid):
        """What systemd does for Delegate=yes (cgroups(7), delegation)."""
        for name in ("", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"):
            os.chown(self.file(name), uid, uid)

    def enter(self, uid):
        def before_exec():
            self.write("cgroup.procs", "0")
            if uid:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
        return before_exec

    def start(self, command, uid=None, **more):
        return subprocess.Popen(command, preexec_fn=self.enter(uid), start_new_session=True, **more)

    def run(self, command, uid=None, **more):
        return subprocess.run(command, preexec_fn=self.enter(uid), start_new_session=True, **more)

    def remove(self):
        """Kill what is in it, and remove it with everything below."""
        if not os.path.exists(self.path):
            return
        self.write("cgroup.kill", "1")
        wait_until(lambda: "populated 0" in self.read("cgroup.events"))
        for path, _, _ in os.walk(self.path, topdown=False):
            os.rmdir(path)
        if self.parent:
            self.parent.write("cgroup.subtree_control", "-memory", missing_ok=True)
