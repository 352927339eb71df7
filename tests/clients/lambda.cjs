'use strict';
// The AWS SDK calls a function: over the agent's socket, unsigned as far as the agent is concerned.
const assert = require('assert');
const http = require('http');
const { LambdaClient, InvokeCommand } = require('@aws-sdk/client-lambda');
const { NodeHttpHandler } = require('@smithy/node-http-handler');

const client = new LambdaClient({
	region: 'cn-hangzhou', endpoint: 'http://127.0.0.1', credentials: { accessKeyId: 'x', secretAccessKey: 'y' }, maxAttempts: 1,
	requestHandler: new NodeHttpHandler({ httpAgent: new http.Agent({ socketPath: process.env.FCNODE_SOCKET }) }),
});
const call = (fields) => client.send(new InvokeCommand({ FunctionName: 'sdk-lambda', ...fields }));
const text = (r) => Buffer.from(r.Payload).toString();

async function main() {
	let r = await call({ Payload: 'hello', LogType: 'Tail' });
	assert.deepStrictEqual([r.StatusCode, text(r), r.FunctionError, r.ExecutedVersion], [200, 'one hello you', undefined, '$LATEST']);
	assert.match(Buffer.from(r.LogResult, 'base64').toString(), /a line/);
	assert.ok(r.$metadata.requestId);
	r = await call({ Payload: 'raise' });
	assert.deepStrictEqual([r.StatusCode, r.FunctionError, JSON.parse(text(r)).errorType], [200, 'Unhandled', 'ValueError']);
	r = await call({ Payload: 'x', Qualifier: '1' });
	assert.deepStrictEqual([text(r), r.ExecutedVersion], ['one x you', '1']);
	assert.strictEqual((await call({ Payload: 'x', Qualifier: '$LATEST' })).ExecutedVersion, '$LATEST');
	assert.strictEqual((await call({ InvocationType: 'DryRun' })).StatusCode, 204);
	await assert.rejects(call({ FunctionName: 'none' }), { name: 'ResourceNotFoundException' });
	await assert.rejects(call({ InvocationType: 'Event' }), (e) => e.$metadata.httpStatusCode === 501);
}

main().catch((e) => {
	console.error(e);
	process.exit(1);
});
