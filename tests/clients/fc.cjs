'use strict';
/*
 * The Function Compute SDK, as its users call it: the life of a function. FC_ENDPOINT, FC_KEY, FC_SECRET say where and
 * who; with unix.cjs loaded before, the endpoint is the agent's socket. `fc.cjs refused CODE` expects every call to be
 * refused with that code.
 */
const assert = require('assert');
const { Readable } = require('stream');
const sdk = require('@alicloud/fc20230330');
const { $OpenApiUtil } = require('@alicloud/openapi-core');
const { RuntimeOptions } = require('@darabonba/typescript');

const client = new sdk.default(new $OpenApiUtil.Config({
	accessKeyId: process.env.FC_KEY, accessKeySecret: process.env.FC_SECRET, endpoint: process.env.FC_ENDPOINT, protocol: 'http',
	regionId: 'cn-hangzhou',
}));
const once = new RuntimeOptions({ autoretry: false, maxAttempts: 1, readTimeout: 120000, connectTimeout: 10000 });
const name = 'sdk-hello';

// zipFile: the zips that the test made, base64
const zips = JSON.parse(process.env.FC_ZIPS || '{}');

async function invoke(event, options = {}) {
	const r = await client.invokeFunctionWithOptions(name, new sdk.InvokeFunctionRequest({ body: Readable.from([Buffer.from(event)]), qualifier: options.qualifier }),
		new sdk.InvokeFunctionHeaders({ xFcInvocationType: 'Sync', xFcLogType: options.log }), once);
	const parts = [];
	for await (const part of r.body)
		parts.push(part);
	return { status: r.statusCode, headers: r.headers, body: Buffer.concat(parts).toString() };
}

async function refused(code, promise) {
	await assert.rejects(promise, (e) => {
		assert.strictEqual(e.code, code, `${e.code}: ${e.message}`);
		return true;
	});
}

