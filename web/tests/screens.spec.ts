// Every screen, in both themes, wide and narrow: no breach of the policy, no error, nothing that axe knows to be a barrier.

import { AxeBuilder } from '@axe-core/playwright';
import { expect, live, Server, test } from './page';
import { week } from './history';

const SCREENS = ['/', '/cpu', '/memory', '/disk', '/network', '/kernel', '/counters', '/explore?select=cpu.*', '/compare', '/settings', '/status', '/nowhere'];
const SIZES = [{ width: 1280, height: 800 }, { width: 360, height: 740 }];

test.describe.configure({ mode: 'parallel' });

let server: Server;
test.beforeAll(async () => {
  server = new Server();
  server.import(week(Date.now(), { step: 60_000 }));
  await server.start();
});
test.afterAll(() => server.end());

for (const scheme of ['dark', 'light'] as const) {
  for (const size of SIZES) {
    test(`no barrier and no error in ${scheme}, ${size.width} pixels wide`, async ({ page }) => {
      test.setTimeout(240_000);
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
      await page.goto(server.url);
      for (const screen of SCREENS) {
        // Through the page's own links and without loading it again, as a person would.
        await page.evaluate((address) => {
          history.pushState(null, '', address);
          dispatchEvent(new PopStateEvent('popstate'));
        }, screen);
        await live(page);
        if (!['/settings', '/status', '/nowhere'].includes(screen)) await expect(page.locator('canvas').first()).toBeVisible();
        const found = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze();
        expect(found.violations.map(({ id, nodes }) => `${screen}: ${id}: ${nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`)).toEqual([]);
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        expect(overflow, `${screen} is wider than the screen`).toBeLessThanOrEqual(0);
      }
    });
  }
}

test('the overview fits a screen of 1280 by 800', async ({ page }) => {
  await page.goto(server.url);
  await live(page);
  expect(await page.evaluate(() => document.documentElement.scrollHeight)).toBeLessThanOrEqual(800);
});
