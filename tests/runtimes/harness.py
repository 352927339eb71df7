"""What the runtime tests share: a runtime as a child at one end of a socketpair.

No root, no sandbox. The caller's side of fcnode-channel(7) is written here
again, by the page and not from the C codec, so that a mistake in one shows.
"""
import json
import os
import pathlib
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

INVOKE, EVENT, READY, INIT_ERROR, REPLY, ERROR = 1, 2, 16, 17, 18, 19
LAST, FRAME_MAX, ERROR_MAX = 1, 1 << 20, 256 << 10
SOURCE = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT_S = 30


def skip(why):
    """Automake's skip, which FC_TEST_STRICT=1 makes a failure."""
    strict = os.environ.get('FC_TEST_STRICT') == '1'
    print('%s: %s' % ('FAIL (FC_TEST_STRICT=1)' if strict else 'SKIP', why))
    sys.exit(1 if strict else 77)


def interpreter(variable, default):
    path = os.environ.get(variable, default)
    if not shutil.which(path):
        skip('%s is not installed (%s names another)' % (path, variable))
    return path


class Runtime:
    """One running runtime."""

    def __init__(self, argv, code, handler, env=None):
        ours, theirs = socket.socketpair()
        ours.settimeout(TIMEOUT_S)
        self.sock = ours
        self.out = tempfile.TemporaryFile()
        self.err = tempfile.TemporaryFile()
        base = {'PATH': '/usr/bin:/bin', 'FC_FUNC_CODE_PATH': str(code), 'FC_FUNCTION_HANDLER': handler}
        base.update(env or {})
        base['FC_CHANNEL_FD'] = '3'  # as in a sandbox
        self.child = subprocess.Popen(argv, env=base, stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err,
                                      close_fds=False, cwd=str(code), preexec_fn=lambda: self._third(theirs))
        theirs.close()

    @staticmethod
    def _third(sock):
        # Every other descriptor of this interpreter is close-on-exec.
        if sock.fileno() == 3:
            os.set_inheritable(3, True)
        else:
            os.dup2(sock.fileno(), 3)

    def close(self):
        self.sock.close()
        try:
            status = self.child.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise
        finally:
            self.stdout, self.stderr = self._slurp(self.out), self._slurp(self.err)
        return status

    @staticmethod
    def _slurp(file):
        file.seek(0)
        data = file.read()
        file.close()
        return data.decode('utf-8')

    def read(self, size):
        parts = []
        while size:
            chunk = self.sock.recv(min(size, 1 << 18))
            if not chunk:
                return None
            parts.append(chunk)
            size -= len(chunk)
        return b''.join(parts)

    def frame(self):
        """(type, flags, body), or None at the end of the channel."""
        header = self.read(8)
        if header is None:
            return None
        length, kind, flags, reserved = struct.unpack('<IBBH', header)
        assert reserved == 0 and length <= FRAME_MAX, header.hex()
        assert kind in (READY, INIT_ERROR, REPLY, ERROR), header.hex()
        assert flags == 0 or (kind == REPLY and flags == LAST), header.hex()
        return kind, flags, self.read(length) if length else b''

    def ready(self):
        frame = self.frame()
        assert frame == (READY, 0, b''), (frame, self._peek_err())

    def _peek_err(self):
        self.err.seek(0)
        return self.err.read()

    def init_error(self):
        kind, _, body = self.frame()
        assert kind == INIT_ERROR, (kind, body)
        assert len(body) <= ERROR_MAX
        return json.loads(body)

    def send(self, event=b'', request_id='req-1', frame_max=FRAME_MAX, **more):
        call = {'requestId': request_id, 'functionName': 'fn', 'handler': 'h', 'memorySize': 128, 'timeout': 7}
        call.update(more)
        body = json.dumps(call).encode()
        data = [struct.pack('<IBBH', len(body), INVOKE, 0, 0), body]
        pieces = [event[i:i + frame_max] for i in range(0, len(event), frame_max)] or [b'']
        for i, piece in enumerate(pieces):
            data += [struct.pack('<IBBH', len(piece), EVENT, LAST if i == len(pieces) - 1 else 0, 0), piece]
        self.sock.sendall(b''.join(data))

    def answer(self):
        """bytes of a reply, or the dict of an error."""
        parts = []
        while True:
            frame = self.frame()
            assert frame is not None, 'channel ended: %r' % self._peek_err()
            kind, flags, body = frame
            if kind == ERROR:
                assert len(body) <= ERROR_MAX
                return json.loads(body)
            assert kind == REPLY, frame
            parts.append(body)
            if flags & LAST:
                return b''.join(parts)

    def call(self, *args, **kwargs):
        self.send(*args, **kwargs)
        return self.answer()


class RuntimeTest(unittest.TestCase):
    argv = None  # a subclass's

    def setUp(self):
        self.code = pathlib.Path(tempfile.mkdtemp(prefix='fc-test-'))
        self.addCleanup(shutil.rmtree, self.code)

    def write(self, **files):
        for name, text in files.items():
            self.put(name.replace('__', '.'), text)

    def put(self, name, text):
        path = self.code / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def launch(self, handler='index.handler', **env):
        runtime = Runtime(self.argv, self.code, handler, env)
        self.addCleanup(self.reap, runtime)
        return runtime

    def start(self, handler='index.handler', **env):
        runtime = self.launch(handler, **env)
        runtime.ready()
        return runtime

    @staticmethod
    def reap(runtime):
        if runtime.child.poll() is None:
            runtime.child.kill()
            runtime.child.wait()
        runtime.sock.close()
        for file in (runtime.out, runtime.err):
            file.close()
