#!/usr/bin/python3
"""contrib/examples: every manifest is right and every function answers, without a sandbox."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import harness  # noqa: E402

EXAMPLES = harness.SOURCE / 'contrib/examples'
IMAGES = harness.SOURCE / 'images'
PYTHON = harness.interpreter('FC_TEST_PYTHON3', '/usr/bin/python3')
NODE = harness.interpreter('FC_TEST_NODE', '/usr/bin/node')
CC = harness.interpreter('CC', 'cc')
FFMPEG = harness.interpreter('FC_TEST_FFMPEG', '/usr/bin/ffmpeg')
FFPROBE = harness.interpreter('FC_TEST_FFPROBE', '/usr/bin/ffprobe')
FIELDS = {'functionName': str, 'description': str, 'runtime': str, 'handler': str, 'memorySize': int, 'cpu': (int, float),
          'diskSize': int, 'timeout': int, 'environmentVariables': dict}


def manifest(name):
    return json.loads((EXAMPLES / name / 'fcnode.json').read_text())


def run(argv, event, **env):
    return subprocess.run([str(a) for a in argv], input=event, capture_output=True, timeout=60,
                          env=dict(env, PATH='/usr/bin:/bin'))


class Examples(unittest.TestCase):
    def test_manifests(self):
        names = sorted(p.name for p in EXAMPLES.iterdir() if p.is_dir())
        self.assertGreaterEqual(len(names), 5)
        readme = (EXAMPLES / 'README.md').read_text()
        for name in names:
            with self.subTest(name):
                fields = manifest(name)
                for key, value in fields.items():
                    self.assertIsInstance(value, FIELDS[key], key)
                self.assertEqual(fields['functionName'], name)
                self.assertIn(fields['runtime'], ('stdio', 'python3', 'nodejs', 'provided'))
                self.assertIn('`%s`' % name, readme)

    def native(self, argv, name):
        r = harness.Runtime(argv, EXAMPLES / name, manifest(name)['handler'])
        self.addCleanup(harness.RuntimeTest.reap, r)
        r.ready()
        self.assertEqual(json.loads(r.call(b'{"name": "Ada"}', request_id='r-1')), {'greeting': 'Hello, Ada!', 'requestId': 'r-1'})
        self.assertEqual(json.loads(r.call(b''))['greeting'], 'Hello, world!')
        self.assertEqual(r.call(b'{')['handled'], False)

    def test_python3(self):
        self.native([PYTHON, '-I', str(IMAGES / 'python3/fc_runtime.py')], 'hello-python3')

    def test_nodejs(self):
        self.native([NODE, str(IMAGES / 'nodejs/fc-runtime.js')], 'hello-nodejs')

    def test_shell(self):
        done = run([EXAMPLES / 'hello-shell' / manifest('hello-shell')['handler']], b'Ada', FC_FUNCTION_NAME='me')
        self.assertEqual((done.returncode, done.stdout), (0, b'Hello, Ada, from me!\n'))

    def test_c(self):
        with tempfile.TemporaryDirectory() as tmp:
            exe = pathlib.Path(tmp, 'hello')
            subprocess.run([CC, '-O2', '-Wall', '-Wextra', '-Werror', '-static', '-o', str(exe), str(EXAMPLES / 'hello-c/hello.c')],
                           check=True)
            done = run([exe], b'Ada')
            self.assertEqual((done.returncode, done.stdout), (0, b'Hello, Ada!\n'))
            self.assertEqual(run([exe], b'x' * 256).returncode, 1)

    def transcode(self, event, **env):
        return run([EXAMPLES / 'transcoder' / manifest('transcoder')['handler']], event, **env)

    def video(self, size):
        """A second of test picture and tone; a real encoder's file with its index at the end, as phones write it."""
        with tempfile.TemporaryDirectory() as tmp:
            path = pathlib.Path(tmp, 'in.mp4')
            subprocess.run([FFMPEG, '-nostdin', '-v', 'error', '-f', 'lavfi', '-i', 'testsrc=size=%s:rate=10:duration=1' % size,
                            '-f', 'lavfi', '-i', 'sine=duration=1', '-c:v', 'libx264', '-preset', 'ultrafast', str(path)], check=True)
            return path.read_bytes()

    def check_picture(self, reply, width, height):
        with tempfile.NamedTemporaryFile(suffix='.mp4') as file:
            file.write(reply)
            file.flush()
            text = subprocess.run([FFPROBE, '-v', 'error', '-show_entries', 'stream=codec_name,width,height:format=duration', '-of',
                                   'json', file.name], check=True, capture_output=True).stdout
        info = json.loads(text)
        video, audio = info['streams']
        self.assertEqual((video['codec_name'], video['width'], video['height'], audio['codec_name']), ('h264', width, height, 'aac'))
        self.assertAlmostEqual(float(info['format']['duration']), 1, delta=0.3)

    def test_transcoder(self):
        wide, tall = self.video('1920x1080'), self.video('270x480')
        before = set(pathlib.Path('/tmp').glob('transcode.*'))
        for event, lines, width, height in ((wide, '360', 640, 360), (wide, '720', 1280, 720), (tall, '720', 270, 480)):
            done = self.transcode(event, TRANSCODE_HEIGHT=lines)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.check_picture(done.stdout, width, height)
        for event, env, text in ((b'', {}, b'event is empty'), (b'not a video', {}, b'could not read'),
                                 (wide[:len(wide) // 2], {}, b'could not read'),
                                 (wide, {'TRANSCODE_HEIGHT': '361'}, b'360 and 720'), (wide, {'TRANSCODE_THREADS': '0'}, b'1 to 16')):
            done = self.transcode(event, **env)
            self.assertEqual((done.returncode, done.stdout), (1, b''), done.stderr)
            self.assertIn(text, done.stderr)
        self.assertLessEqual(set(pathlib.Path('/tmp').glob('transcode.*')), before)


if __name__ == '__main__':
    unittest.main()
