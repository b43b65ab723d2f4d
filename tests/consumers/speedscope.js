// SPDX-License-Identifier: MIT
//
// Opens a profile in speedscope, in a browser without a network, and prints what it shows as JSON: node speedscope.js FILE
const path = require('path');
const {chromium} = require(require.resolve('playwright-core', {paths: [process.env.PINW_CONSUMERS]}));

(async () => {
  const browser = await chromium.launch({executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox', '--enable-unsafe-swiftshader']});
  const page = await (await browser.newContext({offline: true})).newPage();
  const found = {errors: []};
  page.on('pageerror', (e) => found.errors.push(e.message));
  const refused = new Promise((resolve) => page.on('dialog', (d) => { found.errors.push(d.message()); d.dismiss().then(resolve); }));
  await page.goto('file://' + path.join(process.env.PINW_CONSUMERS, 'speedscope/dist/release/index.html'));
  await page.setInputFiles('input[type=file]', process.argv[2]);
  // It shows views of a profile once it has read one.
  const shown = page.getByText('Left Heavy').waitFor({timeout: 30000}).catch((e) => found.errors.push(e.message));
  await Promise.race([shown, refused]);
  found.shown = await page.locator('body').innerText();
  await browser.close();
  console.log(JSON.stringify(found));
})();
