// SPDX-License-Identifier: MIT
//
// Opens an HTML report in a browser, without a network, and uses it as a person would:
//
//   node page.js FILE [STACK-FUNCTION FILTER-WORD]
//
// Prints what it finds as JSON: errors, canvases with something drawn on them, whether a leak's stack unfolds to STACK-FUNCTION by
// click and by key, how many rows FILTER-WORD leaves, and whether zooming into the first chart changes the lanes, too. PNG=FILE in the environment takes a picture.
const path = require('path');
const {chromium} = require(require.resolve('playwright-core', {paths: [process.env.PINW_CONSUMERS]}));

(async () => {
  const [file, wanted, word] = process.argv.slice(2);
  const browser = await chromium.launch({executablePath: process.env.CHROMIUM || '/usr/bin/chromium', args: ['--no-sandbox']});
  const context = await browser.newContext({viewport: {width: 1280, height: 900}, offline: true, colorScheme: process.env.SCHEME || 'light'});
  const page = await context.newPage();
  const found = {errors: [], requests: 0};
  page.on('console', (m) => m.type() === 'error' && found.errors.push(m.text()));
  page.on('pageerror', (e) => found.errors.push(e.message));
  page.on('request', (r) => found.requests += !r.url().startsWith('file:'));
  await page.goto('file://' + path.resolve(file));
  found.title = await page.title();
  found.verdict = await page.locator('#verdict').textContent();
  found.drawn = await page.evaluate(() => [...document.querySelectorAll('canvas')].filter((c) =>
    c.width && new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer).some((x) => x)).length);
  found.canvases = await page.locator('canvas').count();
  found.draw_ms = await page.evaluate(() => performance.getEntriesByName('drawn')[0].duration);
  if (wanted) {
    const stack = page.locator('table.leaks details.stack').first();
    found.folded = !(await stack.locator('ol').isVisible());
    await stack.locator('summary').click();
    found.unfolded = (await stack.locator('ol').isVisible()) && (await stack.locator('ol').textContent()).includes(wanted);
    await stack.locator('summary').press('Enter');
    found.folds = !(await stack.locator('ol').isVisible());
    const rows = page.locator('.list tbody > tr:visible');
    found.rows = await rows.count();
    await page.keyboard.press('/');
    await page.keyboard.type(word);
    found.filtered = await rows.count();
    found.others = await rows.evaluateAll((all, w) => all.filter((r) => !r.textContent.includes(w)).length, word);
    await page.keyboard.press('Escape');
    found.back = await rows.count();
  }
  if (wanted) {
    const lanes = () => page.evaluate(() => document.querySelector('.lanes canvas').toDataURL());
    const whole = await lanes();
    await page.locator('.chart.time').first().press('+');
    found.zoomed = (await lanes()) !== whole;
    await page.locator('.chart.time').first().press('0');
    found.unzoomed = (await lanes()) === whole;
  }
  if (process.env.PNG) await page.screenshot({path: process.env.PNG, fullPage: true});
  const plain = await browser.newContext({javaScriptEnabled: false});
  const bare = await plain.newPage();
  await bare.goto('file://' + path.resolve(file));
  found.plain_tables = await bare.locator('section table').count();
  console.log(JSON.stringify(found));
  await browser.close();
})();
