// Reads a JUnit file the way two GitHub actions do, and holds it to the record of the same run: every case, verdict and message,
// and every attachment. dorny/test-reporter parses with xml2js, mikepenz/action-junit-report with xml-js; both then pick fields.
// node read_back.cjs junit.xml record.json [FOLDER of the attachments]
const fs = require('node:fs');
const path = require('node:path');
const { parseStringPromise } = require('xml2js');
const xmljs = require('xml-js');

const ATTACHMENT = /\[\[ATTACHMENT\|([^\]]+)\]\]/g;

// What each reader makes of a case: { suite, group, name, result, text, output }.
async function dorny(xml) {
  const { testsuites } = await parseStringPromise(xml);
  return testsuites.testsuite.flatMap((suite) => (suite.testcase ?? []).map((test) => {
    const failure = test.failure?.[0] ?? test.error?.[0];
    return {
      suite: suite.$.name.trim(),
      group: test.$.classname,
      name: test.$.name,
      seconds: parseFloat(test.$.time),
      result: test.skipped ? 'skipped' : failure !== undefined ? 'failed' : 'success',
      text: failure === undefined ? '' : typeof failure === 'string' ? failure : failure._ ?? '',
      title: failure?.$?.message,
      kind: failure?.$?.type,
      several: (test.failure?.length ?? 0) + (test.error?.length ?? 0),
      output: (test['system-out'] ?? []).join(''),
      why: test.skipped?.[0]?.$?.message,
    };
  }));
}

function mikepenz(xml) {
  const list = (value) => (value === undefined ? [] : Array.isArray(value) ? value : [value]);
  const text = (node) => node?._cdata ?? list(node?._text).join('');
  const { testsuites } = JSON.parse(xmljs.xml2json(xml, { compact: true }));
  return list(testsuites.testsuite).flatMap((suite) => list(suite.testcase).map((test) => {
    const failures = [...list(test.failure), ...list(test.error)];
    const failure = failures[0];
    return {
      suite: suite._attributes.name,
      group: test._attributes.classname,
      name: test._attributes.name,
      seconds: parseFloat(test._attributes.time),
      result: test.skipped ? 'skipped' : failure ? 'failed' : 'success',
      text: text(failure),
      title: failure?._attributes?.message,
      kind: failure?._attributes?.type,
      several: failures.length,
      output: list(test['system-out']).map(text).join(''),
      why: list(test.skipped)[0]?._attributes?.message,
      file: test._attributes.file,
      line: Number(test._attributes.line),
    };
  }));
}

// What a report shows of characters that terminals, runners or XML would obey.
const plain = (text) => text.replace(/\s+/g, ' ').trim();

function compare(reader, read, record, folder) {
  const wrong = [];
  const seen = new Map();
  for (const test of read) {
    const id = `${test.group}::${test.name}`;
    if (seen.has(id)) wrong.push(`${id} is there twice, and all but one would be dropped`);
    seen.set(id, test);
  }
  if (seen.size !== record.cases.length) wrong.push(`${seen.size} cases were read, ${record.cases.length} are in the record`);
  for (const wanted of record.cases) {
    const test = seen.get(wanted.id);
    if (!test) { wrong.push(`${wanted.id} was not read`); continue; }
    const say = (text) => wrong.push(`${wanted.id}: ${text}`);
    const result = wanted.skipped ? 'skipped' : ['fail', 'error'].includes(wanted.verdict) ? 'failed' : 'success';
    if (test.result !== result) say(`read as ${test.result}, and it is ${result}`);
    if (!test.suite) say('its suite has no name');
    if (!Number.isFinite(test.seconds)) say('it has no time');
    if (result === 'failed') {
      if (test.several !== 1) say(`${test.several} failures, and readers take one`);
      if (test.title === undefined || plain(test.title) !== plain(wanted.why)) say(`its message is ${JSON.stringify(test.title)}, not ${JSON.stringify(wanted.why)}`);
      if (plain(test.text.split('\n')[0]) !== plain(wanted.why)) say('the first line of its text does not repeat the message');
      if (!test.text.includes(`${wanted.file}:${wanted.line}`)) say('its text does not say where it stands');
    }
    if (result === 'skipped' && plain(test.why ?? '') !== plain(wanted.skipped)) say(`its reason is ${JSON.stringify(test.why)}`);
    if (['flaky', 'inconclusive'].includes(wanted.verdict) && !plain(test.output).includes(plain(wanted.why))) say('its output does not say why');
    if (test.file !== undefined && (test.file !== wanted.file || test.line !== wanted.line)) say(`it stands at ${test.file}:${test.line}`);
    for (const [, name] of `${test.text}${test.output}`.matchAll(ATTACHMENT)) {
      if (path.isAbsolute(name) || !fs.existsSync(path.join(folder, name))) say(`its attachment ${name} is not there`);
    }
  }
  const count = (result) => read.filter((t) => t.result === result).length;
  console.log(`${reader}: ${read.length} cases, ${count('success')} success, ${count('failed')} failed, ${count('skipped')} skipped`);
  for (const line of wrong) console.error(`${reader}: ${line}`);
  return wrong.length;
}

(async () => {
  const [junit, json, folder = '.'] = process.argv.slice(2);
  const xml = fs.readFileSync(junit, 'utf8');
  const record = JSON.parse(fs.readFileSync(json, 'utf8'));
  const wrong = compare('dorny', await dorny(xml), record, folder) + compare('mikepenz', mikepenz(xml), record, folder);
  process.exit(wrong ? 1 : 0);
})();
