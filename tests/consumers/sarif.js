// SPDX-License-Identifier: MIT
//
// Holds SARIF files against the schema of SARIF 2.1.0 (OASIS):   node sarif.js FILE...
const fs = require('fs');
const path = require('path');
const modules = process.env.PINW_CONSUMERS;
const load = (name) => require(require.resolve(name, {paths: [modules]}));

const schema = path.join(modules, '@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json');
const Ajv = load('ajv-draft-04');
const ajv = new Ajv({allErrors: true, strict: false, validateFormats: false, unicodeRegExp: false});
const validate = ajv.compile(JSON.parse(fs.readFileSync(schema, 'utf8')));

let status = 0;
for (const file of process.argv.slice(2)) {
  if (validate(JSON.parse(fs.readFileSync(file, 'utf8')))) continue;
  for (const e of validate.errors) console.log(`${file}: ${e.instancePath}: ${e.message}`);
  status = 1;
}
process.exit(status);
