"""A real fc-agent in a temporary directory, for the tests beside it: start, stop, HTTP over its socket, fcctl."""
import base64
import http.client
import io
import json
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import zipfile

BUILD = os.environ.get("FC_BUILD", os.getcwd())
SCALE = int(os.environ.get("FC_TEST_TIME_SCALE", "1"))  # how much slower a machine may be
LONG = min(10 * SCALE, 120)  # seconds that a function has that is not about time


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60 * min(SCALE, 4)):
        super().__init__("fc-agent", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Reply:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["Code"]

    @property
    def outcome(self):
        return self.headers["X-Fcnode-Outcome"]


def zip_of(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, text in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o100755 << 16
            z.writestr(info, text)
    return out.getvalue()


class Agent:
    def __init__(self, *options, files=None, principals=None):
        self.files = files  # hard limit on open files
        self.options = list(options)
        self.dir = tempfile.mkdtemp(prefix="fc-agent-test-")
        os.chmod(self.dir, 0o755)
        if principals is not None:
            self.options += ["--principals", self.describe(principals)]
        self.socket = self.dir + "/agent.sock"
        self.process = None
        try:
            self.start()
        except BaseException:  # nobody will close what never came to be
            self.close()
            raise

    def start(self, *options):
        with open(self.dir + "/log", "ab") as log:
            self.process = self.spawn(log, options)

        while True:  # the socket exists before it is listened on; a connection waits until serve accepts it
            if self.process.poll() is not None:
                raise RuntimeError("fc-agent ended: " + self.text())
            try:
                if self.request("GET", "/healthz").status == 200:
                    return
            except (FileNotFoundError, ConnectionError):
                try:
                    self.process.wait(0.02)
                except subprocess.TimeoutExpired:
                    pass

    def spawn(self, log, options):
        return subprocess.Popen(
            [BUILD + "/fc-agent", "--state-dir", self.dir + "/state", "--runtime-dir", self.dir + "/run", "--socket",
             self.socket, "--user", "65534:65534", "--drain-timeout", "2s", *self.options, *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=self.files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (self.files, self.files))))

    def describe(self, principals):
        """Write the principals' file: its path."""
        path = self.dir + "/principals"
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(principals)
        return path

    def port(self, n=0):
        """Of the n-th --listen."""
        lines = [x for x in self.text().splitlines() if "event=listen" in x]
        count = sum(x == "--listen" for x in self.options)
        return int(lines[-count:][n].split("port=")[1].split()[0])

    def text(self):
        with open(self.dir + "/log") as f:
            return f.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def crash(self):
        """kill -9 to both halves"""
        serve = os.pidfd_open(self.serve_pid())
        self.process.kill()
        self.process.wait()
        try:
            signal.pidfd_send_signal(serve, signal.SIGKILL)
        except ProcessLookupError:
            pass
        select.select([serve], [], [], 30)  # while it ends, its listener still takes connections
        os.close(serve)

    def serve_pid(self):
        return int(subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True,
                                  check=True).stdout.split()[0])

    def close(self):
        if self.process and self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.dir)

    def request(self, method, path, body=None, timeout=60 * min(SCALE, 4), **headers):
        c = Connection(self.socket, timeout)
        try:
            c.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
            return Reply(c.getresponse())
        finally:
            c.close()

    def create(self, name, files, runtime="python3", handler="index.handler", method="POST", **fields):
        body = {"runtime": runtime, "handler": handler, "memorySize": 128, "timeout": LONG, **fields,
                "code": {"zipFile": base64.b64encode(zip_of(files)).decode()}}
        path = "/2023-03-30/functions"
        if method == "PUT":
            path += "/" + name
        else:
            body["functionName"] = name
        return self.request(method, path, json.dumps(body))

    def python(self, name, text, **fields):
        r = self.create(name, {"index.py": text}, **fields)
        assert r.status == 200, r.body

    def shell(self, name, text, **fields):
        r = self.create(name, {"bootstrap": "#!/bin/sh\n" + text}, "stdio", "bootstrap", **fields)
        assert r.status == 200, r.body

    def invoke(self, name, event=b"", **headers):
        return self.request("POST", "/2023-03-30/functions/%s/invocations" % name, event, **headers)

    def usage(self, **query):
        text = "&".join("%s=%s" % i for i in query.items())
        return self.request("GET", "/usage?" + text).json()["records"]

    def log_of(self, reply):
        return self.request("GET", "/logs?requestId=" + reply.headers["X-Fc-Request-Id"])

    def metric(self, name):
        for line in self.request("GET", "/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        raise KeyError(name)

    def raw(self, data, timeout=20 * min(SCALE, 4), half_close=False):
        """Send bytes as they are, read until the end."""
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(self.socket)
        s.sendall(data)
        if half_close:
            s.shutdown(socket.SHUT_WR)
        out = b""
        try:
            while piece := s.recv(65536):
                out += piece
        except ConnectionResetError:
            pass
        s.close()
        return out

    def fcctl(self, *words, stdin=b""):
        return subprocess.run([BUILD + "/fcctl", "--socket", self.socket, *words], input=stdin, capture_output=True)