async function life() {
	const made = await client.createFunction(new sdk.CreateFunctionRequest({ body: new sdk.CreateFunctionInput({
		functionName: name, runtime: 'python3', handler: 'index.handler', memorySize: 128, timeout: 60, cpu: 1,
		environmentVariables: { WHO: 'you' }, code: new sdk.InputCodeLocation({ zipFile: zips.v1 }),
	}) }));
	assert.strictEqual(made.body.functionName, name);
	assert.ok(made.body.codeSize > 0 && made.body.codeChecksum && made.body.functionId);
	await refused('FunctionAlreadyExists', client.createFunction(new sdk.CreateFunctionRequest({ body: new sdk.CreateFunctionInput({
		functionName: name, runtime: 'python3', handler: 'index.handler', code: new sdk.InputCodeLocation({ zipFile: zips.v1 }) }) })));

	let r = await invoke('hello');
	assert.strictEqual(r.body, 'one hello you');
	assert.ok(r.headers['x-fc-request-id']);
	r = await invoke('hello', { log: 'Tail' });
	assert.match(Buffer.from(r.headers['x-fc-log-result'], 'base64').toString(), /a line/);
	r = await invoke('raise');
	assert.strictEqual(r.headers['x-fc-error-type'], 'UnhandledInvocationError');
	assert.strictEqual(JSON.parse(r.body).errorType, 'ValueError');
	const event = 'x'.repeat(1 << 20);
	assert.strictEqual((await invoke(event)).body.length, event.length + 8);

	const v1 = await client.publishFunctionVersion(name, new sdk.PublishFunctionVersionRequest({ body: new sdk.PublishVersionInput({ description: 'v1' }) }));
	assert.strictEqual(v1.body.versionId, '1');
	const updated = await client.updateFunction(name, new sdk.UpdateFunctionRequest({ body: new sdk.UpdateFunctionInput({
		description: 'changed', code: new sdk.InputCodeLocation({ zipFile: zips.v2 }) }) }));
	assert.strictEqual(updated.body.description, 'changed');
	assert.strictEqual(updated.body.memorySize, 128);
	await client.publishFunctionVersion(name, new sdk.PublishFunctionVersionRequest({ body: new sdk.PublishVersionInput({}) }));
	const versions = await client.listFunctionVersions(name, new sdk.ListFunctionVersionsRequest({ limit: 10 }));
	assert.deepStrictEqual(versions.body.versions.map((v) => v.versionId).sort(), ['1', '2']);

	const alias = await client.createAlias(name, new sdk.CreateAliasRequest({ body: new sdk.CreateAliasInput({
		aliasName: 'prod', versionId: '1', additionalVersionWeight: { 2: 0.5 } }) }));
	assert.strictEqual(alias.body.additionalVersionWeight['2'], 0.5);
	const seen = new Set();
	for (let i = 0; i < 200 && seen.size < 2; i++)
		seen.add((await invoke('x', { qualifier: 'prod' })).body.split(' ')[0]);
	assert.deepStrictEqual([...seen].sort(), ['one', 'two']);
	await client.updateAlias(name, 'prod', new sdk.UpdateAliasRequest({ body: new sdk.UpdateAliasInput({ versionId: '1', additionalVersionWeight: {} }) }));
	r = await invoke('x', { qualifier: 'prod' });
	assert.deepStrictEqual([r.body, r.headers['x-fc-version-id']], ['one x you', '1']);
	assert.deepStrictEqual((await client.listAliases(name, new sdk.ListAliasesRequest({}))).body.aliases.map((a) => a.aliasName), ['prod']);
	assert.strictEqual((await client.getAlias(name, 'prod')).body.versionId, '1');
	await refused('AliasNotFound', client.getAlias(name, 'none'));

	await client.putConcurrencyConfig(name, new sdk.PutConcurrencyConfigRequest({ body: new sdk.PutConcurrencyInput({ reservedConcurrency: 5 }) }));
	assert.strictEqual((await client.getConcurrencyConfig(name)).body.reservedConcurrency, 5);
	await client.deleteConcurrencyConfig(name);

	const got = await client.getFunction(name, new sdk.GetFunctionRequest({}));
	assert.deepStrictEqual([got.body.runtime, got.body.environmentVariables.WHO, got.body.description], ['python3', 'you', 'changed']);
	const code = await client.getFunctionCode(name, new sdk.GetFunctionCodeRequest({}));
	assert.ok(code.body.url && code.body.checksum);
	const first = await client.listFunctions(new sdk.ListFunctionsRequest({ prefix: 'sdk-', limit: 1 }));
	assert.deepStrictEqual(first.body.functions.map((f) => f.functionName), [name]);
	assert.strictEqual((await client.listFunctions(new sdk.ListFunctionsRequest({ prefix: 'none-' }))).body.functions.length, 0);
	const instances = await client.listInstances(name, new sdk.ListInstancesRequest({}));
	assert.deepStrictEqual(instances.body.instances, []);

	const layer = (description) => client.createLayerVersion('sdk-layer', new sdk.CreateLayerVersionRequest({ body: new sdk.CreateLayerVersionInput({
		description, license: 'MIT', compatibleRuntime: ['python3'], code: new sdk.InputCodeLocation({ zipFile: zips.v1 }) }) }));
	const layer1 = (await layer('l1')).body, layer2 = (await layer('l2')).body;
	assert.strictEqual(layer2.version, layer1.version + 1);
	assert.deepStrictEqual([layer1.layerName, layer1.description, layer1.license, layer1.compatibleRuntime], ['sdk-layer', 'l1', 'MIT', ['python3']]);
	const versionsOf = await client.listLayerVersions('sdk-layer', new sdk.ListLayerVersionsRequest({ startVersion: '1', limit: 10 }));
	assert.deepStrictEqual(versionsOf.body.layers.map((l) => l.description), ['l1', 'l2']);
	assert.deepStrictEqual((await client.listLayers(new sdk.ListLayersRequest({ prefix: 'sdk-' }))).body.layers.map((l) => l.version), [layer2.version]);
	assert.strictEqual((await client.getLayerVersion('sdk-layer', `${layer1.version}`)).body.layerVersionArn, layer1.layerVersionArn);
	assert.strictEqual((await client.getLayerVersionByArn(layer1.layerVersionArn)).body.description, 'l1');
	const layered = await client.updateFunction(name, new sdk.UpdateFunctionRequest({ body: new sdk.UpdateFunctionInput({ layers: [layer1.layerVersionArn] }) }));
	assert.deepStrictEqual(layered.body.layers.map((l) => l.arn), [layer1.layerVersionArn]);
	await client.deleteLayerVersion('sdk-layer', `${layer1.version}`);
	await client.deleteLayerVersion('sdk-layer', `${layer2.version}`);
	await refused('LayerVersionNotFound', client.getLayerVersion('sdk-layer', `${layer1.version}`));
	assert.strictEqual((await invoke('hello')).body, 'two hello you');

	await refused('FunctionNotFound', client.getFunction('no-such', new sdk.GetFunctionRequest({})));
	await refused('InvalidArgument', client.createFunction(new sdk.CreateFunctionRequest({ body: new sdk.CreateFunctionInput({ functionName: '1 bad' }) })));
	await refused('VersionInUse', client.deleteFunctionVersion(name, '1'));
	await client.deleteAlias(name, 'prod');
	await client.deleteFunctionVersion(name, '1');
	await client.deleteFunctionVersion(name, '2');
	await client.deleteFunction(name);
	await refused('FunctionNotFound', invoke('x'));
}

const run = process.argv[2] === 'refused' ? refused(process.argv[3], client.listFunctions(new sdk.ListFunctionsRequest({}))) : life();
run.catch((e) => {
	console.error(e);
	process.exit(1);
});
