#!/usr/bin/python3
"""Runtime python3, driven over its channel: fcnode-runtimes(7), fcnode-channel(7)."""
import json
import os
import shutil
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import harness  # noqa: E402

PYTHON = harness.interpreter('FC_TEST_PYTHON3', '/usr/bin/python3')
FILE = str(harness.SOURCE / 'images/python3/fc_runtime.py')
LINE = r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z %s \[%s\] %s$'


class Python3(harness.RuntimeTest):
    argv = [PYTHON, '-I', FILE]

    def test_results(self):
        self.write(index__py='R = {"b": b"\\xff\\x00", "s": "gr\\u00fc\\u00df", "n": None, "d": {"a": [1, 2.5, None]},'
                   ' "e": b"", "ba": bytearray(b"x"), "m": memoryview(b"yz"), "t": True}\n'
                   'def handler(event, context):\n    return R[event.decode()]\n')
        r = self.start()
        for key, want in (('b', b'\xff\x00'), ('s', 'grüß'.encode()), ('n', b'null'), ('d', b'{"a": [1, 2.5, null]}'),
                          ('e', b''), ('ba', b'x'), ('m', b'yz'), ('t', b'true')):
            self.assertEqual(r.call(key.encode()), want, key)
        self.assertEqual(r.close(), 0)

    def test_event_is_verbatim(self):
        self.write(index__py='def handler(event, context):\n    assert type(event) is bytes\n    return event\n')
        r = self.start()
        for event in (b'', b'\xff\xfe\x00 not UTF-8', b'{"a": 1}', os.urandom(8 << 20), os.urandom(1 << 20)):
            self.assertEqual(r.call(event), event)
        self.assertEqual(r.call(b'0123456789', frame_max=3), b'0123456789')

    def test_reply_sizes_around_the_frame_limit(self):
        self.write(index__py='def handler(event, context):\n    return b"x" * int(event)\n')
        r = self.start()
        for size in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20, 8 << 20):
            self.assertEqual(len(r.call(str(size).encode())), size)

    def test_dotted_and_slashed_modules(self):
        self.put('pkg/__init__.py', '')
        self.put('pkg/mod.py', 'def handler(event, context):\n    return __name__\n')
        for handler in ('pkg.mod.handler', 'pkg/mod.handler'):
            self.assertEqual(self.start(handler).call(), b'pkg.mod')

    def test_context(self):
        self.write(index__py='''
import json
def handler(event, c):
    return [c.request_id, c.requestId, c.function.name, c.function.handler, c.function.memory, c.function.timeout,
            c.credentials.access_key_id, c.region, c.account_id, c.service.name, c.get_remaining_time_in_millis()]
''')
        r = self.start(FC_REGION='here', FC_ACCOUNT_ID='t1')
        got = json.loads(r.call(request_id='r-9', deadlineMs=int(time.time() * 1000) + 5000))
        self.assertEqual(got[:10], ['r-9', 'r-9', 'fn', 'h', 128, 7, None, 'here', 't1', None])
        self.assertTrue(0 < got[10] <= 5000, got)
        self.assertIsNone(json.loads(r.call())[10])

    def test_environment_hides_the_channel(self):
        self.write(index__py='import os\nSEEN = dict(os.environ)\ndef handler(event, c):\n    return "FC_CHANNEL_FD" in SEEN\n')
        self.assertEqual(self.start().call(), b'false')

    def test_exception(self):
        self.write(index__py='class Odd(Exception):\n    pass\ndef inner():\n    raise Odd("b\\u00e4d")\ndef handler(event, c):\n    inner()\n')
        r = self.start()
        error = r.call()
        self.assertEqual((error['errorType'], error['errorMessage'], error['handled']), ('Odd', 'bäd', False))
        text = '\n'.join(error['stackTrace'])
        self.assertIn('in inner', text)
        self.assertIn('in handler', text)
        self.assertNotRegex(text, 'fc_runtime|fc_channel')
        self.assertIsInstance(r.call(), dict)  # and it lives on
        self.assertEqual(r.close(), 0)

    def test_huge_and_hostile_exceptions(self):
        self.write(index__py='''
class Mean(Exception):
    def __str__(self):
        raise ValueError
def deep(n):
    return deep(n + 1)
def handler(event, c):
    if event == b"big":
        raise ValueError("\\U0001F600" * 1000000)
    if event == b"mean":
        raise Mean()
    deep(0)
''')
        r = self.start()
        self.assertIn('cut, 1000000 characters', r.call(b'big')['errorMessage'])
        self.assertEqual(r.call(b'mean')['errorType'], 'Mean')
        self.assertEqual(r.call(b'deep')['errorType'], 'RecursionError')

    def test_unserialisable(self):
        self.write(index__py='def handler(event, c):\n    return eval(event)\n')
        r = self.start()
        for event, kind in ((b'object()', 'TypeError'), (b'{"a": {1}}', 'TypeError'), (b'float("nan")', 'ValueError'),
                            (b'"\\ud800"', 'UnicodeEncodeError')):
            self.assertEqual(r.call(event)['errorType'], kind, event)

    def test_system_exit(self):
        self.write(index__py='import sys\ndef handler(event, c):\n    sys.exit(3)\n')
        r = self.start()
        error = r.call()
        self.assertEqual(error['errorType'], 'SystemExit')
        self.assertIn('exit status 3', error['errorMessage'])
        self.assertEqual(r.close(), 3)

    def test_hard_exit_ends_the_channel(self):
        self.write(index__py='import os\ndef handler(event, c):\n    print("last words")\n    os._exit(9)\n')
        r = self.start()
        r.send()
        self.assertIsNone(r.frame())
        self.assertEqual(r.close(), 9)
        self.assertEqual(r.stdout, 'last words\n')

    def check_init_error(self, handler, kind, text):
        r = self.launch(handler)
        error = r.init_error()
        self.assertEqual(error['errorType'], kind)
        self.assertIn(text, error['errorMessage'])
        self.assertNotRegex('\n'.join(error['stackTrace']), 'fc_runtime|fc_channel')
        self.assertIsNone(r.frame())
        self.assertEqual(r.close(), 1)
        return error

    def test_handlers_that_do_not_load(self):
        self.put('index.py', 'handler = 5\n')
        self.put('syn.py', 'def handler(event, c)\n    return 1\n')
        self.put('raises.py', 'def deep():\n    1 / 0\ndeep()\n')
        self.put('exits.py', 'import sys\nsys.exit(0)\n')
        self.check_init_error('absent.handler', 'ModuleNotFoundError', 'absent')
        self.check_init_error('index.nope', 'AttributeError', "no function 'nope'")
        self.check_init_error('index.handler', 'TypeError', 'not a function')
        self.check_init_error('index', 'ValueError', 'module.function')
        error = self.check_init_error('syn.handler', 'SyntaxError', "expected ':'")
        self.assertIn('syn.py", line 1', '\n'.join(error['stackTrace']))
        error = self.check_init_error('raises.handler', 'ZeroDivisionError', 'division')
        self.assertIn('in deep', '\n'.join(error['stackTrace']))
        self.check_init_error('exits.handler', 'SystemExit', '0')

    def test_initializer(self):
        self.write(index__py='S = []\ndef init(context):\n    S.append(context.function.name)\ndef handler(event, c):\n    return S\n'
                   'def bad(context):\n    raise KeyError("x")\n')
        r = self.start(FC_FUNCTION_INITIALIZER='index.init', FC_FUNCTION_NAME='me')
        self.assertEqual(r.call(), b'["me"]')
        self.assertEqual(r.call(), b'["me"]')
        r = self.launch(FC_FUNCTION_INITIALIZER='index.bad')
        self.assertEqual(r.init_error()['errorType'], 'KeyError')

    def test_logs(self):
        self.write(index__py='''
import logging, sys
def handler(event, context):
    logging.getLogger().info("one %d", 1)
    logging.getLogger("a.b").warning("two")
    logging.debug("not shown")
    context.logger.error("three")
    print("plain", "\\udcff")
    print("to stderr", file=sys.stderr)
''')
        r = self.start()
        r.call(request_id='r-1')
        r.call(request_id='r-2')
        r.close()
        lines = r.stdout.splitlines()
        self.assertEqual(len(lines), 8, lines)
        for i, want in enumerate((('r-1', 'INFO', 'one 1'), ('r-1', 'WARNING', 'two'), ('r-1', 'ERROR', 'three'))):
            self.assertRegex(lines[i], LINE % want)
        self.assertEqual(lines[3], 'plain \\udcff')
        self.assertRegex(lines[4], LINE % ('r-2', 'INFO', 'one 1'))
        self.assertEqual(r.stderr, 'to stderr\n' * 2)

    def test_logger_without_import(self):
        self.write(index__py='def handler(event, context):\n    context.logger.info("hi")\n')
        r = self.start()
        r.call(request_id='q')
        r.close()
        self.assertRegex(r.stdout.rstrip('\n'), LINE % ('q', 'INFO', 'hi'))

    def test_start_imports_little(self):
        self.write(index__py='import sys\nM = set(sys.modules)\ndef handler(event, c):\n'
                   '    return [m for m in ("json", "re", "logging", "traceback", "socket", "enum") if m in M | set(sys.modules)'
                   ' and event == b""]\n')
        # -S: what a host's site-packages import at start is not the runtime's doing.
        r = harness.Runtime([PYTHON, '-I', '-S', FILE], self.code, 'index.handler')
        self.addCleanup(self.reap, r)
        r.ready()
        self.assertEqual(r.call(), b'[]')

    def test_prints_much(self):
        self.write(index__py='def handler(event, c):\n    print("x" * (1 << 20))\n    return "ok"\n')
        r = self.start()
        self.assertEqual(r.call(), b'ok')
        r.close()
        self.assertEqual(len(r.stdout), (1 << 20) + 1)

    def test_closes_descriptors_and_streams(self):
        self.write(index__py='import os, sys\ndef handler(event, c):\n    os.closerange(3, 256)\n    sys.stdout.close()\n    return "ok"\n')
        r = self.start()
        self.assertEqual([r.call(), r.call()], [b'ok', b'ok'])

    def test_closes_everything(self):
        self.write(index__py='import os\ndef handler(event, c):\n    os.closerange(3, 65536)\n    return "ok"\n')
        r = self.start()
        r.send()
        self.assertIsNone(r.frame())
        self.assertEqual(r.close(), 71)
        self.assertIn('channel lost', r.stderr)

    def test_fork_that_returns(self):
        self.write(index__py='''
import os
def handler(event, c):
    pid = os.fork()
    if pid == 0:
        return "from the child"
    assert os.waitpid(pid, 0)[1] == 0
    return "from the parent"
''')
        r = self.start()
        self.assertEqual([r.call(), r.call()], [b'from the parent'] * 2)
        self.assertEqual(r.close(), 0)

    def test_children_do_not_hold_the_channel(self):
        self.write(index__py='''
import os, signal, subprocess
def handler(event, c):
    pid = os.fork()
    if pid == 0:
        signal.pause()
    proc = subprocess.Popen(["sleep", "60"], close_fds=False)
    print(pid, proc.pid)
    os._exit(0)
''')
        r = self.start()
        r.send()
        self.assertIsNone(r.frame())  # not after 60 s
        r.close()
        for pid in r.stdout.split():
            os.kill(int(pid), 9)

    def test_a_stale_compiled_form_is_not_run(self):
        copy = self.code / 'runtime'
        shutil.copytree(harness.SOURCE / 'images/python3', copy)
        subprocess.run([PYTHON, '-m', 'compileall', '-q', '-f', '--invalidation-mode', 'checked-hash', str(copy / 'fc_channel.py')],
                       check=True)
        source = (copy / 'fc_channel.py').read_text()
        (copy / 'fc_channel.py').write_text(source.replace("return b'null'", "return b'newer'"))
        self.write(index__py='def handler(event, c):\n    pass\n')
        r = harness.Runtime([PYTHON, '-I', str(copy / 'fc_runtime.py')], self.code, 'index.handler')
        self.addCleanup(self.reap, r)
        r.ready()
        self.assertEqual(r.call(), b'newer')

    def test_threads(self):
        self.write(index__py='''
import threading
def handler(event, c):
    threading.Thread(target=threading.Event().wait).start()
    return str(threading.active_count())
''')
        r = self.start()
        self.assertEqual([r.call(), r.call()], [b'2', b'3'])
        self.assertEqual(r.close(), 0)  # threads of the function do not keep it

    def test_code_and_pythonpath_come_first(self):
        self.put('string.py', 'WHO = "mine"\n')
        self.put('lib/extra.py', 'X = "extra"\n')
        self.write(index__py='import string, extra\ndef handler(event, c):\n    return string.WHO + extra.X\n')
        self.assertEqual(self.start(PYTHONPATH=str(self.code / 'lib')).call(), b'mineextra')

    def test_caller_breaks_the_rules(self):
        self.write(index__py='def handler(event, c):\n    return event\n')
        for bad in (b'\x00\x00\x00\x00\x02\x00\x00\x00', b'\xff\xff\xff\xff\x01\x00\x00\x00', b'\x00\x00\x00\x00\x01\x00\x01\x00',
                    b'\x00\x00\x00\x00\x01\x01\x00\x00', b'\x02\x00\x00\x00\x01\x00\x00\x00{}' + b'\x00\x00\x00\x00\x02\x00\x00\x00'):
            r = self.start()
            r.sock.sendall(bad)
            self.assertIsNone(r.frame())
            self.assertEqual(r.close(), 70)

    def test_caller_leaves(self):
        self.write(index__py='def handler(event, c):\n    return b"x" * (8 << 20)\n')
        r = self.start()
        r.send()
        self.assertEqual(r.close(), 0)


if __name__ == '__main__':
    unittest.main()
