#!/usr/bin/python3
"""Runtime nodejs, driven over its channel: fcnode-runtimes(7), fcnode-channel(7)."""
import json
import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
import harness  # noqa: E402

NODE = harness.interpreter('FC_TEST_NODE', '/usr/bin/node')
FILE = str(harness.SOURCE / 'images/nodejs/fc-runtime.js')
LINE = r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z %s \[%s\] %s$'


class Nodejs(harness.RuntimeTest):
    argv = [NODE, FILE]

    def test_handler_forms(self):
        self.write(index__js='''
exports.callback = (event, context, callback) => setTimeout(callback, 1, null, 'cb:' + event);
exports.callbackNow = (event, context, callback) => callback(null, 'now:' + event);
exports.async = async (event, context) => 'async:' + event;
exports.promise = (event) => new Promise((resolve) => setImmediate(resolve, 'promise:' + event));
exports.thenable = () => ({ then: (ok) => ok('thenable') });
exports.value = (event, context) => 'value:' + event;
exports.nothing = () => {};
exports.twice = (event, context, callback) => { callback(null, 'first'); callback(null, 'second'); };
''')
        for name, want in (('callback', b'cb:x'), ('callbackNow', b'now:x'), ('async', b'async:x'), ('promise', b'promise:x'),
                           ('thenable', b'thenable'), ('value', b'value:x'), ('nothing', b'null'), ('twice', b'first')):
            r = self.start('index.' + name)
            self.assertEqual([r.call(b'x'), r.call(b'x')], [want, want], name)
            self.assertEqual(r.close(), 0)

    def test_module_forms(self):
        es = 'export const handler = async (event) => "es:" + event;\n'
        self.put('index.mjs', es)
        self.put('common.cjs', 'exports.handler = () => "cjs";\n')
        self.put('src/deep.js', 'exports.handler = () => "deep";\n')
        self.put('pkg/package.json', '{"type": "module"}')
        self.put('pkg/main.js', 'await null;\n' + es)
        self.put('pkg/dflt.js', 'export default { handler: () => "default" };\n')
        for handler, want in (('index.handler', b'es:x'), ('common.handler', b'cjs'), ('src/deep.handler', b'deep'),
                              ('pkg/main.handler', b'es:x'), ('pkg/dflt.handler', b'default')):
            self.assertEqual(self.start(handler).call(b'x'), want, handler)

    def test_results(self):
        self.write(index__js='''
const R = { b: Buffer.from([255, 0]), s: 'grüß', n: null, u: undefined, d: { a: [1, null] }, e: '', arr: new Uint8Array([1, 2]).subarray(1),
  ab: new Uint8Array([3]).buffer, t: true };
exports.handler = async (event) => R[event];
''')
        r = self.start()
        for key, want in (('b', b'\xff\x00'), ('s', 'grüß'.encode()), ('n', b'null'), ('u', b'null'), ('d', b'{"a":[1,null]}'),
                          ('e', b''), ('arr', b'\x02'), ('ab', b'\x03'), ('t', b'true')):
            self.assertEqual(r.call(key.encode()), want, key)

    def test_event_is_verbatim(self):
        self.write(index__js='exports.handler = async (e) => { if (!Buffer.isBuffer(e)) throw new Error("no Buffer"); return e; };\n')
        r = self.start()
        for event in (b'', b'\xff\xfe\x00 not UTF-8', os.urandom(8 << 20), os.urandom(1 << 20), b'after'):
            self.assertEqual(r.call(event), event)
        self.assertEqual(r.call(b'0123456789', frame_max=3), b'0123456789')

    def test_events_do_not_share_memory(self):
        self.write(index__js='let old; exports.handler = async (e) => { const was = String(old); old = e; return was; };\n')
        r = self.start()
        self.assertEqual([r.call(b'aaaa'), r.call(b'bbbb'), r.call(b'cccc')], [b'undefined', b'aaaa', b'bbbb'])

    def test_reply_sizes_around_the_frame_limit(self):
        self.write(index__js='exports.handler = async (e) => Buffer.alloc(Number(e));\n')
        r = self.start()
        for size in (0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 2 << 20, 8 << 20):
            self.assertEqual(len(r.call(str(size).encode())), size)

    def test_context(self):
        self.write(index__js='''
exports.handler = async (e, c) => [c.requestId, c.function.name, c.function.handler, c.function.memory, c.function.timeout,
  typeof c.credentials, typeof c.service, c.region, c.accountId, typeof c.logger.info, c.getRemainingTimeInMillis(),
  'FC_CHANNEL_FD' in process.env];
''')
        r = self.start(FC_REGION='here', FC_ACCOUNT_ID='t1')
        got = json.loads(r.call(request_id='r-9', deadlineMs=int(time.time() * 1000) + 5000))
        self.assertEqual(got[:10], ['r-9', 'fn', 'h', 128, 7, 'object', 'object', 'here', 't1', 'function'])
        self.assertTrue(0 < got[10] <= 5000, got)
        self.assertIs(got[11], False)

    def test_errors(self):
        self.write(index__js='''
class Odd extends Error {}
Odd.prototype.name = 'Odd';
function inner() { throw new Odd('bäd'); }
exports.handler = (event, context, callback) => {
  switch (String(event)) {
  case 'throw': inner(); break;
  case 'callback': callback(new Odd('told')); break;
  case 'text': callback('just text'); break;
  case 'object': callback({ code: 7 }); break;
  case 'cycle': { const c = {}; c.c = c; callback(null, c); break; }
  case 'function': callback(null, () => 1); break;
  case 'bigint': callback(null, { a: 1n }); break;
  case 'huge': callback(new Error('\\u0001'.repeat(1e6))); break;
  case 'mean': callback(Object.create(null, { stack: { get() { throw 1; } }, message: { get() { throw 2; } } })); break;
  case 'reject': return Promise.reject(new Odd('rejected'));
  case 'rejectNothing': return Promise.reject();
  default: callback(null, 'fine');
  }
};
''')
        r = self.start()
        for event, kind, message, handled in (
                ('throw', 'Odd', 'bäd', False), ('callback', 'Odd', 'told', True), ('text', 'String', 'just text', True),
                ('object', 'Object', '{"code":7}', True), ('reject', 'Odd', 'rejected', False),
                ('rejectNothing', 'undefined', 'undefined', False), ('mean', 'Error', '', True)):
            error = r.call(event.encode())
            self.assertEqual((error['errorType'], error['errorMessage'], error['handled']), (kind, message, handled), event)
        error = r.call(b'throw')
        self.assertIn('inner', error['stackTrace'][1])
        self.assertNotIn('fc-runtime', '\n'.join(error['stackTrace']))
        for event, kind in (('cycle', 'TypeError'), ('function', 'TypeError'), ('bigint', 'TypeError'), ('huge', 'Error')):
            error = r.call(event.encode())
            self.assertEqual((error['errorType'], error['handled']), (kind, event == 'huge'), event)
        self.assertEqual(r.call(b''), b'fine')  # and it lives on

    def check_fatal(self, body, kind, message, status):
        self.write(index__js='exports.handler = (event, context, callback) => { %s };\n' % body)
        r = self.start()
        error = r.call()
        self.assertEqual((error['errorType'], error['handled']), (kind, False))
        self.assertIn(message, error['errorMessage'])
        self.assertIsNone(r.frame())
        self.assertEqual(r.close(), status)

    def test_fatal_errors_of_a_call(self):
        self.check_fatal('setTimeout(() => { throw new RangeError("later"); }, 1)', 'RangeError', 'later', 1)
        self.check_fatal('Promise.reject(new RangeError("unheard"))', 'RangeError', 'unheard', 1)
        self.check_fatal('process.exit(5)', 'ExitError', 'exit status 5', 5)
        self.check_fatal('', 'ExitError', 'callback not called', 1)
        self.check_fatal('return new Promise(() => {})', 'ExitError', 'promise not settled', 1)

    def test_killed_by_itself_ends_the_channel(self):
        self.write(index__js='exports.handler = () => { console.log("last words"); process.kill(process.pid, "SIGKILL"); };\n')
        r = self.start()
        r.send()
        self.assertIsNone(r.frame())
        self.assertEqual(r.close(), -9)
        self.assertIn('last words', r.stdout)

    def check_init_error(self, handler, kind, text, **env):
        r = self.launch(handler, **env)
        error = r.init_error()
        self.assertEqual(error['errorType'], kind, error)
        self.assertIn(text, error['errorMessage'])
        self.assertNotIn('fc-runtime', '\n'.join(error['stackTrace']))
        self.assertIsNone(r.frame())
        self.assertIn(r.close(), (0, 1))
        return error

    def test_handlers_that_do_not_load(self):
        self.put('index.js', 'exports.handler = 5;\n')
        self.put('syn.js', 'exports.handler = (;\n')
        self.put('esyn.mjs', 'export const handler = (;\n')
        self.put('raises.js', 'function deep() { null.x; }\ndeep();\n')
        self.put('exits.js', 'process.exit(0);\n')
        self.put('missing.js', 'require("./nowhere");\n')
        self.put('never.mjs', 'await new Promise(() => {});\nexport const handler = () => 1;\n')
        self.check_init_error('absent.handler', 'Error', 'no file')
        self.check_init_error('index.nope', 'TypeError', "no function 'nope'")
        self.check_init_error('index.handler', 'TypeError', 'not a function')
        self.check_init_error('index', 'TypeError', 'file.export')
        self.check_init_error('syn.handler', 'SyntaxError', 'Unexpected token')
        self.check_init_error('esyn.handler', 'SyntaxError', 'Unexpected token')
        self.check_init_error('missing.handler', 'Error', './nowhere')
        self.check_init_error('exits.handler', 'ExitError', 'exit status 0')
        self.check_init_error('never.handler', 'ExitError', 'finished')
        error = self.check_init_error('raises.handler', 'TypeError', 'null')
        self.assertIn('deep', '\n'.join(error['stackTrace']))

    def test_initializer(self):
        self.write(index__js='''
const s = [];
exports.initialize = (context, callback) => setTimeout(() => { s.push('cb'); callback(); }, 1);
exports.initializer = async (context) => { s.push(context.function.name); };
exports.bad = async () => { throw new RangeError('no'); };
exports.handler = async () => s;
''')
        for name, want in (('initialize', b'["cb"]'), ('initializer', b'["me"]')):
            r = self.start(FC_FUNCTION_INITIALIZER='index.' + name, FC_FUNCTION_NAME='me')
            self.assertEqual([r.call(), r.call()], [want, want])
        self.check_init_error('index.handler', 'RangeError', 'no', FC_FUNCTION_INITIALIZER='index.bad')

    def test_logs(self):
        self.write(index__js='''
exports.handler = async (event, context) => {
  console.log('one %d', 1);
  console.warn('two');
  context.logger.error('three', { a: 1 });
  process.stdout.write('plain\\n');
  console.debug('grüß');
};
''')
        r = self.start()
        r.call(request_id='r-1')
        r.call(request_id='r-2')
        r.close()
        out, err = r.stdout.splitlines(), r.stderr.splitlines()
        self.assertEqual((len(out), len(err)), (6, 4), (out, err))
        self.assertRegex(out[0], LINE % ('r-1', 'INFO', 'one 1'))
        self.assertEqual(out[1], 'plain')
        self.assertRegex(out[2], LINE % ('r-1', 'DEBUG', 'grüß'))
        self.assertRegex(out[3], LINE % ('r-2', 'INFO', 'one 1'))
        self.assertRegex(err[0], LINE % ('r-1', 'WARN', 'two'))
        self.assertRegex(err[1], LINE % ('r-1', 'ERROR', r'three \{ a: 1 \}'))

    def test_prints_much(self):
        self.write(index__js='exports.handler = async () => { console.log("x".repeat(1 << 20)); return "ok"; };\n')
        r = self.start()
        self.assertEqual(r.call(), b'ok')
        r.close()
        self.assertGreater(len(r.stdout), 1 << 20)

    def test_children_do_not_hold_the_channel(self):
        self.write(index__js='''
const { spawn } = require('child_process');
exports.handler = () => {
  const child = spawn('sleep', ['60'], { detached: true, stdio: 'ignore' });
  process.stdout.write(child.pid + '\\n');
  process.kill(process.pid, 'SIGKILL');
};
''')
        r = self.start()
        r.send()
        self.assertIsNone(r.frame())  # not after 60 s
        r.close()
        os.kill(int(r.stdout), 9)

    def test_closes_descriptors(self):
        self.write(index__js='''
const fs = require('fs');
exports.handler = async () => { fs.closeSync(3); return 'ok'; };
''')
        r = self.start()
        r.send()
        self.assertIsNone(r.frame())
        self.assertEqual(r.close(), 71)
        self.assertIn('channel lost', r.stderr)

    def test_timers_left_running(self):
        self.write(index__js='setInterval(() => {}, 1);\nexports.handler = async () => { setTimeout(() => {}, 60000); return "ok"; };\n')
        r = self.start()
        self.assertEqual([r.call(), r.call()], [b'ok', b'ok'])
        self.assertEqual(r.close(), 0)

    def test_caller_breaks_the_rules(self):
        self.write(index__js='exports.handler = async (e) => e;\n')
        bad_json = b'\x01\x00\x00\x00\x01\x00\x00\x00{'
        for bad in (b'\x00\x00\x00\x00\x02\x00\x00\x00', b'\xff\xff\xff\xff\x01\x00\x00\x00', b'\x00\x00\x00\x00\x01\x00\x01\x00',
                    b'\x00\x00\x00\x00\x01\x01\x00\x00', b'\x02\x00\x00\x00\x01\x00\x00\x00{}' + b'\x00\x00\x00\x00\x02\x00\x00\x00', bad_json):
            r = self.start()
            r.sock.sendall(bad)
            self.assertIsNone(r.frame())
            self.assertEqual(r.close(), 70)

    def test_caller_leaves(self):
        self.write(index__js='exports.handler = async () => Buffer.alloc(8 << 20);\n')
        r = self.start()
        r.send()
        self.assertEqual(r.close(), 0)


if __name__ == '__main__':
    unittest.main()
