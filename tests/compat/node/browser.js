// A headless browser that is told what to do by JSON lines on standard input, and answers with JSON lines:
// {"id": 1, "do": "open", "url": "http://…"}, {"id": 2, "do": "evaluate", "page": 1, "code": "document.title"}.
// Microphone and camera are Chromium's fake devices. It ends when its standard input ends.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const folder = await mkdtemp(join(tmpdir(), 'roombell-browser-'));
const browser = await chromium.launchPersistentContext(folder, {
  executablePath: process.env.CHROMIUM,
  headless: true,
  viewport: { width: 1360, height: 860 },
  permissions: ['microphone', 'camera'],
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--use-fake-device-for-media-stream',
    '--use-fake-ui-for-media-stream',
    '--autoplay-policy=no-user-gesture-required',
  ],
});
const pages = [];

const commands = {
  async open({ url, dark, width, height }) {
    const page = await browser.newPage();
    page.told = [];
    page.on('console', (message) => page.told.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => page.told.push(`error: ${error.message}`));
    if (dark) await page.emulateMedia({ colorScheme: 'dark' });
    if (width) await page.setViewportSize({ width, height });
    await page.goto(url);
    return pages.push(page) - 1;
  },
  evaluate: ({ page, code }) => pages[page].evaluate(code),
  // Playwright's own way to wait evaluates text in the page, which the page's policy forbids.
  async waitFor({ page, code, timeout }) {
    const end = Date.now() + timeout;
    while (!(await pages[page].evaluate(code))) {
      if (Date.now() > end) throw new Error(`not true within ${timeout} ms`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return true;
  },
  told: async ({ page }) => pages[page].told,
  screenshot: ({ page, path }) => pages[page].screenshot({ path }).then(() => path),
  close: ({ page }) => pages[page].close(),
};

process.stdout.write('{"ready": true}\n');
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  commands[command.do](command).then(
    (value) => process.stdout.write(`${JSON.stringify({ id: command.id, value: value ?? null })}\n`),
    (error) => process.stdout.write(`${JSON.stringify({ id: command.id, error: String(error) })}\n`),
  );
}
await browser.close();
await rm(folder, { recursive: true, force: true });
